"""Files of weights: they load the bits that were saved, or are refused and change nothing."""

import io
import pickle
import zipfile

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tests.promises.damaged_files import weights_files


def new_model(dtype="float32", units=4):
    return Sequential(
        [
            Input((6, 5, 2)),
            Conv2D(3, 3, padding="same", activation="relu"),
            MaxPooling2D(),
            Conv2D(2, 2, use_bias=False),
            Flatten(),
            Dense(units, activation="softmax"),
        ],
        dtype=dtype,
    )


def bits(model):
    return [weight.tobytes() for weight in model.get_weights()]


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
    model = new_model()
    before = bits(model)
    with pytest.raises(error, match=message) as caught:
        model.load_weights(path)
    assert path.name in str(caught.value)
    assert bits(model) == before


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
    second = Sequential(
        [
            Input((6, 5, 2)),
            Conv2D(3, 3, padding="same", activation="relu", name="eye"),
            MaxPooling2D(),
            Conv2D(2, 2, use_bias=False),
            Flatten(),
            Dense(4, activation="softmax"),
        ]
    )
    second.load_weights(path)
    assert second.layers[0].name != new_model().layers[0].name
    for weight, saved in zip(second.get_weights(), arrays_in(path).values(), strict=True):
        assert np.array_equal(weight, saved)


def test_the_file_holds_arrays_by_readable_names(path):
    names = ["conv2d/kernel", "conv2d/bias", "conv2d_1/kernel", "dense/kernel", "dense/bias"]
    assert list(arrays_in(path)) == names


def test_the_precision_of_the_model_is_used_and_not_that_of_the_file(path):
    model = new_model("float64")
    model.load_weights(path)
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float64")}


def test_weights_are_loaded_into_the_existing_arrays(path, rng):
    model = new_model()
    model.compile("sgd", "sparse_categorical_crossentropy")
    own = model.layers[0].params["kernel"]
    model.load_weights(path)
    assert model.layers[0].params["kernel"] is own
    before = bits(model)
    model.fit(rng.normal(size=(4, 6, 5, 2)), [0, 1, 2, 3], verbose=0)
    assert bits(model) != before


@pytest.mark.parametrize("name", ["w", "w.h5", "w.weights.h5", "w.npy", "w.npz.gz", "npz"])
def test_other_suffixes_are_refused(tmp_path, name):
    model = new_model()
    for call in (model.save_weights, model.load_weights):
        with pytest.raises(ValueError, match=r"to end in \.npz, received .*" + name):
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


# name: what is changed in the arrays of a valid file
DAMAGED_ARRAYS = {
    "a missing array": lambda arrays: arrays.pop("dense/bias"),
    "an extra array": lambda arrays: arrays.update(extra=np.zeros(1)),
    "another name": lambda arrays: arrays.update(bias=arrays.pop("dense/bias")),
    "a path": lambda arrays: arrays.update({"../bias": arrays.pop("dense/bias")}),
    "an axis less": lambda arrays: arrays.update({"dense/bias": np.float32(1)}),
    "a transpose": lambda arrays: arrays.update({"conv2d/kernel": arrays["conv2d/kernel"].T}),
    "integers": lambda arrays: arrays.update({"dense/bias": np.zeros(4, int)}),
    "complex": lambda arrays: arrays.update({"dense/bias": np.zeros(4, complex)}),
    "text": lambda arrays: arrays.update({"dense/bias": np.array(list("abcd"))}),
    "records": lambda arrays: arrays.update({"dense/bias": np.zeros(4, [("a", "f4")])}),
    "a large array": lambda arrays: arrays.update({"dense/bias": np.zeros(10**7)}),
}


@pytest.mark.parametrize("damage", DAMAGED_ARRAYS.values(), ids=DAMAGED_ARRAYS.keys())
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_that_do_not_fit_are_refused(path, damage, save):
    arrays = arrays_in(path)
    damage(arrays)
    save(path, **arrays)
    assert_refused(path, message="does not hold the weights of this model: ")


exploded = []


class Bomb:
    """Appends to `exploded` when it is unpickled."""

    def __reduce__(self):
        return exploded.append, ("it ran",)


def test_pickled_objects_are_refused_and_not_unpickled(path):
    arrays = arrays_in(path)
    arrays["dense/bias"] = np.array([Bomb()] * 4, dtype=object)
    np.savez(path, **arrays)
    assert_refused(path, message=r"found shape \(4,\) of object")
    path.write_bytes(pickle.dumps(Bomb()))
    assert_refused(path)
    assert exploded == []


def test_files_that_are_not_archives_are_refused(path):
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    for content in (b"", b"PK", b"weights", array.getvalue(), bytes(1000)):
        path.write_bytes(content)
        assert_refused(path, message="does not hold the weights")


def test_a_header_that_claims_too_much_takes_no_memory(path):
    arrays = arrays_in(path)
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array)
            content = member.getvalue()
            if key == "dense/bias":  # padded with spaces, so that the length stays the same
                content = content.replace(b"(4,), }" + 14 * b" ", b"(400000000000000,), }")
                assert content != member.getvalue()
            archive.writestr(f"{key}.npy", content)
    assert_refused(path)


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
    assert_refused(path, message="expected the arrays")
    with pytest.raises(ValueError, match="expected the arrays") as caught:
        new_model().load_weights(path)
    assert len(str(caught.value)) < 11_000


def test_promise_17_damaged_files_are_refused():
    kept, figure = weights_files(0.1)
    assert kept, figure


def test_loaded_weights_of_a_trained_model_give_the_same_predictions(tmp_path, rng):
    minicnn.set_random_seed(5)
    model, other = new_model(), new_model()
    model.compile("adam", "sparse_categorical_crossentropy")
    x = rng.normal(size=(20, 6, 5, 2))
    model.fit(x, rng.integers(0, 4, 20), epochs=2, verbose=0)
    model.save_weights(tmp_path / "w.npz")
    other.load_weights(tmp_path / "w.npz")
    assert np.array_equal(model.predict(x, verbose=0), other.predict(x, verbose=0))
