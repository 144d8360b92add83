"""The engine's updates: sums of gradients, and optimizers in parts on all threads."""

import numpy as np
import pytest

import minicnn
from minicnn.engine import updates
from minicnn.optimizers import SGD, Adam, Optimizer
from tests.promises.optimizers import CONFIGURATIONS
from tests.tolerances import assert_close

SHAPES = [(300, 1000), (7,), (3, 2)]  # the first in several parts


def arrays(rng, dtype="float32"):
    return [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("optimizer", "arguments"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_steps_equal_those_of_the_optimizer(optimizer, arguments, threads, dtype, rng):
    minicnn.set_num_threads(threads)
    ours, core = optimizer(**arguments), optimizer(**arguments)
    weights = arrays(rng, dtype)
    expected = [weight.copy() for weight in weights]
    for _ in range(3):
        shards = [arrays(rng, dtype) for _ in range(3)]
        core.apply([a + b + c for a, b, c in zip(*shards, strict=True)], expected)
        updates.update_weights(ours, [list(parts) for parts in zip(*shards, strict=True)], weights)
    for found, wanted in zip(weights, expected, strict=True):
        assert_close(found, wanted, dtype)
    assert ours.iterations == core.iterations == 3
    for slot in ours.slots:
        for found, wanted in zip(ours.state[slot], core.state[slot], strict=True):
            assert_close(found, wanted, dtype)


@pytest.mark.parametrize("base", [SGD, Adam, Optimizer])
def test_an_own_optimizer_receives_whole_weights(base, rng):
    shapes = []

    class Own(base):
        slots = ()
        elementwise = False

        def update(self, gradient, weight, *slots):
            shapes.append(weight.shape)
            weight -= 0.1 * gradient

    weights, gradients = arrays(rng), arrays(rng)
    expected = [w - 0.1 * g for w, g in zip(weights, gradients, strict=True)]
    updates.update_weights(Own(learning_rate=0.1), [[gradient] for gradient in gradients], weights)
    assert shapes == SHAPES
    for found, wanted in zip(weights, expected, strict=True):
        assert_close(found, wanted, "float32")


def test_an_own_apply_receives_the_sums_of_all_gradients(rng):
    received = []

    class Own(Optimizer):
        def apply(self, gradients, weights):
            received.append((gradients, weights))

    weights, shards = arrays(rng), [arrays(rng) for _ in range(3)]
    expected = [a + b + c for a, b, c in zip(*shards, strict=True)]
    updates.update_weights(Own(0.1), [list(parts) for parts in zip(*shards, strict=True)], weights)
    ((gradients, given),) = received
    assert given is weights
    for found, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [10, 64])
def test_products_are_computed_where_they_are_needed(rng, units, dtype, monkeypatch):
    """Whatever the parts, the numbers are those of the product of the whole batch."""
    x, dz = (rng.standard_normal((9, size)).astype(dtype) for size in (101, units))
    shards = [updates.Product(x[part], dz[part]) for part in (slice(0, 4), slice(4, 9))]
    (product,) = updates.joined(shards)
    assert product.shape == product.array().shape == (101, units)
    assert_close(product.array(), x.T @ dz, dtype)
    others = [rng.standard_normal(product.shape).astype(dtype)]  # of a regularizer, for instance
    whole, in_parts = (rng.standard_normal(product.shape).astype(dtype) for _ in range(2))
    in_parts[:] = whole
    updates.update_weights(SGD(0.1), [[product.array(), *others]], [whole])
    monkeypatch.setattr(updates, "MOST_NUMBERS", 77)
    updates.update_weights(SGD(0.1), [[product, *others]], [in_parts])
    assert_close(in_parts, whole, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_of_a_gradient_that_has_become_zero_become_zero(dtype):
    """And not as denormal numbers, with which processors are a hundred times slower."""
    weight, optimizer = np.zeros(3, dtype), Adam(beta_1=0.5, beta_2=0.5)
    updates.update_weights(optimizer, [[np.array([1, -1e-3, 1e-15], dtype)]], [weight])
    for _ in range(1200):
        updates.update_weights(optimizer, [[np.zeros(3, dtype)]], [weight])
        for moment in (optimizer.state["m"][0], optimizer.state["v"][0]):
            assert ((moment == 0) | (np.abs(moment) >= np.finfo(dtype).tiny)).all()
    assert not optimizer.state["m"][0].any()
