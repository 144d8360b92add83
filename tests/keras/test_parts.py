"""What `minicnn.keras` adds: layers, initializers, regularizers, schedules, callbacks, data.

Outputs, gradients and steps beside Keras are in the ledger (`minicnn.checking.further_cases`), and
every part has its row in the battery (`tests.promises.contract`).
"""

import importlib
import json
import sys
import zipfile

import numpy as np
import pytest

import minicnn
from minicnn import keras
from minicnn.engine import Plan
from minicnn.gradcheck import check_gradients
from minicnn.keras import layers
from minicnn.keras.preprocessing.image import ImageDataGenerator, affine
from minicnn.keras_reference import from_keras, to_keras
from tests.tolerances import assert_close

NETWORKS = {
    "normalized": lambda: [
        layers.Conv2D(3, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.AveragePooling2D(),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ],
    "regularized": lambda: [
        layers.Rescaling(0.5),
        layers.Conv2D(3, 3, activation="tanh", kernel_regularizer="l2"),
        layers.LeakyReLU(0.25),
        layers.GlobalMaxPooling2D(),
        layers.Dense(4, activation="sigmoid", kernel_regularizer=keras.regularizers.L1L2(0.1)),
        layers.Dense(3, kernel_initializer="he_normal"),
    ],
    "random": lambda: [
        layers.RandomFlip(),
        layers.RandomRotation(0.2),
        layers.RandomZoom(0.3, fill_mode="nearest"),
        layers.Conv2D(3, 3),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3),
    ],
}
SHAPE = (6, 5, 2)


def data(n=40):
    rng = np.random.default_rng(4)
    return rng.random((n, *SHAPE)), np.arange(n) % 3


def network(name, **options):
    minicnn.set_random_seed(1)
    model = keras.Sequential([keras.Input(SHAPE), *NETWORKS[name]()], dtype="float64")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=name != "normalized")
    model.compile(keras.optimizers.RMSprop(0.01), loss, metrics=["accuracy"], **options)
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_core_and_engine_train_alike(name):
    histories = []
    for eagerly in (True, False):
        model = network(name, run_eagerly=eagerly)
        history = model.fit(*data(), epochs=2, batch_size=20, verbose=0).history
        histories.append((history["loss"], model.get_weights(), model.evaluate(*data(), verbose=0)))
    (losses, weights, found), (others, other_weights, other) = histories
    assert_close(losses, others, "float64")
    assert_close(found, other, "float64")
    for a, b in zip(weights, other_weights, strict=True):
        assert_close(a, b, "steps")


