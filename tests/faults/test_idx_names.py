"""IDX files under the names of EMNIST and with dots; labels from 1; images on their side."""

import gzip

import numpy as np
import pytest

from minicnn import datasets
from minicnn.datasets import load_idx
from tests.idx_files import NAMES, idx, write_folder
from tests.twins import classifier

RNG = np.random.default_rng(6)
ARRAYS = {
    "x_train": RNG.integers(256, size=(5, 4, 3), dtype=np.uint8),
    "y_train": np.array([1, 3, 2, 1, 3], np.uint8),
    "x_test": RNG.integers(256, size=(2, 4, 3), dtype=np.uint8),
    "y_test": np.array([2, 1], np.uint8),
}
EMNIST = {
    "x_train": "{}-train-images-idx3-ubyte",
    "y_train": "{}-train-labels-idx1-ubyte",
    "x_test": "{}-test-images-idx3-ubyte",
    "y_test": "{}-test-labels-idx1-ubyte",
}


def write(folder, names, arrays=ARRAYS, prefix="", gzipped=False):
    for key, name in names.items():
        name, content = name.format(prefix), idx(arrays[key])
        path = folder / (f"{name}.gz" if gzipped else name)
        path.write_bytes(gzip.compress(content) if gzipped else content)


def loaded(*arguments):
    (x_train, y_train), (x_test, y_test) = load_idx(*arguments)
    return dict(zip(ARRAYS, (x_train, y_train, x_test, y_test), strict=True))


def assert_same(found, expected):
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array, strict=True)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("dotted", NAMES)
def test_names_with_dots(tmp_path, dotted, gzipped):
    """As programs that unpack archives write them: t10k-images.idx3-ubyte."""
    names = NAMES | {dotted: NAMES[dotted].replace("-idx", ".idx")}
    write(tmp_path, names, gzipped=gzipped)
    assert_same(loaded(tmp_path), ARRAYS)


@pytest.mark.parametrize("gzipped", [False, True])
def test_emnist_is_read_under_its_names_and_upright(tmp_path, gzipped):
    stored = {key: a.swapaxes(1, 2) if a.ndim == 3 else a for key, a in ARRAYS.items()}
    write(tmp_path, EMNIST, stored, "emnist-letters", gzipped)
    found = loaded(tmp_path)
    assert_same(found, ARRAYS)  # labels as they are, from 1
    assert all(array.flags.c_contiguous for array in found.values())
    others = {key: np.zeros_like(array) for key, array in stored.items()}
    write(tmp_path, EMNIST, others, "emnist-digits")
    with pytest.raises(ValueError, match="several data sets, emnist-digits, emnist-letters: pass"):
        load_idx(tmp_path)
    assert_same(loaded(tmp_path, "emnist-letters"), ARRAYS)
    assert not loaded(tmp_path, "emnist-digits")["x_test"].any()


def test_other_names_in_front_are_not_turned(tmp_path):
    write(tmp_path, EMNIST, ARRAYS, "kuzushiji")
    assert_same(loaded(tmp_path), ARRAYS)
    (tmp_path / "kuzushiji-test-labels-idx1-ubyte").unlink()
    message = r"expected a file kuzushiji-test-labels-idx1-ubyte or .*\.gz in "
    with pytest.raises(FileNotFoundError, match=message):
        load_idx(tmp_path)
    write_folder(tmp_path, {key: array + 1 for key, array in ARRAYS.items()})
    assert_same(loaded(tmp_path), {key: array + 1 for key, array in ARRAYS.items()})


def test_fashion_mnist_is_found_under_names_with_dots(tmp_path, monkeypatch):
    folder = tmp_path / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    write(folder, {key: name.replace("-idx", ".idx") for key, name in NAMES.items()})
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (x_train, _), _ = datasets.fashion_mnist.load_data()
    np.testing.assert_array_equal(x_train, ARRAYS["x_train"])


def test_a_batch_of_cifar_that_is_gzipped_is_not_taken_for_one(tmp_path):
    for number in range(1, 6):
        (tmp_path / f"data_batch_{number}.bin.gz").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="CIFAR-10 is not part of minicnn"):
        datasets.cifar10.load_data(tmp_path)


def test_labels_that_count_from_1_are_explained():
    model, x = classifier(), np.ones((3, 5))
    with pytest.raises(ValueError, match=r"labels that count from 1 are passed as y - 1$"):
        model.fit(x, [1, 2, 3])
    for other in ([0, 2, 3], [1, 2, 4], [2, 2, 3]):
        with pytest.raises(ValueError, match=r"at position \d$"):
            model.fit(x, other)
