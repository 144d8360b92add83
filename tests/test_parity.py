"""The ledger agrees with Keras, live and kept; it notices what is wrong; the command prints it."""

import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import optimizers
from minicnn.parity import cases, golden, ledger
from minicnn.parity.command import tutorial_lockstep
from minicnn.parity.kinds import LayerCase, Numbers, TrainingCase
from minicnn.parity.lockstep import lockstep
from minicnn.session import snake_case

QUICK_COUNTS = {"Conv2D": 40, "MaxPooling2D": 30, "Dense": 15}


@pytest.fixture(scope="module")
def kept():
    return golden.Golden()


def test_every_quick_case_agrees_with_golden_answers(kept):
    rows = list(ledger.quick(kept.answer))
    assert len(rows) == len(cases.quick_cases()) > 80
    assert [row.line() for row in rows if not row.ok] == []


def test_every_quick_case_agrees_with_live_keras_and_golden_answers_are_up_to_date(keras, kept):
    for case in {case.key: case for case in cases.quick_cases()}.values():
        live, stored = case.theirs(), kept.answer(case)
        assert ledger.compare(case, live).ok, case
        assert ledger.compare(case, live, stored).ok, case
        assert list(live) == list(stored)


def test_golden_answers_are_small_and_say_what_made_them(kept):
    assert golden.FILE.stat().st_size <= 1_000_000
    assert {"keras", "numpy", "numba", "python", "minicnn"} <= set(kept.versions)
    keys = {case.key for case in cases.quick_cases()}
    assert {name.rsplit("/", 1)[0] for name in kept._arrays} == keys


def test_a_case_that_is_not_in_the_file_says_how_to_get_it(kept):
    with pytest.raises(KeyError, match=r"python -m minicnn\.parity\.golden"):
        kept.answer(LayerCase("Dense", {"units": 3}, (1, 2), "float32"))


@pytest.mark.parametrize(
    "counts", [QUICK_COUNTS, pytest.param(ledger.FULL, marks=pytest.mark.full)], ids=["few", "full"]
)
def test_random_geometries_agree_with_keras(keras, counts):
    rows = list(ledger.full(counts=counts))
    assert [row.line() for row in rows if not row.ok] == []
    for kind, count in counts.items():
        double = [r for r in rows if (r.layer, r.dtype) == (snake_case(kind), "float64")]
        # Direct convolution serves every geometry.
        served = [r for r in double if kind != "Conv2D" or r.configuration.endswith("direct")]
        assert sum(row.cases for row in served) == count
    assert {name for row in rows for name in row.differences} == set(ledger.COLUMNS)


@pytest.mark.parametrize("quantity", ["output", "dx", "dkernel", "dbias"])
def test_the_ledger_notices_one_wrong_element(kept, quantity):
    for dtype in cases.FLOATS:
        case = LayerCase("Dense", {"units": 10}, (20, 64), dtype)
        answer = {name: array.copy() for name, array in kept.answer(case).items()}
        answer[quantity].flat[3] += np.abs(answer[quantity]).max() * 2e-4
        row = ledger.compare(case, answer)
        assert not row.ok
        assert "MISMATCH" in row.line()
        assert row.differences[quantity] == pytest.approx(2e-4, rel=0.05)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: answer | {"dx": answer["dx"][:1]},
        lambda answer: {name: array for name, array in answer.items() if name != "dbias"},
        lambda answer: answer | {"dx": answer["dx"] * np.nan},
    ],
    ids=["shape", "missing", "nan"],
)
def test_the_ledger_notices_shapes_nan_and_what_is_missing(kept, spoil):
    case = LayerCase("Dense", {"units": 10}, (20, 64), "float64")
    assert not ledger.compare(case, kept.answer(case), spoil(case.ours())).ok


def test_errors_larger_than_twice_tensorflows_are_not_ok():
    row = ledger.Row("conv2d", "", "float32", {"output": 1e-6}, "float32", 5, 0, 2.1)
    assert not row.ok
    assert "TOO INEXACT" in row.line()
    assert row._replace(error_ratio=1.9).ok


def test_numbers_are_the_same_for_all_time():
    """Golden answers belong to these inputs; NumPy guarantees its raw bits and nothing else."""
    numbers = Numbers(1)
    assert numbers.whole((4,)).tolist() == [-1.0, 2.0, 1.0, 2.0]
    assert numbers.real((2,)).tolist() == [-0.7526743412017822, -0.30669426918029785]
    assert numbers.labels(4, 10).tolist() == [8, 0, 4, 4]


