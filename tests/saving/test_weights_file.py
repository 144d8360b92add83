"""Files of weights: they load the bits that were saved, or are refused and change nothing."""

import zipfile

import numpy as np
import pytest

from minicnn import Input, Sequential
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tests.promises.damaged_files import weights_files
from tests.twins import SPARSE, bits


def new_model(dtype="float32", units=4, name=None):
    """A compiled model; `name` is that of its first layer."""
    parts = [Conv2D(3, 3, padding="same", name=name), MaxPooling2D(), Conv2D(2, 2, use_bias=False)]
    parts += [Flatten(), Dense(units, activation="softmax")]
    model = Sequential([Input((6, 5, 2)), *parts], dtype=dtype)
    model.compile("sgd", SPARSE)
    return model


@pytest.fixture
def path(tmp_path):
    """A file with the weights of a model."""
    path = tmp_path / "some [weights].npz"
    new_model().save_weights(path)
    return path


def arrays_in(path):
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def assert_refused(path, *, error=ValueError, message=None):
    """Returns the message of the error."""
    model = new_model()
    before = bits(model)
    with pytest.raises(error, match=message) as caught:
        model.load_weights(path)
    assert path.name in str(caught.value)
    assert bits(model) == before
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_are_loaded_bit_for_bit(tmp_path, rng, dtype):
    model = new_model(dtype)
    weights = [rng.normal(size=weight.shape) for weight in model.get_weights()]
    weights[1][:3] = np.nan, -0.0, np.inf
    model.set_weights(weights)
    before = bits(model)
    model.save_weights(tmp_path / "w.npz")
    model.set_weights([np.zeros_like(weight) for weight in weights])
    model.load_weights(str(tmp_path / "w.npz"))
    assert bits(model) == before


def test_a_model_with_other_names_takes_the_weights(path):
    # Automatic names continue counting from model to model; given names may differ, too.
    second = new_model(name="eye")
    second.load_weights(path)
    assert bits(second) == [array.tobytes() for array in arrays_in(path).values()]


def test_the_file_holds_arrays_by_readable_names(path):
    names = ["conv2d/kernel", "conv2d/bias", "conv2d_1/kernel", "dense/kernel", "dense/bias"]
    assert list(arrays_in(path)) == names


def test_the_precision_of_the_model_is_used_and_not_that_of_the_file(path):
    model = new_model("float64")
    model.load_weights(path)
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float64")}


def test_weights_are_loaded_into_the_existing_arrays(path, rng):
    model = new_model()
    own = model.layers[0].params["kernel"]
    model.load_weights(path)
    assert model.layers[0].params["kernel"] is own
    before = bits(model)
    model.fit(rng.normal(size=(4, 6, 5, 2)), [0, 1, 2, 3], verbose=0)
    assert bits(model) != before


@pytest.mark.parametrize("name", ["w", "w.npy", "w.npz.gz", "npz"])
def test_other_suffixes_are_refused(tmp_path, name):
    model = new_model()
    for call in (model.save_weights, model.load_weights):
        with pytest.raises(ValueError, match=r"to end in \.npz, .*received .*" + name):
            call(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path):
    assert_refused(tmp_path / "missing.npz", error=FileNotFoundError)
    assert_refused(tmp_path / "folder" / "missing.npz", error=FileNotFoundError)
    (tmp_path / "folder.npz").mkdir()
    assert_refused(tmp_path / "folder.npz", error=OSError)


def test_weights_of_another_architecture_are_refused(tmp_path):
    path = tmp_path / "other.npz"
    Sequential([Input((4,)), Dense(3), Dense(2)]).save_weights(path)
    assert_refused(path, message=r"expected the arrays .*conv2d/bias.*found .*dense_1/bias")


def test_weights_of_other_shapes_are_refused(tmp_path):
    path = tmp_path / "other.npz"
    new_model(units=5).save_weights(path)
    assert_refused(path, message=r"expected dense/kernel of shape \(4, 4\).*shape \(4, 5\)")


def test_single_precision_under_a_header_of_half_precision_is_refused(tmp_path):
    # Half the bytes would be enough, and zipfile compares checksums only when all have been read.
    path = tmp_path / "w.npz"
    model = Sequential([Input((3000,)), Dense(4, use_bias=False)])
    model.save_weights(path)
    path.write_bytes(path.read_bytes().replace(b"'<f4'", b"'<f2'"))
    before = bits(model)
    with pytest.raises(ValueError, match="dense/kernel has more bytes than"):
        model.load_weights(path)
    assert bits(model) == before


def test_a_message_is_short_whatever_the_file_holds(path):
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}" * 5000, b"")
    assert len(assert_refused(path, message="expected the arrays")) < 11_000


def test_promise_17_damaged_files_are_refused():
    kept, figure = weights_files(0.2)
    assert kept, figure
