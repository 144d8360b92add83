"""MNIST equals the original to the byte; `load_idx` reads valid files and refuses all others."""

import gzip
import hashlib
import re
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from minicnn import datasets
from minicnn.datasets import load_idx, mnist
from tests.idx_files import NAMES, header, idx, write_folder
from tests.promises.damaged_files import idx_files

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist
QUICKLY = 2.0  # seconds for one refusal
MIB = 2**20


def four_arrays(train=5, test=3, h=4, w=2):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(256, size=(train, h, w), dtype=np.uint8),
        "y_train": rng.integers(10, size=train, dtype=np.uint8),
        "x_test": rng.integers(256, size=(test, h, w), dtype=np.uint8),
        "y_test": rng.integers(10, size=test, dtype=np.uint8),
    }


@pytest.fixture
def folder(tmp_path):
    """A folder with four small valid files, not gzipped."""
    write_folder(tmp_path, four_arrays())
    return tmp_path


def loaded(folder):
    (x_train, y_train), (x_test, y_test) = load_idx(folder)
    return dict(zip(NAMES, (x_train, y_train, x_test, y_test), strict=True))


def refused(folder, content, gzipped=False, because=""):
    """Assert that `load_idx` refuses a file with this content, by name and quickly."""
    plain = folder / NAMES["x_train"]
    plain.unlink(missing_ok=True)
    path = plain.with_name(f"{plain.name}.gz") if gzipped else plain
    path.write_bytes(content)
    started = time.perf_counter()
    with pytest.raises((ValueError, OSError), match=f"{re.escape(str(path))}.*{because}"):
        load_idx(folder)
    assert time.perf_counter() - started < QUICKLY


# MNIST


@pytest.fixture(scope="module")
def digits():
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    return dict(zip(NAMES, (x_train, y_train, x_test, y_test), strict=True))


def test_mnist_has_the_shapes_and_dtypes_of_keras(digits):
    shapes = [array.shape for array in digits.values()]
    assert shapes == [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)]
    for array in digits.values():
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.flags.writeable
    assert digits["x_train"].min() == 0
    assert digits["x_train"].max() == 255
    assert digits["y_train"][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.unique(digits["y_train"]).tolist() == list(range(10))


def test_mnist_is_returned_as_tuples_of_new_arrays(digits):
    data = mnist.load_data()
    assert type(data) is tuple
    assert [type(part) for part in data] == [tuple, tuple]
    assert [len(part) for part in data] == [2, 2]
    for array, earlier in zip((*data[0], *data[1]), digits.values(), strict=True):
        assert not np.shares_memory(array, earlier)


@pytest.mark.parametrize("key", NAMES)
def test_mnist_equals_the_original_to_the_byte(digits, key):
    readme = Path(datasets.__file__).with_name("README.md").read_text(encoding="utf-8")
    (row,) = (line for line in readme.splitlines() if line.startswith(f"| `{key}`"))
    assert f"`{NAMES[key]}`" in row
    (expected,) = re.findall(r"\b[0-9a-f]{32}\b", row)
    assert hashlib.md5(idx(digits[key]), usedforsecurity=False).hexdigest() == expected


def test_mnist_holds_no_pickles():
    with np.load(Path(mnist.__file__).with_name("mnist.npz"), allow_pickle=False) as file:
        assert sorted(file.files) == sorted(NAMES)
        assert all(file[key].dtype == np.uint8 for key in file.files)


# load_idx: valid files


@pytest.mark.parametrize("gzipped", [(), tuple(NAMES), ("x_train", "y_test")])
def test_valid_files_are_read_plain_gzipped_and_mixed(tmp_path, gzipped):
    expected = four_arrays()
    for key, array in expected.items():
        path = tmp_path / NAMES[key]
        if key in gzipped:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            path.write_bytes(idx(array))
    for given in (tmp_path, str(tmp_path)):
        for key, array in loaded(given).items():
            np.testing.assert_array_equal(array, expected[key], strict=True)
            assert array.flags.writeable


def test_highly_compressed_images_are_valid(folder):
    # 16 million zeros in 16 thousand bytes: near the most that deflate can do.
    images = np.zeros((5, 1800, 1800), np.uint8)
    path = folder / NAMES["x_train"]
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(idx(images)))
    np.testing.assert_array_equal(loaded(folder)["x_train"], images, strict=True)


