"""`python -m minicnn verify`: prints the ledger, and an error of one line for every mistake."""

import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.checking import cases, ledger, lockstep
from minicnn.cli import verify


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


@pytest.mark.parametrize("apart", [0, 1e-2])
def test_verify_lockstep_prints_and_draws(run, monkeypatch, tmp_path, apart):
    """From made-up runs: real ones take a minute."""

    def made_up(dtype):
        losses = np.linspace(2.3, 0.5, 200)
        error = apart if dtype == "float64" else 2e-3
        ours = losses * (1 + error * (np.arange(200) >= 99))
        return lockstep.Lockstep(dtype, ours, losses, np.full(200, 1e-9))

    monkeypatch.setattr(verify, "tutorial_lockstep", made_up)
    monkeypatch.setattr(verify.keras_reference, "require_keras", lambda: None)
    folder = tmp_path / "new" / "figures"
    for _ in range(2):  # the second time the folder exists
        result = run("verify", "--lockstep", "--figures", folder, "--json", tmp_path / "l.json")
    assert result.status == (apart > 0)
    assert "float32" in result.out
    assert "losses are more than 0.001 apart for the first time at step 100" in result.out
    right = "In double precision they agree, so the differences in single precision are rounding."
    assert (right in result.out) == (apart == 0)
    assert (folder / "lockstep.png").stat().st_size > 5000
    assert f"Picture saved: {folder / 'lockstep.png'}" in result.out
    written = json.loads((tmp_path / "l.json").read_text())
    assert len(written["steps"]["float64"]["keras"]) == 200


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
