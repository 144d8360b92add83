"""Keras' namespace: homes of names, loading when asked for, and sentences for what is not there."""

import importlib
import subprocess
import sys

import pytest

import minicnn as tf
from minicnn import keras
from minicnn.keras import left_out
from minicnn.validation import answers_unknown_keywords
from minicnn.validation.keywords import DEFAULTS

NOTEBOOK = """
from tensorflow.data import Dataset, experimental
from tensorflow.keras.backend import clear_session
from tensorflow.keras.datasets import mnist
from tensorflow.keras.models import Sequential
from tensorflow.keras.layers import Conv2D, MaxPooling2D, Flatten, Dense

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = x_train.reshape((len(x_train), 28, 28, 1)) / 255.0
x_test = x_test.reshape((len(x_test), 28, 28, 1)) / 255.0


def get_new_model():
    clear_session()
    model = Sequential()
    model.add(Conv2D(filters=32, kernel_size=[5, 5], padding="same", activation="relu",
                     input_shape=(28, 28, 1)))
    model.add(MaxPooling2D(pool_size=[2, 2]))
    model.add(Conv2D(filters=64, kernel_size=[5, 5], padding="same", activation="relu"))
    model.add(MaxPooling2D(pool_size=[2, 2]))
    model.add(Flatten())
    model.add(Dense(units=64, activation="relu"))
    model.add(Dense(units=10, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


model = get_new_model()
model.summary()
model.fit(x_train, y_train, epochs=1)
evaluation = model.evaluate(x_test, y_test)
AUTOTUNE = experimental.AUTOTUNE
ds = Dataset.from_tensor_slices((x_train, y_train))
ds = ds.shuffle(buffer_size=len(y_train)).repeat().batch(16).prefetch(buffer_size=AUTOTUNE)
model = get_new_model()
model.fit(ds, epochs=2, steps_per_epoch=2)
"""


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_the_notebook_runs_with_its_import_lines_changed(monkeypatch, capsys):
    from tests.keras_programs.running import digits, with_other_imports

    program = with_other_imports(NOTEBOOK)
    changed = [
        (a, b) for a, b in zip(NOTEBOOK.splitlines(), program.splitlines(), strict=True) if a != b
    ]
    assert len(changed) == 5
    assert all(b == a.replace("tensorflow", "minicnn") for a, b in changed)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", digits)
    names = {}
    exec(compile(program, "notebook", "exec"), names)
    printed = capsys.readouterr().out
    assert "max_pooling2d_1 (MaxPooling2 (None, 7, 7, 64)          0         " in printed
    assert "Total params: 253,514" in printed
    assert len(names["evaluation"]) == 2
    assert names["model"].layers[0].name == "conv2d"