def test_numbers_can_be_written_in_single_precision():
    values = Numbers(2).real((1000,))
    np.testing.assert_array_equal(values.astype("float32"), values)
    assert values.min() < -1.9
    assert values.max() > 1.9


def test_lockstep_in_double_precision_and_in_single(keras):
    """Rounding parts the two in single precision, and only there."""
    double, single = tutorial_lockstep("float64", steps=12), tutorial_lockstep("float32", steps=12)
    assert double.first_apart(1e-10) is None
    assert double.weights[0] == 0
    assert double.weights.max() < 1e-12
    assert single.first_apart(1e-4) is None
    assert 1e-7 < single.weights.max() < 1e-2
    assert len(str(double).splitlines()) == 1 + len((1, 2, 5, 10, 12))
    assert double.ours[-1] < double.ours[0]


def test_lockstep_notices_another_epsilon(keras):
    case = TrainingCase("lockstep", "")
    model = case.model()
    model.optimizer = optimizers.Adam()
    x, y = case.data()
    twin_like = dataclasses.replace(case).model()
    assert lockstep(twin_like, x, y, 20).first_apart(1e-10) is None
    model.optimizer.update = _with_epsilon_inside_the_root(model.optimizer)
    assert lockstep(model, x, y, 20).first_apart(1e-10) == 2


def _with_epsilon_inside_the_root(adam):
    def update(gradient, weight, m, v):
        m += (gradient - m) * (1 - adam.beta_1)
        v += (gradient**2 - v) * (1 - adam.beta_2)
        t = adam.iterations
        alpha = adam.learning_rate * np.sqrt(1 - adam.beta_2**t) / (1 - adam.beta_1**t)
        weight -= alpha * m / np.sqrt(v + adam.epsilon)

    return update


def test_verify_prints_the_ledger(run, tmp_path):
    path = tmp_path / "ledger.json"
    result = run("verify", "--golden", "--json", str(path))
    assert result.status == 0
    assert "golden answers of Keras, as asked for" in result.out
    assert "0 mismatches" in result.out
    written = json.loads(path.read_text())
    assert len(written["rows"]) == len(cases.quick_cases())
    assert written["versions"]["minicnn"] == minicnn.__version__
    assert all(len(line) <= 135 for line in result.out.splitlines()[3:-2])


FROM_A_ZIP = """
import minicnn
from minicnn.__main__ import main
from minicnn.parity.planting import altered, planted

assert main(["verify", "--golden", "--layer", "flatten"]) == 0
with planted("__init__.py", altered("__init__.py", minicnn.__version__, "planted")) as package:
    print(package.__file__, package.__version__)
"""


def test_verify_and_planted_bugs_work_from_a_zip(tmp_path):
    package, archive = Path(minicnn.__file__).parent, tmp_path / "minicnn.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in [*package.rglob("*.py"), *package.rglob("golden.npz")]:
            file.write(path, path.relative_to(package.parent))
    done = subprocess.run(
        [sys.executable, "-c", FROM_A_ZIP],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(archive)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "2 cases compared, 0 mismatches" in done.stdout
    init = archive / "minicnn" / "__init__.py"
    assert done.stdout.endswith(f"{init} planted\n")


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


def test_verify_without_tensorflow_says_that_answers_are_golden(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    result = run("verify", "--layer", "flatten")
    assert result.status == 0
    assert "since TensorFlow is not installed here" in result.out


@pytest.mark.parametrize("flag", ["--full", "--lockstep"])
def test_what_needs_tensorflow_says_so(run, monkeypatch, flag):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    result = run("verify", flag)
    assert result.status == 2
    assert f"{flag}: the Keras reference needs TensorFlow" in result.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--layer", "dropout"], "--layer"),
        (["--full", "--zoo"], "--zoo"),
        (["--layer", "dense", "--lockstep"], "--layer"),
        (["--figures", "pictures"], "--figures"),
        (["--json", "ledger.txt"], "--json"),
    ],
)
def test_wrong_flags_end_in_one_line(run, flags, words):
    result = run("verify", *flags)
    assert result.status == 2
    assert words in result.err
    assert len(result.err.splitlines()) == 1
