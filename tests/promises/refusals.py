"""Promise 13: a table of calls with invalid arguments, by the name their error starts with."""

import functools
import re
import reprlib
from pathlib import Path

import numpy as np

import minicnn
from minicnn import Input, Sequential, plots
from minicnn.data import Dataset
from minicnn.gradcheck import check_gradients
from minicnn.initializers import GlorotUniform, Initializer, Zeros
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.metrics import Mean, SparseCategoricalAccuracy
from minicnn.optimizers import SGD, Adam
from tests.promises.array_forms import ArrayLike
from tests.promises.small_network import LOSS, X, Y, new_model, state

# What a clear message contains.
WANTED = re.compile(
    r"expected|must|made for|needs? |has to|only once|before|does not|cannot|already|"
    r"brings its own|never ends|add some first"
)
IMAGES = X[..., 0]
PROBABILITIES = np.eye(3)[Y]
HUGE = 10**30  # more than any array can hold
NAN, INF = np.nan, np.inf
OBJECTS = np.array([object()] * 6)
MASKED = np.ma.masked_equal(X, X[0, 0, 0, 0])
MASKED_LABELS = np.ma.masked_equal(Y, 2)
RECORDS = np.zeros(6, "f4,f4")
RAGGED = [[0], [1, 2]]
QUIET = {"verbose": 0}


def invalid(function, valid=None, /, **values):
    """Calls that are `valid` but for one argument: {what: call}, one for each of the `values`.

    A `function` named by a string is a method of the model that the call receives.
    """

    def call(arguments, model):
        return (getattr(model, function) if isinstance(function, str) else function)(**arguments)

    return {
        f"{name} {i}, {reprlib.repr(value)}": functools.partial(call, (valid or {}) | {name: value})
        for name, several in values.items()
        for i, value in enumerate(several)
    }


def built(layer_type, *arguments):
    """A layer built for images of 5x6 with 2 channels."""
    layer = layer_type(*arguments)
    layer.build((5, 6, 2), np.random.default_rng(0))
    return layer


def backward(layer_type, *arguments):
    """A function that makes a backward pass with a gradient of a given shape."""

    def call(dy_shape):
        layer = built(layer_type, *arguments)
        _, cache = layer.forward(np.zeros((2, 5, 6, 2)))
        return layer.backward(np.zeros(dy_shape), cache)

    return call


def gradients(layer=None, x=None, **named):
    """A check of gradients that is valid but for the given arguments."""
    x = np.ones((1, 3)) if x is None else x
    return check_gradients(layer or Dense(2), x, **{"rng": np.random.default_rng(0)} | named)


class WrongShape(Initializer):
    def __call__(self, shape, rng=None, dtype="float32"):
        return np.zeros(3, dtype)


def dataset(*arrays):
    """Batches of four."""
    return Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(4)


