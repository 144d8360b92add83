"""Planted bugs: each can be planted and is undone, and the checks notice them."""

import ast
import collections
import itertools
import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from numba.core import caching

import minicnn
from minicnn.checking import kill_matrix
from minicnn.checking.kill_matrix import BROKEN, CHECKS, NOTICED, QUIET, RIGHT_CODE, Finding, Matrix
from minicnn.checking.planted_bugs import BUGS
from minicnn.checking.planting import altered, planted, source_of
from minicnn.engine import compiling

RELU = "engine/kernels/relu.py"
RELU_ALTERED = ("flat_y[i] > floor", "flat_y[i] >= floor")
KERNELS = ["softmax", "dense", "pooling", "winograd_tiles"]


def relu_gradient(package):
    """The gradient of ReLU at -1, 0 and 1, by the engine of the given package."""
    layer = package.layers.ReLU()
    layer.build((3,), np.random.default_rng(0))
    _, dx, _ = package.engine.Plan([layer]).passes(np.array([[-1.0, 0.0, 1.0]]), np.ones((1, 3)))
    return dx[0].tolist()


def package_state():
    modules = {name: m for name, m in sys.modules.items() if name.split(".")[0] == "minicnn"}
    methods = caching.FunctionCache.load_overload, caching.FunctionCache.save_overload
    return modules, list(sys.meta_path), methods


# The table of bugs


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted(bug):
    source = altered(bug.module, bug.old, bug.new)  # raises unless `old` occurs once
    assert ast.dump(ast.parse(source)) != ast.dump(ast.parse(source_of(bug.module)))
    assert bug.kind in ("forward", "gradient", "training", "reporting")
    assert len(f"  {bug.name}") <= kill_matrix.NAME_WIDTH


def test_names_are_unique_and_bugs_of_a_module_are_together():
    assert 25 <= len(BUGS) <= 90
    names = collections.Counter(bug.name for bug in BUGS)
    assert names.most_common(1)[0][1] == 1
    modules = [module for module, _ in itertools.groupby(BUGS, lambda bug: bug.module)]
    assert len(set(modules)) == len(modules)


@pytest.mark.parametrize(("old", "times"), [("not in there", 0), ("zero", 2)])
def test_only_text_that_occurs_once_can_be_replaced(old, times):
    with pytest.raises(ValueError, match=f"{RELU}: expected once, found {times} times: '{old}'"):
        altered(RELU, old, "one")


# Planting


def test_planting_alters_one_module_of_a_fresh_package():
    assert relu_gradient(minicnn) == [0, 0, 1]
    with planted(RELU, altered(RELU, *RELU_ALTERED)) as package:
        assert package is sys.modules["minicnn"]
        assert package is not minicnn
        assert relu_gradient(package) == [1, 1, 1]
        from minicnn.engine.kernels import relu

        assert Path(relu.__file__) == Path(minicnn.__file__).parent / RELU  # finds its data files
    assert relu_gradient(minicnn) == [0, 0, 1]


def test_a_package_file_can_be_altered_too():
    source = altered("__init__.py", f'"{minicnn.__version__}"', '"planted"')
    with planted("__init__.py", source) as package:
        assert package.__version__ == "planted"
        assert relu_gradient(package) == [0, 0, 1]


def test_everything_is_restored():
    before = package_state()
    with planted(RELU, altered(RELU, *RELU_ALTERED)) as package:
        relu_gradient(package)
        assert package_state() != before
    assert package_state() == before


@pytest.mark.parametrize("source", ["raise OSError", "no Python"])
def test_everything_is_restored_after_an_error(source):
    before = package_state()
    with pytest.raises((OSError, SyntaxError)), planted("shapes.py", source):
        pass
    assert package_state() == before


def test_nothing_is_written_to_numbas_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))  # other tests write to the usual
    with planted(RELU, altered(RELU, *RELU_ALTERED)) as package:
        relu_gradient(package)
        from minicnn.engine.kernels import adam, relu

        relu.relu_backward(*np.ones((2, 3), np.float32), np.float32(0))
        # Nor for a module that is not altered, with a dtype that was not used before.
        adam.adam(*np.ones((4, 3), complex), 1.0, 0.5, 0.5, 1.0, 0.1)
    assert not list(tmp_path.rglob("*.nb?"))
    kernel = tmp_path / "kernel.py"
    kernel.write_text("def successor(x):\n    return x + 1\n")
    compiling.jit(runpy.run_path(kernel)["successor"])(1.0)
    assert list(tmp_path.rglob("*.nb?"))


@pytest.mark.parametrize(
    ("module", "old", "new", "loaded"),
    [
        # Kernels that import the altered one, directly or not, contain its code.
        (RELU, *RELU_ALTERED, {"softmax", "pooling", "winograd_tiles"}),
        ("engine/kernels/pooling.py", "late <= early", "late < early", {"softmax", "dense"}),
        ("shapes.py", "return total // 2,", "return total // 3,", {*KERNELS}),
        # All compiled kernels depend on these two.
        ("shapes.py", "    h: int\n    w: int\n", "    w: int\n    h: int\n", set()),
        ("engine/compiling.py", '"error_model": "numpy"', '"error_model": "python"', set()),
    ],
)
def test_cached_code_is_used_where_it_does_not_depend_on_the_alteration(
    module, old, new, loaded, monkeypatch
):
    monkeypatch.setattr(caching.FunctionCache, "load_overload", lambda *_arguments: "loaded")
    with planted(module, altered(module, old, new)):
        found = set()
        for name in KERNELS:
            path = f"minicnn/engine/kernels/{name}.py"
            kernel = SimpleNamespace(__code__=SimpleNamespace(co_filename=path))
            cache = SimpleNamespace(_py_func=kernel)
            if caching.FunctionCache.load_overload(cache, None, None) == "loaded":
                found.add(name)
        assert found == loaded