def test_fashion_mnist_is_read():
    if not FASHION_MNIST.is_dir():
        pytest.skip(f"Fashion-MNIST is not installed in {FASHION_MNIST}")
    arrays = loaded(FASHION_MNIST)
    for key, array in arrays.items():
        with gzip.open(FASHION_MNIST / f"{NAMES[key]}.gz") as file:
            assert file.read() == idx(array)
    assert arrays["x_train"].shape == (60000, 28, 28)
    assert np.bincount(arrays["y_train"]).tolist() == [6000] * 10


# load_idx: other files


def test_promise_16_damaged_files_are_refused():
    kept, figure = idx_files(0.1)
    assert kept, figure


def test_every_damaged_byte_of_a_gzip_stream_that_matters_is_refused(folder):
    expected = four_arrays()["x_train"]
    content = gzip.compress(idx(expected), mtime=0)
    (folder / NAMES["x_train"]).unlink()
    path = folder / f"{NAMES['x_train']}.gz"
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        if position in range(4, 10):  # time stamp, level, system: they do not affect the images
            np.testing.assert_array_equal(loaded(folder)["x_train"], expected, strict=True)
        else:
            with pytest.raises((ValueError, OSError), match=re.escape(str(path))):
                load_idx(folder)


MAGIC_NUMBERS = {
    "labels instead of images": bytes([0, 0, 8, 1]),
    "another number of axes": bytes([0, 0, 8, 4]),
    "signed bytes": bytes([0, 0, 9, 3]),
    "floats": bytes([0, 0, 13, 3]),
    "little-endian": bytes([3, 8, 0, 0]),
    "first byte not zero": bytes([1, 0, 8, 3]),
    "gzip under a plain name": b"\x1f\x8b\x08\x00",
    "a NumPy file": b"\x93NUM",
}


@pytest.mark.parametrize("magic", MAGIC_NUMBERS.values(), ids=MAGIC_NUMBERS)
def test_a_wrong_magic_number_is_refused(folder, magic):
    refused(folder, header(5, 4, 2, magic=magic) + bytes(40), because="expected it to start with")


def test_files_without_samples_or_pixels_are_refused(folder):
    (folder / NAMES["y_train"]).write_bytes(header(0))
    for shape in ((0, 4, 2), (5, 0, 2), (5, 4, 0), (0, 2**32 - 1, 2**32 - 1)):
        refused(folder, header(*shape), because="at least one byte")


def peak_of_refusal(folder, content, because):
    """Bytes of memory that it takes at most to refuse a gzip file."""
    tracemalloc.start()
    try:
        refused(folder, content, gzipped=True, because=because)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_claim_without_data_takes_no_memory(folder):
    # Deflate may compress by 1,000, so only the content refutes a claim of 900 MB.
    content = gzip.compress(header(900, 1000, 1000) + bytes(40))
    content += gzip.compress(np.random.default_rng(0).bytes(MIB))
    assert peak_of_refusal(folder, content, "found 1048616") < 3 * len(content) + 3 * MIB


def test_a_bomb_is_decompressed_no_further_than_claimed(folder):
    # 256 MiB of zeros after a header of 40 bytes: only these and one more are decompressed.
    content = gzip.compress(header(5, 4, 2)) + gzip.compress(bytes(16 * MIB)) * 16
    assert peak_of_refusal(folder, content, "more") < 3 * MIB


@pytest.mark.parametrize("key", NAMES)
def test_a_missing_file_is_named(folder, key):
    (folder / NAMES[key]).unlink()
    with pytest.raises(FileNotFoundError, match=NAMES[key]):
        load_idx(folder)


@pytest.mark.parametrize("part", ["train", "test"])
def test_images_and_labels_that_differ_in_number_are_refused(folder, part):
    for labels in (2, 9):
        (folder / NAMES[f"y_{part}"]).write_bytes(idx(np.zeros(labels, np.uint8)))
        message = f"{re.escape(str(folder))}.* {labels} labels for {part}ing"
        with pytest.raises(ValueError, match=message):
            load_idx(folder)


def test_other_paths_than_folders_are_refused(folder):
    for wrong in (folder / "nowhere", folder / NAMES["x_train"]):
        with pytest.raises(NotADirectoryError, match=re.escape(str(wrong))):
            load_idx(wrong)


def test_a_folder_in_place_of_a_file_is_refused(folder):
    (folder / NAMES["x_train"]).unlink()
    (folder / NAMES["x_train"]).mkdir()
    with pytest.raises(OSError, match=NAMES["x_train"]):
        load_idx(folder)