SAMPLES = dataset(X, Y)
# With three classes.
WRONG_LABELS = (Y[:5], Y - 1, Y + 1, PROBABILITIES, np.where(Y, Y, NAN))
REFUSED = {
    "Conv2D": {
        **invalid(
            Conv2D,
            {"filters": 4, "kernel_size": 3},
            filters=(0, -4, 4.0, None, "4", True, HUGE, [4], np.array([4])),
            kernel_size=(0, (3, 3, 3), (3, 2.5), None),
            strides=(0, (1, -1), None),
            padding=("full", None, NAN),
            activation=("rellu", 1, ["relu"]),
            use_bias=(1,),
            kernel_initializer=("he", GlorotUniform),
            bias_initializer=(None,),
            algorithm=("fft", None, X),
            name=("", "a/b", 3),
            input_shape=(28, (None, 28, 1)),
        ),
        **invalid(
            lambda **given: Conv2D(4, 5).build(rng=None, **given),
            {"input_shape": (9, 9, 1)},
            input_shape=((9,), (9, 9), (4, 9, 1), (9, 9, 0), "9x9", None),
            dtype=("int32", X),
        ),
        "with strides": lambda m: Conv2D(4, 3, 2, algorithm="winograd").build((9, 9, 1), None),
        "of 4x4": lambda m: Conv2D(4, 4, algorithm="winograd").build((9, 9, 1), None),
        **invalid(
            lambda shape: built(Conv2D, 4, 3).forward(np.zeros(shape)),
            shape=((5, 6, 2), (1, 6, 5, 2), (1, 5, 6, 3)),
        ),
        **invalid(backward(Conv2D, 4, 3), dy_shape=((2, 3, 4, 5), (3, 3, 4, 4), ())),
        "weights missing": lambda m: m.layers[0].set_weights([]),
        "weights swapped": lambda m: m.layers[0].set_weights(m.layers[0].get_weights()[::-1]),
        "add what does not fit": lambda m: m.add(Conv2D(4, 3)),
    },
    "MaxPooling2D": {
        **invalid(
            MaxPooling2D,
            pool_size=(0, None, "2", NAN),
            strides=(0, (1,), HUGE),
            padding=("causal",),
        ),
        "of vectors": lambda m: MaxPooling2D().build((9,), None),
        "larger than the image": lambda m: MaxPooling2D(2).build((1, 9, 1), None),
        "forward None": lambda m: built(MaxPooling2D).forward(None),
        **invalid(backward(MaxPooling2D), dy_shape=((2, 2, 2, 2),)),
    },
    "Dense": {
        **invalid(
            Dense,
            {"units": 10},
            units=(0, 10.0, None, HUGE, 1j, np.True_),
            activation=("tahn",),
            use_bias=("yes",),
        ),
        "of single numbers": lambda m: Dense(3).build((), None),
        "initializer's shape": lambda m: Dense(3, kernel_initializer=WrongShape()).build(
            (2,), None
        ),
        "forward before build": lambda m: Dense(3).forward(np.zeros((1, 2))),
        "count_params before build": lambda m: Dense(3).count_params(),
        **invalid(backward(Dense, 3), dy_shape=((2, 5, 6, 4),)),
        **invalid(
            lambda weights: built(Dense, 3).set_weights(weights),  # of shapes (2, 3) and (3,)
            weights=([np.zeros((3, 2)), np.zeros(3)], [np.full((2, 3), "0"), np.zeros(3)], None),
        ),
        "weights broadcast": lambda m: m.layers[5].set_weights([0.0, 0.0]),
    },
    "Input": {
        **invalid(Input, shape=(28, (28, 0, 1), (None, 28, 1), "28")),
        "generator": lambda m: Input(i for i in (3, 4)),
    },
    "GlorotUniform": {
        **invalid(GlorotUniform, seed=(-1, 0.5)),
        **invalid(
            GlorotUniform(),
            {"shape": (3, 2)},
            shape=((3,), 3, (3, -2), (3, NAN)),
            rng=(7,),
            dtype=("int8",),
        ),
    },
    "SparseCategoricalCrossentropy": {
        **invalid(SparseCategoricalCrossentropy, from_logits=("no",), name=(3,)),
        **invalid(
            SparseCategoricalCrossentropy(),
            {"y_true": [0], "y_pred": np.zeros((1, 3))},
            y_true=([3], [-1], ["0"], [0, 1], [NAN]),
            y_pred=(np.zeros(3), [["a", "b"]]),
        ),
        "of no samples": lambda m: SparseCategoricalCrossentropy()([], np.zeros((0, 3))),
        "masked": lambda m: SparseCategoricalCrossentropy()(MASKED_LABELS, PROBABILITIES),
    },
    "Adam": {
        **invalid(
            Adam,
            learning_rate=(-1, -0.001, NAN, INF, "0.001", None, 1j, 10**400, np.array([0.1])),
            beta_1=(1, 1.5, NAN),
            beta_2=(-0.1, INF),
            epsilon=(0, NAN, INF),
        ),
        **invalid(
            lambda **given: Adam().apply(**given),
            {"gradients": [np.zeros(2)], "weights": [np.zeros(2)]},
            gradients=(None, [np.zeros(3)], [np.array(["a", "b"])]),
            weights=(3, [np.zeros(2, int)], [np.broadcast_to(0.0, 2)]),
        ),
        "of another model": lambda m: m.optimizer.apply([np.zeros(2)], [np.zeros(2)]),
    },
    "SGD": invalid(SGD, learning_rate=(1j, True), momentum=(1.0, -0.9, NAN, "0.9"), nesterov=(1,)),
    "Sequential": {
        **invalid(
            Sequential,
            dtype=("float16", "int32", "double precision", None, int, X),
            layers=(3,),
            name=(3,),
        ),
        "layers generator": lambda m: Sequential(Dense(3) for _ in range(2)),
        "without layers": lambda m: Sequential().get_weights(),
        "weights before build": lambda m: Sequential([Dense(3)]).get_weights(),
        **invalid(
            lambda **given: Sequential([Dense(3)]).build(**given),
            input_shape=((None,), 3, (-1, 3), ("a", 3)),
        ),
        "build for other images": lambda m: m.build((None, 28, 28, 1)),
        **invalid("add", layer=(3, Dense)),
        "add a taken name": lambda m: m.add(Dense(3, name=m.layers[-1].name)),
        "add Input late": lambda m: m.add(Input((3,))),
        **invalid("set_weights", weights=(None, np.zeros(3))),
        "weights missing": lambda m: m.set_weights(m.get_weights()[:-1]),
        "weights too many": lambda m: m.set_weights([*m.get_weights(), m.get_weights()[0]]),
        "weights reversed": lambda m: m.set_weights(m.get_weights()[::-1]),
        "weights dict": lambda m: m.set_weights(dict(enumerate(m.get_weights()))),
        "weights last wrong": lambda m: m.set_weights([*m.get_weights()[:-1], np.zeros(4)]),
        "weights last text": lambda m: m.set_weights([*m.get_weights()[:-1], ["a"] * 3]),
        "weights masked": lambda m: m.set_weights([*m.get_weights()[:-1], MASKED_LABELS[:3]]),
        "weights generator": lambda m: m.set_weights(w for w in m.get_weights()),
        "weights complex": lambda m: m.set_weights([w * 1j for w in m.get_weights()]),
        "summary to a file name": lambda m: m.summary("summary.txt"),
    },
    "Softmax": {
        "softmax of single numbers": lambda m: Softmax().build((), None),
        "forward complex": lambda m: built(Softmax).forward(np.zeros((1, 5, 6, 2), complex)),
    },
    "set_random_seed": invalid(minicnn.set_random_seed, seed=(-1, None, 1.0, np.arange(3))),
    "set_num_threads": invalid(minicnn.set_num_threads, threads=(0, 1.5, HUGE, NAN, None, "2")),
    "ReLU": {
        "forward text": lambda m: built(ReLU).forward(np.full((1, 5, 6, 2), "1")),
        "forward dates": lambda m: built(ReLU).forward(np.zeros((1, 5, 6, 2), "M8[s]")),
        **invalid(backward(ReLU), dy_shape=((2, 5, 6),)),
    },
    "Flatten": {
        "forward ragged": lambda m: built(Flatten).forward([[1, 2], [3]]),
        **invalid(backward(Flatten), dy_shape=((2, 5, 6, 2),)),
        "weights too many": lambda m: m.layers[3].set_weights([np.zeros(3)]),
    },
    "SparseCategoricalAccuracy": {
        "name empty": lambda m: SparseCategoricalAccuracy(""),
        **invalid(
            SparseCategoricalAccuracy().update_state, {"y_pred": np.eye(1)}, y_true=([250], [0.5])
        ),
        "one-hot": lambda m: SparseCategoricalAccuracy().update_state(np.eye(3), np.eye(3)),
    },
    "fit": {
        "before compile": lambda m: Sequential([Input((2,)), Dense(2)]).fit([[1, 2]], [0]),
        **invalid(
            "fit",
            {"x": X, "y": Y, **QUIET},
            x=({"x": X}, RECORDS),
            y=(*WRONG_LABELS, None, 1, Y.astype(str), Y * 1j, Y.astype("M8[s]"), RECORDS, RAGGED),
            batch_size=(0,),
            epochs=(0, 1.5, HUGE, NAN, None),
            steps_per_epoch=(0,),
            shuffle=("batch", None),
            verbose=(3, "loud", 1.0),
        ),
        **invalid(
            "fit",
            {"x": X, **QUIET},
            y=(np.where(Y, Y, INF), Y * 0.5, MASKED_LABELS, ArrayLike(np.zeros(7))),
        ),
        "y generator": lambda m: m.fit(X, (y for y in Y), verbose=0),
        "nothing": lambda m: m.fit(X[:0], Y[:0], verbose=0),
        "dataset and y": lambda m: m.fit(SAMPLES, Y, verbose=0),
        "dataset and batch_size": lambda m: m.fit(SAMPLES, batch_size=2, verbose=0),
        "dataset not batched": lambda m: m.fit(Dataset.from_tensor_slices((X, Y)), verbose=0),
        **invalid("fit", QUIET, x=(dataset(X), dataset(X, Y + 3), dataset(X, Y, Y))),
        **invalid("fit", QUIET, x=(SAMPLES.repeat(), SAMPLES.take(0))),
    },
    "compile": invalid(
        "compile",
        {"optimizer": "adam", "loss": LOSS},
        optimizer=("adamm", Adam, None),
        loss=("msee", None, SparseCategoricalCrossentropy),
        metrics=(["acuracy"], "accuracy", [SparseCategoricalAccuracy]),
    ),
    "predict": {
        **invalid(
            "predict",
            {"x": X, **QUIET},
            x=(X[0], X[None], IMAGES, X[:, :7], None, 3.0, "mnist.npz", {1, 2}, [X[0], X[1, 1:]]),
            batch_size=(-1, HUGE, True, NAN),
            verbose=(X,),
            steps=(0,),
        ),
        **invalid("predict", QUIET, x=(OBJECTS, X * 1j, MASKED, RECORDS, X.astype("M8[s]"))),
        "x generator": lambda m: m.predict((x for x in X), verbose=0),
        "x table of objects": lambda m: m.predict(ArrayLike(OBJECTS), verbose=0),
        "x table of two columns": lambda m: m.predict(ArrayLike(np.zeros((6, 2))), verbose=0),
    },
    "predict_on_batch": invalid(
        "predict_on_batch", x=(X[0], X[:, :7], None, OBJECTS, MASKED, dataset(X))
    ),
    "evaluate": {
        **invalid(
            "evaluate",
            {"x": X, "y": Y, **QUIET},
            x=({"x": X}, X[:5]),
            y=(np.full(6, 250, np.uint8), np.full(6, 2**64 - 1, np.uint64)),  # the latter is -1
            batch_size=(2.0,),
            steps=("2", NAN),
            return_dict=(1,),
        ),
        "nothing": lambda m: m.evaluate(X[:0], Y[:0], verbose=0),
    },
    "train_on_batch": {
        **invalid("train_on_batch", {"x": X, "y": Y}, x=(MASKED,), y=(*WRONG_LABELS, OBJECTS)),
        "nothing": lambda m: m.train_on_batch(X[:0], Y[:0]),
        "None": lambda m: m.train_on_batch(None, None),
        "a number": lambda m: m.train_on_batch(3, 3),
    },
    "fit, validation_data": invalid(
        "fit", {"x": X, "y": Y, **QUIET}, validation_data=(X, (X, Y + 1))
    ),
    "expected the name of a file": {
        "load other ending": lambda m: m.load_weights("weights.npy"),
        "save other ending": lambda m: m.save_weights("weights"),
    },
    "not_weights.npz": {"load no weights file": lambda m: m.load_weights(Path("not_weights.npz"))},
    "other_layers.npz": {"load other layers": lambda m: m.load_weights("other_layers.npz")},
    "other_sizes.npz": {"load other sizes": lambda m: m.load_weights("other_sizes.npz")},
    "from_tensor_slices": {
        **invalid(
            Dataset.from_tensor_slices,
            tensors=((X, Y[:3]), 3, OBJECTS, MASKED, [[1, 2], [3]], (X, None)),
        ),
        "generator": lambda m: Dataset.from_tensor_slices(x for x in X),
    },
    "from_generator": {
        "dataset from a list": lambda m: Dataset.from_generator([1, 2]),
        "a generator": lambda m: Dataset.from_generator(x for x in X),
    },
    "shuffle": invalid(
        SAMPLES.shuffle,
        {"buffer_size": 3},
        buffer_size=(0, -1, 2.0, "2", True, None, HUGE),
        seed=(-1, 1.5),
        reshuffle_each_iteration=(0,),
    ),
    "repeat": invalid(SAMPLES.repeat, count=(-2, 1.5, "2", True, HUGE)),
    "batch": {
        **invalid(
            SAMPLES.batch,
            {"batch_size": 2},
            batch_size=(0, -1, 2.0, None, False),
            drop_remainder=("no",),
        ),
        "of two structures": lambda m: list(
            Dataset.from_generator(lambda: iter([(1, 2), np.arange(2)])).batch(2)
        ),
        "of two shapes": lambda m: list(Dataset.from_generator(lambda: iter([X, X[0]])).batch(2)),
    },
    "take": invalid(SAMPLES.take, count=(-2, 1.5, None, True)),
    "map": invalid(SAMPLES.map, function=(3, None)),
    "prefetch": invalid(SAMPLES.prefetch, buffer_size=(-2, 0.5, None, True)),
    "Zeros": invalid(Zeros(), {"shape": (3,), "rng": None}, shape=(None,), dtype=(None,)),
    "Mean": invalid(Mean().update, values=(np.zeros(0), 3.0, np.array(["3"]))),
    "Dataset": invalid(
        Dataset,
        {"make_iterator": lambda: iter([1]), "cardinality": 2},
        make_iterator=([1, 2],),
        cardinality=(-3, 2.5),
    ),
    "check_gradients": invalid(
        gradients,
        layer=(3, Dense),
        x=(np.ones((1, 3), "float32"), np.array([["a"]]), np.full((1, 3), NAN), np.ones((0, 3))),
        rng=(None,),
        step=(0, True, INF),
        tolerance=(NAN,),
        sample=(0, 2.0),
        y=([0],),
    ),
    "digit_grid": invalid(
        plots.digit_grid,
        {"images": IMAGES, "labels": Y},
        images=(3, IMAGES[0]),
        labels=(Y[:5], "abcdef"),
        rows=(0,),
        class_names=(["bag", "boot"], 3),
    ),
    "learning_curve": {"dict": lambda m: plots.learning_curve({"loss": [1, 2]})},
    "filters": {"kernel": lambda m: plots.filters(m.get_weights()[0])},
    "confusion_matrix": {
        **invalid(
            plots.confusion_matrix,
            {"labels": Y, "predictions": Y},
            labels=([1], Y * 0.5),
            predictions=(Y - 1, PROBABILITIES),
        ),
        "nothing": lambda m: plots.confusion_matrix([], []),
    },
    "worst_mistakes": invalid(
        plots.worst_mistakes,
        {"images": IMAGES, "labels": Y, "probabilities": PROBABILITIES},
        labels=(Y - 1,),
        probabilities=(Y, np.eye(3)),
        count=(0,),
    ),
    "shape_ribbon": {"layers": lambda m: plots.shape_ribbon(m.layers)},
}


