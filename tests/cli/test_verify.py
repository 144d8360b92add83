"""`python -m minicnn verify`: prints the ledger, and an error of one line for every mistake."""

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

import minicnn
from minicnn.checking import cases, ledger


def test_verify_prints_the_ledger(run, tmp_path):
    path = tmp_path / "ledger.json"
    result = run("verify", "--golden", "--json", str(path))
    assert result.status == 0
    assert "golden answers of Keras, as asked for" in result.out
    assert "0 mismatches" in result.out
    written = json.loads(path.read_text())
    assert len(written["rows"]) == len(cases.quick_cases())
    assert written["versions"]["minicnn"] == minicnn.__version__
    assert all(len(line) <= 144 for line in result.out.splitlines()[3:-2])


def test_verify_live(keras, run):
    result = run("verify", "--layer", "flatten")
    assert result.status == 0
    assert "Keras, live" in result.out
    assert "2 cases compared, 0 mismatches" in result.out


def test_verify_ends_with_status_1_after_a_mismatch(run, monkeypatch):
    monkeypatch.setitem(ledger.TOLERANCES, "float64", (0.0, 0.0, "no rounding at all"))
    result = run("verify", "--golden", "--layer", "softmax")
    assert result.status == 1
    assert "MISMATCH" in result.out
    assert "2 mismatches" in result.out


def test_verify_without_tensorflow_uses_golden_answers(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    result = run("verify", "--layer", "flatten")
    assert result.status == 0
    assert "since TensorFlow is not installed here" in result.out


@pytest.mark.parametrize("flag", ["--full", "--lockstep"])
def test_the_error_names_what_needs_tensorflow(run, monkeypatch, flag):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    run("verify", flag).assert_one_line_error(f"{flag}: the Keras reference needs TensorFlow")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--layer dropout", "--layer"),
        ("--full --planted-bugs", "--planted-bugs"),
        ("--layer dense --lockstep", "--layer"),
        ("--figures pictures", "--figures"),
        ("--json ledger.txt", "--json"),
    ],
)
def test_wrong_flags_end_in_one_line(run, flags, named):
    run("verify", *flags.split()).assert_one_line_error(named)


FROM_A_ZIP = """
import minicnn
from minicnn.cli.main import main
from minicnn.checking.planting import altered, planted

assert main(["verify", "--golden", "--layer", "flatten"]) == 0
with planted("__init__.py", altered("__init__.py", minicnn.__version__, "planted")) as package:
    print(package.__file__, package.__version__)
"""


def test_verify_and_planted_bugs_work_from_a_zip(tmp_path, python):
    package, archive = Path(minicnn.__file__).parent, tmp_path / "minicnn.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in [*package.rglob("*.py"), *package.rglob("golden.npz")]:
            file.write(path, path.relative_to(package.parent))
    environment = os.environ | {"PYTHONPATH": str(archive)}
    done = python("-c", FROM_A_ZIP, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "2 cases compared, 0 mismatches" in done.stdout
    init = archive / "minicnn" / "__init__.py"
    assert done.stdout.endswith(f"{init} planted\n")
