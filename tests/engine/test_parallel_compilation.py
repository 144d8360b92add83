"""Helpers, which compile kernels in other processes."""

import importlib

import numpy as np
import pytest

from minicnn import Input, Sequential
from minicnn.engine import compiling
from minicnn.engine import parallel_compilation as parallel
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from minicnn.tutorial import tutorial_network

CALLED = """
import numpy as np
from numba.core import dispatcher
from minicnn import tutorial
called, original = set(), dispatcher.Dispatcher._compile_for_args

def compile_for_args(kernel, *arguments):
    called.add(f"{kernel.py_func.__module__.rpartition('.')[2]}.{kernel.py_func.__name__}")
    return original(kernel, *arguments)

dispatcher.Dispatcher._compile_for_args = compile_for_args
model = tutorial.tutorial_network()
model.compile("adam", "sparse_categorical_crossentropy")
model.train_on_batch(np.zeros((32, 28, 28, 1)), np.zeros(32, int))
print(*called)
"""


def kernel_named(name):
    module, function = name.split(".")
    return getattr(importlib.import_module(f"minicnn.engine.kernels.{module}"), function)


def test_the_kernels_of_a_first_step_are_those_of_the_tutorials_network(python):
    """Those called from Python: what these call is compiled with them."""
    done = python("-c", CALLED)
    assert set(done.stdout.split()) == parallel.FORWARD.keys() | parallel.BACKWARD.keys()


def test_every_share_is_of_those_kernels_and_each_is_in_one():
    for number, shares in parallel.SHARES.items():
        names = [name for share in shares for name in share]
        assert len(shares) == number
        assert len(names) == len(set(names))
        assert set(names) <= parallel.FORWARD.keys() | parallel.BACKWARD.keys()


def test_helpers_compile_for_the_types_that_layers_use(rng):
    """If a type were wrong, a helper's work would be in vain, and nobody would notice."""
    stacks = [
        tutorial_network().layers,
        [*(Conv2D(8, 3, activation="relu") for _ in range(3)), MaxPooling2D(3), MaxPooling2D()],
        [*(Conv2D(f, 3, s, activation="relu") for f, s in ((8, 2), (8, 2), (3, 1), (8, 1)))],
        [Conv2D(2, 3, algorithm="direct"), Conv2D(2, 3, algorithm="direct")],
    ]
    for layers in stacks:
        head = [] if isinstance(layers[-1], Dense) else [Flatten(), Dense(4, activation="softmax")]
        model = Sequential([Input((28, 28, 1)), *layers, *head])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.train_on_batch(rng.random((2, 28, 28, 1)), np.zeros(2, int))
        model.predict(rng.random((2, 28, 28, 1)), verbose=0)
    for name in parallel.ARGUMENTS:
        assert parallel.signature_of(name, "float32") in kernel_named(name).signatures, name


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A helper with an empty cache, whose share is a kernel that compiles in a moment."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    helper = parallel.Helper(("adam.adam",), "float64")
    yield helper
    helper.stop()


def test_a_helper_writes_its_share_to_disk_and_says_so(helper, tmp_path):
    with helper.progress:
        assert helper.progress.wait_for(lambda: helper.begun, timeout=60)
    assert helper.has_compiled("adam.adam")
    assert list(tmp_path.rglob("adam.adam*.nbc"))
    assert not helper.has_compiled("dense.forward")


def test_nobody_waits_for_a_kernel_that_is_not_begun(helper):
    assert helper.begun == []
    assert not helper.has_compiled("adam.adam")


def test_nobody_waits_for_a_helper_that_has_ended(helper):
    helper.begun.append("adam.adam")
    helper.process.kill()
    helper.has_compiled("adam.adam")


def test_a_helper_is_ended_with_the_process_that_started_it(helper):
    helper.stop()
    assert helper.process.returncode is not None


def test_helpers_are_asked_for_kernels_of_a_first_step_only(monkeypatch):
    monkeypatch.setattr(parallel, "_started", lambda dtype: pytest.fail("started"))
    monkeypatch.setattr(parallel, "_helpers", {})
    signature = parallel.signature_of("im2col.forward", "float32")
    assert not parallel.compiled_by_helper("im2col.forward", signature)
    monkeypatch.setattr(parallel, "enabled", False)
    signature = parallel.signature_of("dense.forward", "float32")
    assert not parallel.compiled_by_helper("dense.forward", signature)


def test_helpers_compile_for_the_dtype_of_the_floats(monkeypatch):
    """The first array of `cross_entropy` is one of integers, the labels."""
    asked = []
    monkeypatch.setattr(parallel, "_started", lambda dtype: asked.append(dtype) or [])
    monkeypatch.setattr(parallel, "_helpers", {})
    for name in parallel.FORWARD | parallel.BACKWARD:
        parallel.compiled_by_helper(name, parallel.signature_of(name, "float32"))
    assert asked == ["float32"]


@pytest.mark.parametrize(("threads", "helpers"), [(1, 0), (2, 1), (3, 2), (4, 3), (64, 3)])
def test_there_are_as_many_processes_as_threads_are_allowed_but_at_most_four(
    monkeypatch, threads, helpers
):
    started = []
    monkeypatch.setattr(parallel, "Helper", lambda *arguments: started.append(arguments))
    monkeypatch.setattr("minicnn.engine.threads._threads", threads)
    assert len(parallel._started("float32")) == helpers
    assert [len(later) > 0 for _, _, later in started] == [True, False, False][:helpers]


def test_compile_ahead_starts_one_helper_for_all_kernels(monkeypatch):
    started = []
    monkeypatch.setattr(parallel, "Helper", lambda *arguments: started.append(arguments))
    monkeypatch.setattr(parallel, "_helpers", {})
    for threads in (1, 2, 2):
        monkeypatch.setattr("minicnn.engine.threads._threads", threads)
        parallel.compile_ahead("float32")
    assert started == [(tuple(parallel.ARGUMENTS), "float32")]


def test_what_a_helper_has_compiled_is_loaded_from_disk(monkeypatch):
    """A kernel that is not on disk at first, and is there after waiting for the helper."""
    asked, kernel = [], kernel_named("dense.forward")
    signature = parallel.signature_of("dense.forward", "float32")
    cache = compiling._Cache(kernel.py_func)
    monkeypatch.setattr(cache, "_load", lambda *_: "machine code" if asked else None)
    monkeypatch.setattr(compiling, "compiled_by_helper", lambda *a: asked.append(a) or True)
    assert cache.load_overload(signature, None) == "machine code"
    assert asked == [("dense.forward", signature)]
