"""Pictures of digits are prepared like MNIST's, in Python and on the page, and recognised."""

import numpy as np
import pytest

from minicnn.datasets import mnist
from minicnn.explorer import pictures
from minicnn.explorer.description import encoded
from minicnn.tutorial import tutorial_network
from tests.explorer.javascript import Page
from tests.tolerances import assert_close


@pytest.fixture(scope="module")
def digits():
    _, (images, labels) = mnist.load_data()
    return images[:25], labels[:25]


def save(path, pixels):
    from PIL import Image

    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def large(image, paper, ink):
    """An image of MNIST as a picture of 280 x 320 pixels, off the middle."""
    spread = np.kron(np.pad(image, ((1, 3), (0, 0))), np.ones((10, 10)))
    return paper + (ink - paper) * np.pad(spread, ((0, 0), (5, 35))) / 255


def photographed(image, rng):
    """Dark ink, paper that is darker on one side, noise, and dust."""
    picture = large(image, 200, 90)
    picture -= np.linspace(0, 50, picture.shape[1]) + rng.normal(0, 4, picture.shape)
    picture[20:23, 10:13] = 40
    return picture.clip(0, 255)


@pytest.mark.parametrize("kind", ["as it is", "dark on light", "large", "photographed"])
def test_an_image_of_mnist_comes_back(digits, tmp_path, rng, kind):
    """They are cropped, scaled and centred already: preparing them again changes little."""
    differences = []
    for image in digits[0]:
        picture = {
            "as it is": lambda image: image,
            "dark on light": lambda image: 255 - image,
            "large": lambda image: large(image, 0, 255),
            "photographed": lambda image: photographed(image, rng),
        }[kind](image)
        found = pictures.read_digit(save(tmp_path / "digit.png", picture))
        assert found.shape == (28, 28)
        assert found.dtype == np.float32
        assert (found.min(), found.max()) == (0, 1)
        differences.append(np.abs(found - image / 255).mean())
    assert np.mean(differences) < 0.06  # a digit has a mean of 0.13


def test_python_and_the_page_prepare_alike(v8, rng):
    page = Page(v8, tutorial_network())
    for _ in range(30):
        height, width = rng.integers(5, 90, 2)
        ink = np.zeros((height, width), np.float32)
        top, left = rng.integers(0, [height - 3, width - 3])
        part = ink[top : top + rng.integers(2, 60), left : left + rng.integers(2, 60)]
        part[:] = rng.random(part.shape) * (rng.random(part.shape) < 0.6)
        if not part.any():
            continue
        shape = tuple(rng.integers(8, 40, 2).tolist())
        found = page.floats("prepared", encoded(ink), int(height), int(width), shape)
        found = found.reshape(shape)
        assert_close(found, pictures.prepared(ink, shape), "explorer")
        page_centre = (found.sum(axis=1) * np.arange(shape[0])).sum() / found.sum()
        assert abs(page_centre - shape[0] / 2) < shape[0] / 2
    assert page.value("prepareInk(new Float32Array(12), 3, 4, [28, 28])") is None


def test_the_digit_has_twenty_pixels_and_its_centre_in_the_middle():
    ink = np.zeros((100, 300))
    ink[10:90, 200:220] = 1  # a stroke on the right
    image = pictures.prepared(ink)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert (len(rows), len(columns)) == (20, 5)
    assert max(abs(rows.mean() - 14), abs(columns.mean() - 14)) <= 0.5  # whole pixels


def test_transparent_pictures_show_white_paper(tmp_path):
    pixels = np.zeros((40, 40, 4))
    pixels[10:30, 18:22, 3] = 255  # black ink on nothing
    image = pictures.read_digit(save(tmp_path / "digit.png", pixels))
    assert image[14, 14] == 1
    assert image[14, 2] == 0


@pytest.mark.parametrize("name", ["text.png", "empty.png", "damaged.png"])
def test_a_file_that_is_no_picture(tmp_path, name):
    path = tmp_path / name
    whole = save(tmp_path / "whole.png", np.eye(50) * 255).read_bytes()
    path.write_bytes({"text": b"no picture", "empty": b"", "damaged": whole[:60]}[path.stem])
    with pytest.raises(ValueError, match=rf"{name} is not a picture"):
        pictures.read_digit(path)


def test_a_picture_without_ink(tmp_path):
    path = save(tmp_path / "blank.png", np.full((50, 50), 200))
    with pytest.raises(ValueError, match=r"blank.png shows no digit"):
        pictures.read_digit(path)
    with pytest.raises(FileNotFoundError):
        pictures.read_digit(tmp_path / "missing.png")
