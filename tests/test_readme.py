"""The README: its commands, example, output and links are right."""

import re
import shlex
from pathlib import Path

import pytest

import minicnn

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minicnn"
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [text.strip() for _, text in BLOCKS if text.startswith("python3 -m venv")]


def test_continuous_integration_runs_the_second_of_two_commands():
    train, test = COMMANDS
    assert train.endswith("-m minicnn train")
    assert test in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_installs_into_the_environment_that_it_uses(command):
    make, install, use = (shlex.split(part) for part in command.split("&&"))
    assert make[:3] == ["python3", "-m", "venv"]
    assert install[0] == f"{make[3]}/bin/pip"
    assert use[0] == f"{make[3]}/bin/python"


def test_the_example_runs(monkeypatch, capsys):
    (example,) = (text for language, text in BLOCKS if language == "python")
    (x_train, y_train), (x_test, y_test) = minicnn.datasets.mnist.load_data()
    few = (x_train[:64], y_train[:64]), (x_test[:32], y_test[:32])
    monkeypatch.setattr(minicnn.datasets.mnist, "load_data", lambda: few)
    exec(compile(example, "README.md", "exec"), {})
    assert re.search(r"\[\d\.\d+, \d\.\d+\]", capsys.readouterr().out)
    assert len(example.splitlines()) <= 24


def test_the_output_shown_is_what_train_prints(run):
    (shown,) = (text for _, text in BLOCKS if "test accuracy" in text and "python" not in text)
    result = run("train", "--steps-per-epoch", 2, "--batch-size", 8)
    assert result.status == 0

    def form(text):
        """The last two lines with all numbers replaced."""
        return [re.sub(r"[\d.]+(e-\d+)?", "0", line) for line in text.strip().splitlines()[-2:]]

    assert [re.sub("0(ms|us)", "0ms", line) for line in form(result.out)] == form(shown)


def test_named_files_exist():
    linked = re.findall(r"\]\(([^)#]+)\)", README)
    named = [word for word in re.findall(r"`([\w/.]+)`", README) if "/" in word]
    assert named
    for path in linked + named:
        assert (ROOT / path).exists(), path


def test_the_reading_path_is_the_core_in_the_order_of_its_imports():
    rows = re.findall(
        r"^\| \d+ \| `minicnn/(\w+)\.py` \|.*\| (\d+) \|$", README, flags=re.MULTILINE
    )
    names = [name for name, _ in rows]
    files = {path.stem: path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py")}
    assert sorted(names) == sorted(set(files) - {"__init__", "__main__"})
    for place, name in enumerate(names):
        imported = re.findall(r"^from minicnn\.(\w+) import", files[name], flags=re.MULTILINE)
        above = {*names[:place], *(path.name for path in PACKAGE.iterdir() if path.is_dir())}
        assert set(imported) <= above, name
    for name, minutes in rows:  # twenty lines a minute
        assert abs(len(files[name].splitlines()) / 20 - int(minutes)) <= 1, name
    assert f"it takes {sum(int(minutes) for _, minutes in rows)} minutes" in README


def test_the_linter_finds_nothing(python):
    for command in (["check"], ["format", "--check"]):
        done = python("-m", "ruff", *command, ROOT)
        assert done.returncode == 0, done.stdout
