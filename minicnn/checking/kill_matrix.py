"""The zoo of planted bugs: which kind of check would notice which mistake?

Every row of `BUGS` is a slip that somebody has made in a network, as one replacement in the source
of one module. Every row of `CHECKS` is a way in which people test a network. The kill matrix says
which check notices which bug:

    python -m minicnn verify --zoo

It shows what each check is worth, and that the checks of this package leave no gap: a wrong number
is noticed element by element or numerically, and the right code gives no alarm.
"""

import contextlib
import functools
import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import minicnn
from minicnn import Input, Sequential, datasets
from minicnn.gradcheck import check_gradients
from minicnn.layer import Layer
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax
from minicnn.optimizers import Adam
from minicnn.parity import cases, golden, ledger
from minicnn.parity.bugs import BUGS, Bug
from minicnn.parity.kinds import Answer, LayerCase
from minicnn.parity.planting import altered, planted
from minicnn.tutorial import scaled

RIGHT_CODE = "the right code"
QUIET, NOTICED, BROKEN = ".", "x", "!"
PATIENCE = 600.0  # seconds, compiling included, after which a bug counts as a hang
NAME_WIDTH = 52

# Checks: each returns the first thing that it notices, in words, or "".

MEAN_TOLERANCE = 1e-3  # of the mean magnitude
TRAINING_IMAGES, TEST_IMAGES = 6000, 1000
ENOUGH = 0.85  # the right code reaches 0.89 to 0.91; a test must leave room for chance


def shapes_differ() -> str:
    """Only the shapes of outputs and gradients of layers, against Keras'."""
    for case, ours, theirs in _layers_answers():
        if {name: a.shape for name, a in ours.items()} != {n: a.shape for n, a in theirs.items()}:
            return case.configuration
    return ""


def means_differ() -> str:
    """Only the mean of each output and gradient of layers, against Keras'."""
    for case, ours, theirs in _layers_answers():
        for name, expected in theirs.items():
            allowed = MEAN_TOLERANCE * np.abs(expected).mean()
            if not abs(ours[name].mean() - expected.mean()) <= allowed:
                return f"{name}: {case.configuration}"
    return ""


def elements_differ() -> str:
    """Every element of every case, against Keras', but for the steps of a network."""
    rows = [ledger.compare(case, theirs, ours) for case, ours, theirs in _layers_answers()]
    others = _other_cases(lambda layer: layer != "lockstep")
    return _first_difference(itertools.chain(rows, others))


def steps_differ() -> str:
    """The loss after each of some steps of a small network, against Keras'."""
    return _first_difference(_other_cases(lambda layer: layer == "lockstep"))


@functools.cache
def _golden() -> golden.Golden:
    return golden.Golden()


@functools.cache
def _layers_answers() -> list[tuple[LayerCase, Answer, Answer]]:
    """Cases of single layers, with our answers and Keras'."""
    chosen = [case for case in cases.quick_cases() if isinstance(case, LayerCase)]
    return [(case, case.ours(), _golden().answer(case)) for case in chosen]


def _other_cases(wanted: Callable[[str], bool]) -> Iterator[ledger.Row]:
    for case in cases.quick_cases():
        if not isinstance(case, LayerCase) and wanted(case.layer):
            yield ledger.compare(case, _golden().answer(case))


def _first_difference(rows: Iterable[ledger.Row]) -> str:
    return next((f"{row.layer}, {row.configuration}" for row in rows if not row.ok), "")