# The checks


@pytest.mark.parametrize("check", CHECKS)
def test_the_right_code_gives_no_alarm(check):
    assert kill_matrix.finding(check) == Finding(QUIET)


def test_an_error_is_a_finding(monkeypatch):
    def broken():
        raise ZeroDivisionError("by the batch")

    monkeypatch.setitem(CHECKS, "accuracy", broken)
    assert kill_matrix.finding("accuracy") == Finding(BROKEN, "ZeroDivisionError('by the batch')")
    monkeypatch.setitem(CHECKS, "accuracy", lambda: "0.1")
    assert kill_matrix.finding("accuracy") == Finding(NOTICED, "0.1")


# The matrix

EXPECTED = {  # shape only, mean only, elementwise, numerical, contract, lockstep, accuracy
    RIGHT_CODE: ".......",
    "odd padding on the wrong side": ".xx....",  # consistent, so that gradients are right
    "bias summed over the wrong axis": "!!!!!..",
    "all tied maxima paid": ".xx.x..",  # at ties there is no derivative to compare with
    "an own layer gets shards": "....x..",
    "labels not shuffled with their samples": "......x",
    "divided by the shard, not by the batch": "..xx.x.",
}


@pytest.mark.full
def test_checks_notice_what_they_should():
    told = []
    matrix = kill_matrix.kill_matrix(
        [name for name in EXPECTED if name != RIGHT_CODE],
        progress=lambda name, found: told.append((name, found)),
    )
    assert told == list(matrix.findings.items())
    marks = {
        name: "".join(found[check].mark for check in CHECKS)
        for name, found in matrix.findings.items()
    }
    assert marks == EXPECTED
    assert matrix.ok


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="expected the name of a planted bug, received 'flea'"):
        kill_matrix.kill_matrix(["flea"])


def found(marks):
    return {check: Finding(mark) for check, mark in zip(CHECKS, marks, strict=True)}


def test_the_table():
    matrix = Matrix(
        {
            RIGHT_CODE: found("......."),
            "epsilon inside the root": found("..x..x."),
            "Dense: dkernel skips the activation": found("..xxx!."),
            "bias gradient a mean, not a sum": found("..x...."),
        }
    )
    lines = matrix.lines()
    assert str(matrix).splitlines() == lines
    assert lines[-len(kill_matrix.LEGEND) :] == kill_matrix.LEGEND
    lines = lines[: -len(kill_matrix.LEGEND)]
    assert [" ".join(line.split()) for line in lines] == [
        " ".join(CHECKS),
        "the right code . . . . . . .",
        "layers.py",
        "bias gradient a mean, not a sum . . x . . . .",
        "optimizers.py",
        "epsilon inside the root . . x . . x .",
        "engine/kernels/dense.py",
        "Dense: dkernel skips the activation . . x x x ! .",
        "noticed, of 3 0 0 3 1 1 2 0",
    ]
    assert len({len(line) for line in lines if not line.endswith(".py")}) == 1


def test_what_is_not_ok():
    bugs = {
        "epsilon inside the root": found("......x"),
        "label shifted in the loss's gradient": found("...!..."),
        "an own layer gets shards": found("....x.."),
    }
    assert Matrix({RIGHT_CODE: found("......."), **bugs}).ok
    alarmed = Matrix({RIGHT_CODE: found("...!..x"), **bugs})
    assert alarmed.false_alarms == ["numerical", "accuracy"]
    assert not alarmed.ok
    # Accuracy is not enough to notice a wrong gradient.
    bugs = {
        "label shifted in the loss's gradient": found("xx...xx"),
        "epsilon inside the root": found("......."),
    }
    missing = Matrix({RIGHT_CODE: found("......."), **bugs})
    assert missing.missed == list(bugs)
    assert not missing.ok


class Stopping:
    """Replaces `subprocess.run`: answers checks until one that ends the process."""

    def __init__(self, stop, at):
        self.stop = stop
        self.at = at

    def __call__(self, command, **options):
        checks = command[command.index("a bug") + 1 :]
        answered = list(itertools.takewhile(lambda check: check not in self.at, checks))
        lines = "".join(json.dumps([check, QUIET, ""]) + "\n" for check in answered).encode()
        if len(answered) == len(checks):
            return subprocess.CompletedProcess(command, 0, lines, b"")
        if self.stop == "hang":
            raise subprocess.TimeoutExpired(command, options["timeout"], lines or None)
        return subprocess.CompletedProcess(command, -11, lines, b"Segmentation fault")


@pytest.mark.parametrize(
    ("stop", "words"), [("crash", "exit code -11: Segmentation fault"), ("hang", "no answer")]
)
def test_a_bug_that_ends_its_process_is_noticed_by_that_check_alone(stop, words, monkeypatch):
    monkeypatch.setattr(kill_matrix.subprocess, "run", Stopping(stop, ["shape only", "numerical"]))
    findings = kill_matrix._examine("a bug")
    assert list(findings) == list(CHECKS)
    assert "".join(finding.mark for finding in findings.values()) == "!..!..."
    assert words in findings["numerical"].words


@pytest.mark.full
def test_no_bug_goes_unnoticed():
    matrix = kill_matrix.kill_matrix()
    assert matrix.ok, f"{matrix.missed}, {matrix.false_alarms}\n{matrix}"