def test_minicnn_loads_nothing_of_it_until_it_is_asked_for():
    program = """
import sys, minicnn
print("minicnn.keras" in sys.modules, "h5py" in sys.modules)
minicnn.layers.Dense(2, "tanh")
print("minicnn.keras" in sys.modules, "tensorflow" in sys.modules, "matplotlib" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False False\nTrue False False\n", "")


def test_names_of_tensorflow():
    assert tf.keras is keras
    assert tf.newaxis is None
    assert tf.nn.relu is keras.activations.relu
    assert tf.data.AUTOTUNE == tf.data.experimental.AUTOTUNE
    assert tf.nn.softmax([[0.0, 0.0]]).numpy().tolist() == [[0.5, 0.5]]
    tf.random.set_seed(3)
    first = keras.random.normal((3,)).tolist()
    tf.random.set_seed(3)
    assert keras.random.normal((3,)).tolist() == first


MISSING = [  # what a program does, and words of the answer
    ("from minicnn.keras.layers import LSTM", "LSTM is not part of minicnn: minicnn is about"),
    ("from minicnn.keras import applications", "applications is not part of minicnn"),
    ("from minicnn.keras.applications import VGG16", "train one with minicnn"),
    ("from minicnn.keras.applications.vgg16 import VGG16", "train one with minicnn"),
    ("import minicnn.keras.mixed_precision", "Sequential has a dtype"),
    ("from minicnn.keras.preprocessing.text import Tokenizer", "images"),
    ("from minicnn.keras.utils import image_dataset_from_directory", "NumPy arrays"),
    ("from minicnn import GradientTape", "gradients are in each layer's backward"),
]


@pytest.mark.parametrize(("line", "words"), MISSING)
def test_an_import_of_what_is_not_there_says_so(line, words):
    with pytest.raises(ImportError, match=words):
        exec(line)


@pytest.mark.parametrize(
    ("get", "words"),
    [
        (lambda: keras.layers.LSTM, "use Keras for networks of sequences"),
        (lambda: keras.losses.BinaryCrossentropy, "write another as a Loss"),
        (lambda: keras.callbacks.TensorBoard, "CSVLogger"),
        (lambda: keras.ops, "NumPy's function"),
        (lambda: tf.GradientTape, "minicnn.gradcheck"),
        (lambda: tf.Variable, "layer.params"),
        (lambda: tf.reduce_mean, "of TensorFlow it has keras, data"),
        (lambda: tf.nn.conv2d, "the layer of that name"),
        (lambda: tf.nn.zeta, "it has .*relu"),
        (
            lambda: tf.data.Dataset.from_tensor_slices([1]).cache,
            "Dataset.cache is not part of minicnn; leave it out",
        ),
        (
            lambda: tf.data.Dataset.zip,
            r"Dataset.zip is not part of minicnn; .* from_tensor_slices\(\(x, y\)\)",
        ),
        (
            lambda: tf.data.Dataset.range,
            r"Dataset.range is not part of minicnn; .*np.arange\(n\)",
        ),
        (
            lambda: tf.data.Dataset.window,
            "Dataset.window is not part of minicnn; a Dataset has batch, cardinality,",
        ),
    ],
)
def test_an_attribute_that_is_not_there_says_so(get, words):
    with pytest.raises(AttributeError, match=words):
        get()


@pytest.mark.parametrize("name", DEFAULTS)
def test_options_that_are_left_out_are_accepted_at_their_defaults_alone(name):
    @answers_unknown_keywords
    def function():
        return "called"

    for value in DEFAULTS[name]:
        assert function(**{name: value}) == "called"
    others = [0, 0.0, 1, 1.0, 0.5, 2, -1, True, False, None, "other", (), [2, 2], (1,)]
    kinds = {(type(value), str(value)) for value in DEFAULTS[name]}
    for value in others:
        if (type(value), str(value)) not in kinds:
            with pytest.raises(TypeError, match=name):
                function(**{name: value})


def test_the_defaults_are_those_of_keras():
    """No more than what Keras does anyway may be accepted in silence."""
    numbers = {name: d for name, d in DEFAULTS.items() if any(type(v) is float for v in d)}
    assert numbers["label_smoothing"] == numbers["channel_shift_range"] == (0, 0.0)
    assert numbers["fill_value"] == (0, 0.0)
    assert {d for d in numbers.values() if len(d) == 2 and d[0] == 0} == {(0, 0.0)}


def test_names_that_keras_has_not_either_are_plain_errors():
    with pytest.raises(AttributeError, match="has no attribute 'Dens'"):
        keras.layers.Dens  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Dens'"):
        exec("from minicnn.keras.layers import Dens")
    with pytest.raises(ModuleNotFoundError, match=r"No module named .*laiers"):
        importlib.import_module("minicnn.keras.laiers")
    assert not hasattr(keras.layers, "LSTM")


MODULES = [*(name for name in left_out.LEFT_OUT if name not in ("", "nn")), "models", "random"]


@pytest.mark.parametrize("module", ["", *dict.fromkeys(MODULES)])
def test_every_public_name_of_keras_is_there_or_answered(module, request):
    """Of the installed Keras; what another version adds is found here."""
    theirs, ours = request.getfixturevalue("keras"), keras
    for part in filter(None, module.split(".")):
        theirs, ours = getattr(theirs, part), getattr(ours, part)
    public = {name for name in dir(theirs) if not name.startswith("_")}
    unanswered = {
        name for name in public if name not in vars(ours) and not left_out.sentence(module, name)
    }
    assert unanswered == set()
    answered = {n for names in left_out.LEFT_OUT.get(module, {}) for n in names.split()}
    assert {name for name in answered if name in vars(ours)} == set()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: keras.layers.Dense(3, unit=2), "Dense: it has no argument 'unit'"),
        (lambda: keras.layers.Conv2D(3, 3, dilation_rate=2), "expected dilation_rate=1"),
        (lambda: keras.layers.Conv2D(3, 3, data_format="channels_first"), "expected data_format"),
        (lambda: keras.optimizers.Adam(lr=0.1), "it is called learning_rate"),
        (lambda: keras.optimizers.SGD(decay=0.1), "ExponentialDecay"),
        (lambda: keras.losses.CategoricalCrossentropy(label_smoothing=0.1), "label_smoothing=0"),
        (lambda: keras.Sequential().fit(nb_epoch=3), "it is called epochs"),
        (lambda: keras.Sequential().compile(loss_weights=[1]), "expected loss_weights=None"),
        (lambda: keras.callbacks.LambdaCallback(on_epoch=print), "it has on_batch_begin"),
        (lambda: keras.callbacks.EarlyStopping(patience=1, period=2), "EarlyStopping: it has no"),
        (lambda: keras.utils.to_categorical([1], classes=3), "to_categorical: it has no argument"),
        (lambda: keras.Sequential().save("a.npz", save_format="tf"), "expected save_format=None"),
    ],
)
def test_unknown_keywords_are_answered(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_keywords_of_keras_are_accepted_at_their_defaults():
    layer = keras.layers.Conv2D(
        2, 3, data_format="channels_last", dilation_rate=(1, 1), groups=1, dtype="float32"
    )
    assert "groups" not in layer.get_config()
    keras.optimizers.Adam(amsgrad=False, clipnorm=None)


def test_models_with_a_call_of_their_own_are_refused_when_they_are_defined():
    with pytest.raises(NotImplementedError, match="write a Layer with forward and backward"):

        class Own(keras.Model):
            pass