@pytest.mark.parametrize("ending", [".npz", ".keras", ".h5"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_is_saved_and_goes_on_learning(name, ending, tmp_path):
    pytest.importorskip("h5py")
    model = network(name)
    model.fit(*data(), batch_size=20, verbose=0)
    model.save(tmp_path / f"model{ending}")
    again = keras.models.load_model(tmp_path / f"model{ending}")
    assert type(again) is keras.Sequential
    x, y = data()
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    if ending == ".h5":  # without the optimizer's state
        model.compile("sgd", model.loss)
        again.compile("sgd", again.loss)
    for one in (model, again):
        minicnn.set_random_seed(2)
        one.fit(x, y, batch_size=20, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    third = network(name)
    third.load_weights(tmp_path / f"model{ending}")


@pytest.mark.filterwarnings("ignore")  # of HDF5, by Keras
def test_files_of_keras_are_read_and_those_of_minicnn_by_keras(tmp_path, request):
    theirs_library = request.getfixturevalue("keras")
    x, y = data(8)
    x = x.astype("float32")
    for ending in (".keras", ".h5"):
        ours = keras.Sequential([keras.Input(SHAPE), *NETWORKS["normalized"]()])
        ours.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        ours.fit(x, y, verbose=0)
        ours.save(tmp_path / f"ours{ending}")
        theirs = theirs_library.models.load_model(tmp_path / f"ours{ending}")
        assert_close(theirs(x).numpy(), ours.predict(x, verbose=0), "float32")
        assert type(theirs.optimizer).__name__ == "Adam"
        theirs.save(tmp_path / f"theirs{ending}")
        back = keras.models.load_model(tmp_path / f"theirs{ending}")
        assert_close(back.predict(x, verbose=0), ours.predict(x, verbose=0), "float32")
        assert back.metrics[0].name == "accuracy"
        assert [layer.name for layer in back.layers] == [layer.name for layer in ours.layers]
    ours.save_weights(tmp_path / "w.weights.h5")
    theirs.load_weights(tmp_path / "w.weights.h5")


def test_files_that_do_not_fit_change_nothing(tmp_path):
    pytest.importorskip("h5py")
    model = network("normalized")
    model.save_weights(tmp_path / "a.weights.h5")
    other = network("regularized")
    before = other.get_weights()
    with pytest.raises(ValueError, match="does not hold the weights of this model"):
        other.load_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="holds weights alone"):
        keras.models.load_model(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match=r"to end in \.weights\.h5"):
        model.save_weights(tmp_path / "a.h5")
    for a, b in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_parts_of_your_own_do_not_fit_into_the_files_of_keras(tmp_path):
    class Own(layers.Flatten):
        pass

    model = keras.Sequential([keras.Input(SHAPE), Own()])
    with pytest.raises(NotImplementedError, match="Own is your own"):
        model.save(tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("keras.layers", "Check"),
        ("keras.losses.np", "zeros"),
        ("keras.losses.np.f2py.subprocess", "Popen"),
        ("keras.optimizers", "OPTIMIZERS"),
        ("keras.utils", "plot_model"),
    ],
)
def test_a_keras_file_can_name_parts_of_models_alone(module, kind, tmp_path):
    """Modules of this package import others: a file must not reach their functions."""
    pytest.importorskip("h5py")
    path = tmp_path / "model.keras"
    network("normalized").save(path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    part = {"module": module, "class_name": kind, "config": {"shape": 1, "args": "false"}}
    config["config"]["layers"][1] = part
    content["config.json"] = json.dumps(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match=f"it uses {kind}, which minicnn has not"):
        keras.models.load_model(path)


def test_without_h5py_an_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'pip install "minicnn\[keras\]"'):
        network("normalized").save(tmp_path / "model.keras")


def test_twins_with_such_parts(keras):
    from minicnn import keras as ours_library

    model = ours_library.Sequential([ours_library.Input(SHAPE), *NETWORKS["normalized"]()])
    schedule = ours_library.optimizers.schedules.PolynomialDecay(0.1, 10)
    model.compile(ours_library.optimizers.RMSprop(schedule, momentum=0.5), "mse")
    x, y = data(8)
    model.train_on_batch(x, np.eye(3)[y])
    twin = to_keras(model)
    back = from_keras(twin)
    values = [np.atleast_1d(m.train_on_batch(x, np.eye(3)[y]))[0] for m in (model, twin, back)]
    assert_close(values[1:], [values[0]] * 2, "float32")
    assert back.optimizer.get_config() == model.optimizer.get_config()


# Batch normalization.


def test_a_frozen_batch_normalization_keeps_its_averages():
    model = network("normalized")
    layer = model.layers[1]
    model.fit(*data(), verbose=0)
    layer.trainable = False
    before = [weight.copy() for weight in layer.get_weights()]
    model.fit(*data(), verbose=0)
    for a, b in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_batch_normalization_refuses_other_axes():
    with pytest.raises(ValueError, match="axis must be -1 or 3"):
        keras.Sequential([keras.Input(SHAPE), layers.BatchNormalization(axis=1)])


# Random layers.


@pytest.mark.parametrize("new", [layers.RandomFlip, lambda: layers.RandomRotation(0.3)])
def test_random_layers_are_random_in_training_alone(new):
    layer = new()
    x = np.random.default_rng(0).random((20, 6, 6, 1))
    np.testing.assert_array_equal(layer(x), x)
    first, second = (layer(x, training=True) for _ in range(2))
    assert not np.array_equal(first, x)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "new",
    [
        layers.RandomFlip,
        lambda: layers.RandomRotation(0.4),
        lambda: layers.RandomZoom((-0.3, 0.5), (-0.2, 0.2), fill_mode="nearest"),
    ],
)
def test_random_layers_have_right_gradients(new):
    x = np.random.default_rng(1).standard_normal((4, 5, 6, 2))
    assert check_gradients(new(), x, rng=np.random.default_rng(2)).ok


