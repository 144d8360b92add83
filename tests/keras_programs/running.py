"""Runs the programs of this folder: as they are under Keras, with other imports under minicnn.

The rule for imports is that of the README: `tensorflow` and `keras` become `minicnn` and
`minicnn.keras`, in import lines and nowhere else.

Data are few: real digits, which also stand for pictures of clothes, and made colour images.
"""

import importlib
import re
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import minicnn

FOLDER = Path(__file__).parent
PROGRAMS = sorted(
    path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "running")
)
# Programs in which something is random that does not come from NumPy alone.
RANDOM = {
    "augmentation_layers",
    "channels_by_backend",
    "flipped_images",
    "generator_and_plateau",
    "larger_network",
    "one_hot_dropout",
    "pipeline",
    "quickstart",
    "random_features",
}
NEEDS_MORE = {"picture_of_the_model"}  # of Keras: pydot, which minicnn does without
TRAINING, TEST = 160, 64  # samples


def with_other_imports(text: str) -> str:
    """The program with its import lines changed."""

    def changed(line: str) -> str:
        if not re.match(r"(from|import)\b", line):
            return line
        line = re.sub(r"\btensorflow\b", "minicnn", line)
        line = re.sub(r"^import keras\b", "from minicnn import keras", line)
        return re.sub(r"^from keras\b", "from minicnn.keras", line)

    return "\n".join(changed(line) for line in text.splitlines())


def digits() -> Any:
    """As `mnist.load_data`, but few."""
    (x, y), (x_test, y_test) = minicnn.datasets.mnist.load_data()
    return (x[:TRAINING], y[:TRAINING]), (x_test[:TEST], y_test[:TEST])


def colours() -> Any:
    """As `cifar10.load_data`, but few, and stripes of ten widths instead of things."""
    rng = np.random.default_rng(5)

    def images(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(n) % 10
        stripes = np.arange(32) // (labels[:, None] + 1) % 2  # (n, 32)
        noise = rng.integers(0, 100, (n, 32, 32, 3))
        return (stripes[:, None, :, None] * 150 + noise).astype(np.uint8), labels[:, None]

    return images(TRAINING), images(TEST)


def run(name: str, library: str, monkeypatch: Any) -> tuple[list[Any], dict[str, Any]]:
    """What `fit` and `evaluate` returned in a program, and its variables at the end.

    Every model starts with weights that depend on their shapes alone, and takes the samples in
    order, so that both libraries do the same.
    """
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    if library == "minicnn":
        text = with_other_imports(text)
        minicnn.clear_session()
    results: list[Any] = []
    _supply_data(library, monkeypatch)
    _watch(library, monkeypatch, results)
    namespace = vars(types.ModuleType(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # input_shape, HDF5, softmax and from_logits, ...
        exec(compile(text, f"{name}.py for {library}", "exec"), namespace)
    return results, namespace


def _supply_data(library: str, monkeypatch: Any) -> None:
    home = "minicnn.keras.datasets" if library == "minicnn" else "keras.datasets"
    for name, load in (("mnist", digits), ("fashion_mnist", digits), ("cifar10", colours)):
        module = importlib.import_module(f"{home}.{name}")
        monkeypatch.setattr(module, "load_data", load)


def _watch(library: str, monkeypatch: Any, results: list[Any]) -> None:
    """Record what `fit` and `evaluate` return, of all models; make them do the same."""
    if library == "minicnn":
        model = minicnn.model.Sequential
    else:
        model = importlib.import_module("keras").Model
    fit, evaluate = model.fit, model.evaluate
    begun = set()

    def watched_fit(self: Any, x: Any = None, y: Any = None, *args: Any, **options: Any) -> Any:
        if id(self) not in begun and name_of(self) not in begun:
            begun.update((id(self), name_of(self)))
            if hasattr(x, "shape"):
                self.build((None, *x.shape[1:]))
            self.set_weights([start(weight) for weight in self.get_weights()])
        if library == "keras":
            self.run_eagerly = True
        history = fit(self, x, y, *args, **{**options, "shuffle": False, "verbose": 0})
        results.append({k: np.array(v, float) for k, v in sorted(history.history.items())})
        return history

    def watched_evaluate(self: Any, *args: Any, **options: Any) -> Any:
        found = evaluate(self, *args, **{**options, "verbose": 0})
        if not isinstance(found, dict):
            results.append({"evaluated": np.array(found, float)})
        return found

    def name_of(model: Any) -> Any:
        return id(model.layers[0])

    monkeypatch.setattr(model, "fit", watched_fit)
    if library == "minicnn":
        monkeypatch.setattr(model, "evaluate", watched_evaluate)
    else:  # Keras' own fit calls evaluate, too

        def outside_of_fit(self: Any, *args: Any, **options: Any) -> Any:
            inside = "_use_cached_eval_dataset" in options
            return (evaluate if inside else watched_evaluate)(self, *args, **options)

        monkeypatch.setattr(model, "evaluate", outside_of_fit)


def start(weight: np.ndarray) -> np.ndarray:
    """The first value of a weight: kernels of some size, everything else as it is."""
    if weight.ndim < 2:
        return weight
    limit = np.sqrt(3 / np.prod(weight.shape[:-1]))
    return np.random.default_rng(weight.size).uniform(-limit, limit, weight.shape)
