"""Fashion-MNIST and CIFAR-10 are read from files on this machine, or an error names the files."""

import gzip
import struct

import numpy as np
import pytest

from minicnn.datasets import cifar10, fashion_mnist


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of Keras' data sets."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    return tmp_path / "datasets"


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_fashion_mnist_is_read_where_keras_or_debian_keep_it(home, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte\.gz.* in .*load_data"):
        fashion_mnist.load_data()
    images = np.arange(5 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(5, 28, 28)
    for folder in (tmp_path / "debian", home / "fashion-mnist", tmp_path / "other"):
        for part in ("train", "t10k"):
            write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
            write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.arange(5, dtype=np.uint8))
        given = [folder] if folder.name == "other" else []
        (x_train, y_train), (x_test, _) = fashion_mnist.load_data(*given)
        np.testing.assert_array_equal(x_train, images)
        np.testing.assert_array_equal(x_test, images)
        assert y_train.tolist() == [0, 1, 2, 3, 4]
        images = images[:, ::-1]


def test_cifar10_is_read_from_its_binary_version(home):
    with pytest.raises(FileNotFoundError, match=r"data_batch_1\.bin.*test_batch\.bin"):
        cifar10.load_data()
    folder = home / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    labels = np.array([[7], [0], [9]], np.uint8)
    records = np.hstack([labels, pixels.transpose(0, 3, 1, 2).reshape(3, -1)])
    for name in (*cifar10.TRAINING, cifar10.TEST):
        (folder / name).write_bytes(records.tobytes())
    (x_train, y_train), (x_test, y_test) = cifar10.load_data()
    assert x_train.shape == (15, 32, 32, 3)
    assert y_train.shape == (15, 1)
    np.testing.assert_array_equal(x_test, pixels)
    np.testing.assert_array_equal(y_test, labels)


@pytest.mark.parametrize(
    ("content", "words"),
    [(bytes(3072), "multiple of 3073 bytes"), (b"", "found 0"), (b"\x0b" * 3073, "the label 11")],
)
def test_a_damaged_batch_is_refused(home, content, words):
    folder = home / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name in (*cifar10.TRAINING, cifar10.TEST):
        (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        cifar10.load_data()