def test_a_quarter_turn_is_a_quarter_turn():
    layer = layers.RandomRotation((0.25, 0.25))
    x = np.random.default_rng(1).random((2, 6, 6, 1))
    layer.build(x.shape[1:], None, "float64")
    y, _ = layer.forward(x, training=True, rng=np.random.default_rng(0))
    turns = [np.rot90(x, k, axes=(1, 2)) for k in (1, 3)]
    assert any(np.allclose(y, turn) for turn in turns)


def test_flips_by_name():
    x = np.random.default_rng(1).random((50, 4, 4, 1))
    for mode, axes in (("horizontal", 2), ("vertical", 1)):
        layer = layers.RandomFlip(mode)
        layer.build(x.shape[1:], None)
        y, _ = layer.forward(x, training=True, rng=np.random.default_rng(0))
        flipped = np.array([np.array_equal(a, b) for a, b in zip(y, np.flip(x, axes), strict=True)])
        kept = np.array([np.array_equal(a, b) for a, b in zip(y, x, strict=True)])
        assert (flipped | kept).all()
        assert 10 < flipped.sum() < 40


@pytest.mark.filterwarnings("ignore:Please import `affine_transform`")
def test_generated_images_are_moved_as_by_keras(keras):
    theirs = importlib.import_module("keras.src.legacy.preprocessing.image")
    transform = theirs.apply_affine_transform
    x = np.random.default_rng(3).random((9, 9, 2))
    options = {"row_axis": 0, "col_axis": 1, "channel_axis": 2, "fill_mode": "reflect"}
    expected = transform(x, theta=20, tx=1.5, ty=-0.5, shear=10, zx=0.9, zy=1.2, **options)
    # Keras' x is the column, and its tx belongs to height_shift_range: see README.md.
    found = affine(x, np.deg2rad(20), np.deg2rad(10), (-0.5, 1.5), (1.2, 0.9), "reflect", 0)
    assert_close(found, expected, "float64")


def test_a_generator_flows():
    x, y = np.arange(10.0)[:, None, None, None] * np.ones((10, 4, 4, 1)), np.arange(10)
    flow = ImageDataGenerator(rescale=0.5).flow(x, y, batch_size=4)
    assert len(flow) == 3
    seen = np.concatenate([labels for _, labels in flow])
    assert sorted(seen) == list(range(10))
    images, labels = next(flow)
    np.testing.assert_array_equal(images[:, 0, 0, 0], labels / 2)
    parts = ImageDataGenerator(validation_split=0.3, horizontal_flip=True)
    assert [parts.flow(x, subset=s).n for s in ("training", "validation")] == [7, 3]
    with pytest.raises(ValueError, match="expected images of shape"):
        parts.flow(x[..., 0])


# Initializers, regularizers, schedules.


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("he_normal", (2 / 27) ** 0.5),
        ("he_uniform", (2 / 27) ** 0.5),
        ("lecun_normal", (1 / 27) ** 0.5),
        ("lecun_uniform", (1 / 27) ** 0.5),
        ("glorot_normal", (2 / (27 + 9 * 400)) ** 0.5),
        ("random_normal", 0.05),
        ("random_uniform", 0.05 / 3**0.5),
        ("truncated_normal", 0.05 * keras.initializers.OF_TRUNCATED),
    ],
)
def test_initializers_have_their_deviation(name, deviation):
    layer = layers.Conv2D(400, 3, kernel_initializer=name)
    layer.build((8, 8, 3), np.random.default_rng(0))
    kernel = layer.params["kernel"]
    assert abs(kernel.std() / deviation - 1) < 0.03
    assert abs(kernel.mean()) < 0.05 * deviation
    seeded = type(layer.kernel_initializer)(seed=3)
    np.testing.assert_array_equal(seeded((3, 3, 2, 2)), seeded((3, 3, 2, 2)))