def gradients_differ() -> str:
    """Gradients of layers, and of a small network, against central differences."""
    rng = np.random.default_rng(29)
    for layer, shape in _layers_to_differentiate():
        layer.build(shape, rng, "float64")
        # No two alike: every window has one maximum, which a small step does not change.
        x = (rng.permutation(5 * int(np.prod(shape))).reshape(5, *shape) + 0.5) / 50 - 5
        if not check_gradients(layer, x, rng=rng).ok:
            return repr(layer)
    minicnn.set_random_seed(29)
    model = Sequential(
        [
            Input((6, 5, 1)),
            Conv2D(2, 3, padding="same", activation="relu"),
            MaxPooling2D(2),
            Flatten(),
            Dense(3, activation="softmax"),
        ],
        dtype="float64",
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    images, labels = rng.standard_normal((20, 6, 5, 1)), rng.integers(0, 3, 20)
    return "" if check_gradients(model, images, labels, rng=rng).ok else repr(model)


def _layers_to_differentiate() -> list[tuple[Layer, tuple[int, ...]]]:
    """Layers, and shapes of their inputs: padding that is odd, strides that divide nothing."""
    odd: dict[str, Any] = {"kernel_size": (3, 2), "strides": (2, 3), "padding": "same"}
    return [
        (Conv2D(3, algorithm="direct", **odd), (6, 8, 2)),
        (Conv2D(3, algorithm="im2col", **odd), (6, 8, 2)),
        (Conv2D(2, (2, 3), activation="relu", algorithm="im2col"), (5, 6, 2)),
        (Conv2D(2, 5, padding="same", algorithm="winograd"), (6, 9, 3)),
        (Conv2D(3, 3, activation="relu", algorithm="winograd"), (9, 8, 2)),
        (MaxPooling2D(2), (5, 6, 2)),
        (MaxPooling2D((3, 2), strides=(1, 2), padding="same"), (5, 6, 2)),
        (Dense(3, activation="relu"), (7,)),
        (Dense(4), (2, 3)),
        (Flatten(), (2, 3, 2)),
        (ReLU(), (3, 4)),
        (Softmax(), (4,)),
    ]


def accuracy_is_low() -> str:
    """Whether a small network that has seen some digits once tells new ones apart."""
    (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data()
    minicnn.set_random_seed(0)
    model = Sequential(
        [
            Input((28, 28, 1)),
            Conv2D(8, 5, padding="same", activation="relu"),
            MaxPooling2D(2),
            Conv2D(16, 5, padding="same", activation="relu"),
            MaxPooling2D(2),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile(Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(scaled(x_train[:TRAINING_IMAGES]), y_train[:TRAINING_IMAGES], verbose=0)
    _, accuracy = model.evaluate(scaled(x_test[:TEST_IMAGES]), y_test[:TEST_IMAGES], verbose=0)
    return "" if accuracy >= ENOUGH else f"accuracy: {accuracy:.3f}"


CHECKS: dict[str, Callable[[], str]] = {
    "shape only": shapes_differ,
    "mean only": means_differ,
    "elementwise": elements_differ,
    "numerical": gradients_differ,
    "lockstep": steps_differ,
    "accuracy": accuracy_is_low,
}

# The matrix.

LEGEND = [
    f"{NOTICED} noticed   {BROKEN} noticed by an error, a crash or a hang   {QUIET} not noticed",
    "numerical: against central differences; accuracy: at least "
    f"{ENOUGH:.0%} of {TEST_IMAGES:,} digits after {TRAINING_IMAGES:,}, seen once;",
    f"all others: against Keras' stored answers, means within {MEAN_TOLERANCE:.1%} of the mean "
    "magnitude.",
]


class Finding(NamedTuple):
    """What a check made of a bug: a mark, and in words what it noticed first."""

    mark: str
    words: str = ""


Findings = dict[str, Finding]  # by check


class Matrix(NamedTuple):
    """Findings by bug; the right code comes first."""

    findings: dict[str, Findings]

    @property
    def false_alarms(self) -> list[str]:
        """Checks that find fault with the right code."""
        return [check for check in CHECKS if _noticed(self.findings[RIGHT_CODE], check)]

    @property
    def missed(self) -> list[str]:
        """Bugs not noticed by those checks that ought to.

        A wrong output or gradient of a layer has to be noticed element by element or numerically.
        Of other bugs it is enough that one check notices them.
        """
        missed = []
        for bug in _bugs(self.findings):
            enough = ("elementwise", "numerical") if bug.kind in ("forward", "gradient") else CHECKS
            if not any(_noticed(self.findings[bug.name], check) for check in enough):
                missed.append(bug.name)
        return missed

    @property
    def ok(self) -> bool:
        return not self.false_alarms and not self.missed

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The table as printed."""
        bugs = _bugs(self.findings)
        lines = [heading(), row(RIGHT_CODE, self.findings[RIGHT_CODE])]
        for module, group in itertools.groupby(bugs, lambda bug: bug.module):
            lines += [module, *(row(f"  {bug.name}", self.findings[bug.name]) for bug in group)]
        return lines + self.totals()

    def totals(self) -> list[str]:
        """The end of the table: how many bugs each check noticed, the legend, what is wrong."""
        bugs = _bugs(self.findings)
        counts = [sum(_noticed(self.findings[bug.name], check) for bug in bugs) for check in CHECKS]
        wrong = [f"MISSED: {name}" for name in self.missed]
        wrong += [f"FALSE ALARM: {check}" for check in self.false_alarms]
        return [_cells(f"noticed, of {len(bugs)}", counts), *LEGEND, *wrong]


def heading() -> str:
    """The first line of the table."""
    return _cells("", CHECKS)


def row(name: str, findings: Findings) -> str:
    """One line of the table."""
    return _cells(name, (findings[check].mark for check in CHECKS))


def _cells(name: str, values: Iterable[Any]) -> str:
    cells = zip(values, CHECKS, strict=True)
    return f"{name:{NAME_WIDTH}}" + "".join(f"{v!s:>{len(check) + 2}}" for v, check in cells)


def _noticed(findings: Findings, check: str) -> bool:
    return findings[check].mark != QUIET


def _bugs(findings: dict[str, Findings]) -> list[Bug]:
    return [bug for bug in BUGS if bug.name in findings]


def kill_matrix(
    names: Iterable[str] | None = None,
    progress: Callable[[str, Findings], None] | None = None,
) -> Matrix:
    """Let every check look at the right code, then at every bug, or at those of the given names.

    Each has a process of its own, as many at a time as there are cores: half a minute for a bug in
    the largest kernel, which has to be compiled, and some seconds for others.

    Parameters
    ----------
    names : iterable of str, optional
    progress : callable, optional
        Told the name and the findings of one after the other, in the order of the table.
    """
    chosen = [bug.name for bug in BUGS] if names is None else [_bug(name).name for name in names]
    tell = progress or (lambda name, found: None)
    # The right code goes first, alone: it leaves compiled kernels behind for all others to use.
    findings = {RIGHT_CODE: _examine(RIGHT_CODE)}
    tell(RIGHT_CODE, findings[RIGHT_CODE])
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for name, found in zip(chosen, pool.map(_examine, chosen), strict=True):
            findings[name] = found
            tell(name, found)
    finally:
        pool.shutdown(cancel_futures=True)
    return Matrix(findings)


def _bug(name: str) -> Bug:
    for bug in BUGS:
        if bug.name == name:
            return bug
    raise ValueError(f"expected the name of a bug in the zoo, received {name!r}")


def _examine(name: str) -> Findings:
    """What each check makes of one bug, in a process of its own, as a bug may bring it down."""
    findings: Findings = {}
    while waiting := [check for check in CHECKS if check not in findings]:
        command = [sys.executable, "-m", "minicnn.parity.zoo", name, *waiting]
        end = ""
        try:
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
            output = done.stdout
            if done.returncode:
                end = f"exit code {done.returncode}: {done.stderr.decode()[-500:]}"
        except subprocess.TimeoutExpired as late:
            output, end = late.stdout or b"", f"no answer for {PATIENCE:.0f} s"
        for line in output.decode().splitlines():
            check, mark, words = json.loads(line)
            findings[check] = Finding(mark, words)
        stopped = next((check for check in waiting if check not in findings), None)
        if stopped:
            findings[stopped] = Finding(BROKEN, end)
    return findings


def _main(name: str, *checks: str) -> None:
    """Write one line for each check, as it is done: its name, a mark, and words."""
    with contextlib.ExitStack() as stack:
        if name != RIGHT_CODE:
            _, _, module, old, new = _bug(name)
            stack.enter_context(planted(module, altered(module, old, new)))
        zoo = importlib.import_module("minicnn.parity.zoo")  # which sees the planted package
        zoo.minicnn.set_num_threads(1)  # other bugs are examined on other cores
        for check in checks:
            print(json.dumps([check, *zoo.finding(check)]), flush=True)


def finding(check: str) -> Finding:
    """What one check makes of the package as it is."""
    try:
        words = CHECKS[check]()
    except Exception as error:
        return Finding(BROKEN, repr(error))
    return Finding(NOTICED, words) if words else Finding(QUIET)


if __name__ == "__main__":
    _main(*sys.argv[1:])
