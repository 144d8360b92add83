"""All forms in which the same valid numbers may be passed, and what is done with them."""

import numpy as np

from minicnn import gradcheck
from minicnn.data import Dataset
from minicnn.layers import Dense
from tests.promises.small_network import X

# Whole numbers, so that integers and float16 hold them exactly.
WHOLE = np.round(X * 5).astype("float32")


def misaligned(x):
    """A copy at an odd address, as in a packed file."""
    memory = np.zeros(x.nbytes + 1, np.uint8)
    result = memory[1:].view(x.dtype).reshape(x.shape)
    result[:] = x
    if result.flags.aligned:
        raise AssertionError("expected an array that is not aligned")
    return result


def read_only(x):
    result = x.copy()
    result.flags.writeable = False
    return result


def strided(x):
    """Every second image, row, column and channel of something larger."""
    larger = np.full([2 * size for size in x.shape], -1e9, x.dtype)
    result = larger[(slice(None, None, 2),) * x.ndim]
    result[:] = x
    return result


def memory_map(x, folder, mode):
    path = folder / "x.bin"
    x.tofile(path)
    return np.memmap(path, x.dtype, mode, shape=x.shape)


class ArrayLike:
    """Not an array, but convertible to one, as tables of other libraries are."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


# Dtypes that hold `WHOLE`, but not all of the other samples.
WHOLE_ONLY = ("float16", "uint8", "int8", "int64", "uint64", ">i2")
FORMS = {
    dtype: lambda x, folder, dtype=dtype: x.astype(dtype)
    for dtype in ("float64", "longdouble", *WHOLE_ONLY)
} | {
    "plain": lambda x, folder: x.copy(),
    "Fortran order": lambda x, folder: np.asfortranarray(x),
    "last axis seen as first": lambda x, folder: np.moveaxis(np.moveaxis(x, -1, 1).copy(), 1, -1),
    "strided": lambda x, folder: strided(x),
    "reversed": lambda x, folder: x[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda x, folder: x.astype(x.dtype.newbyteorder(">")),
    "misaligned": lambda x, folder: misaligned(x),
    "read-only": lambda x, folder: read_only(x),
    "memory map": lambda x, folder: memory_map(x, folder, "r"),
    "writable memory map": lambda x, folder: memory_map(x, folder, "r+"),
    "copy-on-write memory map": lambda x, folder: memory_map(x, folder, "c"),
    "lists": lambda x, folder: x.tolist(),
    "tuple of arrays": lambda x, folder: tuple(x),
    "broadcast": lambda x, folder: np.broadcast_to(x, x.shape),
    "masked array with nothing masked": lambda x, folder: np.ma.array(x),
    "a table that can be converted to an array": lambda x, folder: ArrayLike(x),
}
LABELS = {
    "uint8": lambda y: y.astype("uint8"),
    "column": lambda y: y[:, None],
    "floats": lambda y: y.astype("float32"),
    "half floats": lambda y: y.astype("float16"),
    "big-endian": lambda y: y.astype(">i8"),
    "list": lambda y: y.tolist(),
    "reversed": lambda y: y[::-1].copy()[::-1],
    "read-only": lambda y: read_only(y),
    "strided": lambda y: np.repeat(y, 2)[::2],
    "misaligned": lambda y: misaligned(y),
    "masked array with nothing masked": lambda y: np.ma.array(y),
}


def _fit(model, x, y):
    history = model.fit(x, y, batch_size=4, epochs=2, verbose=0, validation_data=(x, y))
    return [*(history.history[name] for name in sorted(history.history)), *model.get_weights()]


def _fit_dataset(model, x, y):
    x, y = np.asarray(x), np.asarray(y)
    model.fit(Dataset.from_tensor_slices((x, y)).batch(4), verbose=0)
    return model.get_weights()


# What is done with samples by a new model: returns everything that results.
CALLS = {
    "predict": lambda model, x, y: [model.predict(x, verbose=0)],
    "predict_on_batch": lambda model, x, y: [model.predict_on_batch(x)],
    "evaluate": lambda model, x, y: [model.evaluate(x, y, verbose=0)],
    "fit": _fit,
    "train_on_batch": lambda model, x, y: [model.train_on_batch(x, y), *model.get_weights()],
    "fit of a Dataset": _fit_dataset,
}


def gradient_checks(forms, folder):
    """`check_gradients` of double precision in any layout: (number of calls, which differ)."""
    x = X[:2, :3, 0, 0].astype(np.float64)

    def report(given):
        return gradcheck.check_gradients(Dense(2), given, rng=np.random.default_rng(0))

    expected, count, wrong = report(x), 0, []
    for kind, make in forms:
        given = make(x, folder)
        if isinstance(given, np.ndarray) and given.dtype.newbyteorder("=") == np.float64:
            count += 1
            if report(given) != expected or not expected.ok:
                wrong.append(f"check_gradients of {kind}")
    return count, wrong
