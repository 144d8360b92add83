"""The figures: what they show."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from minicnn import layers, plots
from minicnn.callbacks.history import History
from tests import reference


def history_of(batches, epochs=1, **values):
    history = History({})
    for i in range(batches):
        history.end_batch({name: value(i) for name, value in values.items()})
        if (i + 1) % (batches // epochs) == 0:
            history.end_epoch(i, {})
    return history


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def built(layer, input_shape):
    return reference.built(layer, input_shape, np.random.default_rng(0), "float32")


def draw(figure):
    """Render a figure, which raises all errors and warnings that it may give."""
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    return figure


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (12, 6, 4), dtype=np.uint8)


def test_digit_grid_shows_nine_by_nine_images_with_their_labels(rng):
    images = rng.integers(0, 256, (100, 5, 5), dtype=np.uint8)
    figure = draw(plots.digit_grid(images, np.arange(100) % 10))
    assert len(figure.axes) == 81
    assert titles(figure) == [str(i % 10) for i in range(81)]
    np.testing.assert_array_equal(figure.axes[80].images[0].get_array(), images[80])


def test_digit_grid_with_fewer_images_than_cells_and_with_names_of_classes(images):
    labels = np.array([1, 0, 1])
    figure = draw(plots.digit_grid(images[:3], labels, 2, 2, class_names=["bag", "boot"]))
    assert len(figure.axes) == 4
    assert titles(figure) == ["boot", "bag", "boot"]
    assert figure.get_suptitle() == "The first 3 images and their labels"


def test_learning_curve_shows_every_batch_and_the_running_mean():
    history = history_of(400, 2, accuracy=lambda i: i / 400, loss=lambda i: 2 * 0.99**i)
    figure = draw(plots.learning_curve(history))
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert accuracy.get_xlabel() == "batch"
    assert loss.get_yscale() == "log"  # it falls by more than a factor of ten
    points = loss.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0], np.arange(1, 401))
    np.testing.assert_allclose(points[:, 1], history.batches["loss"])
    mean = accuracy.lines[0].get_ydata()
    assert mean[0] == 0
    assert mean[399] == pytest.approx(np.mean(history.batches["accuracy"][-10:]))
    assert loss.lines[1].get_xdata()[0] == 200.5  # where the second epoch starts
    legend = [text.get_text() for text in loss.get_legend().get_texts()]
    assert legend == ["one batch", "mean of the last 10 batches"]


def test_learning_curve_of_a_single_batch_and_without_accuracy():
    figure = draw(plots.learning_curve(history_of(1, loss=lambda _: 2.3)))
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss"]
    assert figure.axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_learning_curve_of_losses_without_a_logarithm(value):
    losses = [2.0, value, 0.1, value]
    draw(plots.learning_curve(history_of(4, loss=lambda i: losses[i])))
    draw(plots.learning_curve(history_of(4, loss=lambda _: value)))


def test_filters_of_a_first_convolution_are_side_by_side():
    layer = built(layers.Conv2D(10, (3, 2)), (6, 6, 1))
    figure = draw(plots.filters(layer))
    assert figure.get_suptitle() == "conv2d: 10 filters of 3 x 2"
    assert len(figure.axes) == 2  # the second is the colour bar
    mosaic = figure.axes[0].images[0].get_array()
    assert mosaic.shape == (2 * 4 - 1, 8 * 3 - 1)
    np.testing.assert_array_equal(mosaic[4:7, 3:5], layer.params["kernel"][:, :, 0, 9])
    assert mosaic.mask[3].all()  # the gap
    assert mosaic.mask[4:, 6:].all()  # no eleventh filter


def test_filters_of_a_later_convolution_are_a_table_of_channels_and_filters():
    layer = built(layers.Conv2D(6, 3), (6, 6, 4))
    figure = draw(plots.filters(layer))
    assert figure.get_suptitle() == "conv2d: 6 filters of 3 x 3 for each of 4 input channels"
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("filter", "input channel")
    mosaic = axes.images[0].get_array()
    assert mosaic.shape == (4 * 4 - 1, 6 * 4 - 1)
    np.testing.assert_array_equal(mosaic[8:11, 20:], layer.params["kernel"][:, :, 2, 5])
    low, high = axes.images[0].get_clim()
    assert low == -high  # zero is white


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_filters_without_a_scale(value):
    layer = built(layers.Conv2D(2, 3), (6, 6, 2))
    layer.params["kernel"][:] = value
    draw(plots.filters(layer))


def test_filters_needs_a_convolution_that_is_built():
    with pytest.raises(ValueError, match="Dense 'dense': expected a convolution"):
        plots.filters(built(layers.Dense(3), (4,)))
    with pytest.raises(ValueError, match="Conv2D 'conv2d': expected a convolution that is built"):
        plots.filters(layers.Conv2D(3, 3))


def test_confusion_matrix_shows_counts_coloured_by_their_share_of_the_row():
    labels = np.array([0, 0, 0, 0, 2, 2])
    predictions = np.array([0, 0, 2, 3, 2, 0])  # no image is truly a 1 or a 3
    figure = draw(plots.confusion_matrix(labels, predictions))
    assert figure.get_suptitle() == "3 mistakes among 6 images"
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    counts = np.array([int(text.get_text()) for text in axes.texts]).reshape(4, 4)
    np.testing.assert_array_equal(counts, [[2, 0, 1, 1], [0] * 4, [1, 0, 1, 0], [0] * 4])
    shares = axes.images[0].get_array()
    assert shares.mask.diagonal().all()
    assert shares[2, 0] == 0.5
    assert shares[0, 3] == 0.25
    assert shares[1, 2] == 0


def test_confusion_matrix_without_any_mistake_or_with_one_class():
    figure = draw(plots.confusion_matrix([0, 1, 2], [0, 1, 2]))
    assert figure.get_suptitle() == "0 mistakes among 3 images"
    draw(plots.confusion_matrix([0, 0], [0, 0]))


def test_worst_mistakes_are_sorted_by_loss(images):
    labels = np.array([0, 1, 2, 0])
    probabilities = np.array([[0.9, 0.1, 0], [0.6, 0.3, 0.1], [0.02, 0.98, 0], [0.3, 0.3, 0.4]])
    figure = draw(plots.worst_mistakes(images[:4], labels, probabilities, count=2))
    assert titles(figure) == ["true 2, said 1 (98 %)", "true 1, said 0 (60 %)"]
    assert figure.get_suptitle() == "The worst 2 of 3 mistakes among 4 images"
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), images[2])


def test_worst_mistakes_if_there_are_none(images):
    figure = draw(plots.worst_mistakes(images[:3], [0, 1, 2], np.eye(3)))
    assert figure.get_suptitle() == "No mistakes among 3 images"
    assert figure.axes == []


def test_results_of_diverged_training_can_be_drawn(images):
    probabilities = np.full((3, 4), np.nan)
    figure = draw(plots.worst_mistakes(images[:3], [0, 1, 2], probabilities))
    assert titles(figure) == ["true 1, said 0 (nan %)", "true 2, said 0 (nan %)"]


def test_save_writes_an_image_of_fixed_size(tmp_path, images):
    path = tmp_path / "digits.png"
    plots.save(plots.digit_grid(images, np.arange(12), rows=3, columns=4), path)
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(header[16:20], "big") == 1350  # 9 inches of 150 dots
