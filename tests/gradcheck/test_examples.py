"""The examples of the base classes, in `help()` and in the README, run, learn and are right."""

import doctest
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from minicnn import (
    Input,
    Sequential,
    activations,
    initializers,
    layers,
    load_model,
    losses,
    metrics,
    optimizers,
)
from minicnn import layer as layer_module
from minicnn.gradcheck import check_gradients

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BASES = {
    layer_module.Layer: layer_module,
    losses.Loss: losses,
    metrics.Metric: metrics,
    optimizers.Optimizer: optimizers,
    initializers.Initializer: initializers,
}


def defined_in(base, module):
    """The class of the example in the docstring of a base class."""
    names = dict(vars(module)) | {"__name__": "user"}
    (test,) = doctest.DocTestFinder(recurse=False).find(base, base.__name__, module, names)
    assert test.examples
    runner = doctest.DocTestRunner()
    assert runner.run(test, clear_globs=False).failed == 0
    new = set(test.globs) - set(names)
    (found,) = (test.globs[name] for name in new if inspect.isclass(test.globs[name]))
    assert issubclass(found, base)
    return found


def test_help_has_an_example_of_each_base_class(rng, tmp_path):
    own = {base.__name__: defined_in(base, module) for base, module in BASES.items()}
    assert 'Activation("tanh", np.tanh' in activations.Activation.__doc__
    trains(own, activations.Activation("tanh", np.tanh, lambda dy, y: dy * (1 - y**2)), tmp_path)


def test_the_examples_of_the_readme(tmp_path):
    (source,) = re.findall(r"```py\n(.*?)```", README, flags=re.DOTALL)
    names = {}
    exec(compile(source, "README.md", "exec"), names)
    own = {
        base.__name__: next(
            value
            for value in names.values()
            if inspect.isclass(value) and issubclass(value, base) and value is not base
        )
        for base in BASES
    }
    trains(own, names["tanh"], tmp_path)


def trains(own, tanh, folder):
    """A network of all of them has right gradients, learns, is saved and loaded."""
    rng = np.random.default_rng(0)
    model = Sequential(
        [
            Input((5,)),
            layers.Dense(8, tanh, kernel_initializer=own["Initializer"]()),
            own["Layer"](),
            layers.Dense(2),
        ],
        dtype="float64",
    )
    model.compile(own["Optimizer"](0.05), own["Loss"](), metrics=[own["Metric"]("own")])
    x = rng.standard_normal((60, 5))
    y = np.stack([x[:, 0] - x[:, 1], np.sin(x[:, 2])], axis=1)
    check_gradients(model, x[:7], y[:7], rng=rng).assert_ok()
    history = model.fit(x, y, epochs=15, batch_size=17, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 3
    model.save(folder / "model.npz")
    missing = ("tanh", "HeNormal", "Scale", own["Optimizer"].__name__, "MeanSquaredError")
    with pytest.raises(ValueError, match=".*".join([*missing, own["Metric"].__name__])):
        load_model(folder / "model.npz")
    custom = {cls.__name__: cls for cls in own.values()} | {"tanh": tanh}
    loaded = load_model(folder / "model.npz", custom_objects=custom)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_the_lines_of_the_readme_are_what_the_checks_say(rng):
    from tests.gradcheck import zoo

    quoted = re.search(r"`(dkernel: 20 of 20 entries are wrong; [^`]*)`", README)[1]
    assert quoted in str(zoo.judged(zoo.DenseMean))