def write_files(folder):
    """Two weights files of other models, and a file that is no archive."""
    (folder / "not_weights.npz").write_bytes(b"PK\x03\x04 and so on")
    Sequential([Input((2,)), Dense(3)]).save_weights(folder / "other_layers.npz")
    other = new_model()
    other.layers[-1].params["kernel"] = np.zeros((4, 3), "float32")
    other.save_weights(folder / "other_sizes.npz")


def rows():
    """All (who, what, call)."""
    return [(who, what, call) for who, calls in REFUSED.items() for what, call in calls.items()]


def fault(model, who, call):
    """What is wrong with how a trained model refuses `call`; None if nothing is."""
    before, names = state(model), [layer.name for layer in model.layers]
    try:
        call(model)
    except (ValueError, TypeError) as error:
        message, frame = str(error), error.__traceback__
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    else:
        return "was accepted"
    if state(model) != before or [layer.name for layer in model.layers] != names:
        return "changed the model"
    while frame.tb_next is not None:
        frame = frame.tb_next
    by = Path(frame.tb_frame.f_code.co_filename)
    if not by.is_relative_to(Path(minicnn.__file__).parent):
        return f"was refused by {by.name}, not by minicnn"
    if not message.startswith(who):
        return f"does not start with {who}: {message}"
    if not WANTED.search(message):
        return f"does not say what was expected: {message}"
    return None