def test_schedules_are_those_of_keras(request):
    theirs = request.getfixturevalue("keras").optimizers.schedules
    ours = keras.optimizers.schedules
    for name, arguments in {
        "ExponentialDecay": (0.1, 10, 0.5),
        "InverseTimeDecay": (0.1, 10, 0.5, True),
        "PiecewiseConstantDecay": ([3, 8], [0.1, 0.05, 0.01]),
        "PolynomialDecay": (0.1, 12, 0.01, 2.0),
        "CosineDecay": (0.1, 12, 0.1),
    }.items():
        one, other = getattr(ours, name)(*arguments), getattr(theirs, name)(*arguments)
        steps = range(0, 16, 3)
        found = [one(step) for step in steps]
        assert_close(found, [float(other(step)) for step in steps], "float32")
        assert type(one).from_config(one.get_config())(5) == one(5)


def test_the_rate_of_a_schedule_is_that_of_the_step():
    rates = []

    class Watching(keras.optimizers.SGD):
        def update(self, gradient, weight, velocity):
            rates.append(float(self.learning_rate))

    optimizer = Watching(lambda step: 1.0 / (1 + step))
    for _ in range(3):
        optimizer.apply([np.ones(2)], [weight := np.ones(2)] if not rates else [weight])
    assert rates == [1.0, 1 / 2, 1 / 3]


def test_a_rate_of_zero_moves_nothing():
    model = network("regularized")
    model.optimizer.learning_rate = 0
    before = model.get_weights()
    model.fit(*data(), verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert keras.optimizers.SGD(0.0).learning_rate.numpy() == 0


def test_penalties_are_in_the_loss_and_in_the_gradient():
    plain, penalized = (
        keras.Sequential([keras.Input((3,)), layers.Dense(2, kernel_regularizer=each)])
        for each in (None, keras.regularizers.L1L2(0.25, 0.5))
    )
    penalized.set_weights(plain.get_weights())
    x, y = np.ones((4, 3)), np.zeros((4, 2))
    kernel = plain.get_weights()[0]
    penalty = 0.25 * np.abs(kernel).sum() + 0.5 * (kernel**2).sum()
    for model in (plain, penalized):
        model.compile(keras.optimizers.SGD(1.0), "mse")
    difference = penalized.evaluate(x, y, verbose=0) - plain.evaluate(x, y, verbose=0)
    assert_close(difference, penalty, "float32")
    for model in (plain, penalized):
        model.fit(x, y, verbose=0)
    moved = plain.get_weights()[0] - penalized.get_weights()[0]
    assert_close(moved, 0.25 * np.sign(kernel) + kernel, "float32")


# Callbacks.


def test_a_plateau_reduces_the_rate():
    model = network("normalized")
    model.optimizer.learning_rate = 0.0
    reduce = keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, cooldown=1, min_lr=0.1)
    model.optimizer.learning_rate = 1.0
    rates = []
    for epoch, loss in enumerate([1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5]):
        if epoch == 0:
            reduce.set_model(model)
            reduce.on_train_begin()
        logs = {"loss": loss}
        reduce.on_epoch_end(epoch, logs)
        rates.append(float(model.optimizer.learning_rate))
        assert "learning_rate" in logs
    assert rates == [1.0, 0.5, 0.25, 0.125, 0.125, 0.1, 0.1, 0.1, 0.1]


def test_training_ends_quietly_at_nan_if_asked_to():
    model = network("normalized")
    x, y = data()
    x[30:] = np.nan
    quiet = keras.callbacks.TerminateOnNaN()
    options = {"batch_size": 20, "shuffle": False, "epochs": 3, "verbose": 0}
    history = model.fit(x, y, callbacks=[quiet], **options)
    assert len(history.epoch) == 1
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    with pytest.raises(FloatingPointError, match="step 2 of epoch 1"):
        model.fit(x, y, **options)


def test_all_hooks_are_called_in_the_order_of_keras():
    seen = []
    names = [name for name in dir(keras.callbacks.Callback) if name.startswith("on_")]
    watching = keras.callbacks.LambdaCallback(
        **{name: lambda *_, name=name, **__: seen.append(name) for name in names}
    )
    model = network("normalized")
    x, y = data(4)
    model.fit(x, y, validation_data=(x, y), callbacks=[watching], verbose=0)
    assert seen == [
        "on_train_begin",
        "on_epoch_begin",
        "on_train_batch_begin",
        "on_train_batch_end",
        "on_test_begin",
        "on_test_batch_begin",
        "on_test_batch_end",
        "on_test_end",
        "on_epoch_end",
        "on_train_end",
    ]
    seen.clear()
    model.predict(x, callbacks=[watching], verbose=0)
    assert seen == [f"on_predict_{when}" for when in ("begin", "batch_begin", "batch_end", "end")]

    class Old(keras.callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append(batch)

    model.fit(x, y, callbacks=[Old()], verbose=0)
    assert seen[-1] == 0


# Models.


def test_shared_and_nested_models():
    x, y = data()
    inner = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(3)])
    outer = keras.Sequential([inner, layers.Softmax()])
    inner.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = outer.predict(x, verbose=0)
    inner.fit(x, y, verbose=0)
    assert not np.array_equal(outer.predict(x, verbose=0), before)
    np.testing.assert_allclose(outer(x).numpy().sum(axis=1), 1, rtol=1e-6)


def test_feature_maps_are_the_outputs_of_layers():
    model = network("normalized")
    x, _ = data(3)
    maps = keras.Model(model.inputs, [layer.output for layer in model.layers]).predict(x, verbose=0)
    y = x
    for layer, found in zip(model.layers, maps, strict=True):
        y = layer(y)
        assert_close(found, y, "float32")
    part = keras.Model(model.layers[2].output, model.output)
    assert_close(part(maps[2]), maps[-1], "float32")
    assert Plan(part.layers).layers[0] is model.layers[3]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda a, b: keras.Model([a, b], a), "expected one input, received 2"),
        (lambda a, b: keras.Model(b, a), "computed from the inputs"),
        (lambda a, b: keras.Model(a, [b, layers.Dense(2)(a)]), "branches"),
        (lambda a, b: keras.Model(a, 3), "received 3"),
    ],
)
def test_other_models_than_chains_are_refused(make, words):
    start = keras.Input((3,))
    with pytest.raises((TypeError, ValueError), match=words):
        make(start, layers.Dense(4)(start))


def test_layers_are_found_frozen_and_taken_off():
    model = network("normalized")
    assert model.get_layer(index=0) is model.layers[0]
    with pytest.raises(ValueError, match="expected the name of a layer, one of"):
        model.get_layer("conv3d")
    assert model.pop().name.startswith("dense")
    model.trainable = False
    assert not any(layer.trainable for layer in model.layers)
    assert model.metrics_names == ["loss", "accuracy"]


def test_the_picture_of_a_model(tmp_path):
    keras.utils.plot_model(network("normalized"), tmp_path / "m.png", show_shapes=True, dpi=40)
    assert (tmp_path / "m.png").stat().st_size > 1000


def test_to_categorical():
    assert keras.utils.to_categorical([0, 2]).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert keras.utils.to_categorical(np.array([[1], [0]]), 4).shape == (2, 4)
    with pytest.raises(ValueError, match="whole numbers from 0 to 1"):
        keras.utils.to_categorical([0, 2], 2)
