"""Names and seeds, the only global state; and an import without side effects."""

import json
import os

import numpy as np
import pytest

import minicnn
from minicnn import Sequential, layers
from minicnn.session import automatic_name, random_stream, snake_case
from tests.twins import bits, classifier

# Item 1: automatic names

# class: its first name, and its arguments
NAMES = {
    "Conv2D": ("conv2d", (2, 3)),
    "MaxPooling2D": ("max_pooling2d", ()),
    "Flatten": ("flatten", ()),
    "Dense": ("dense", (2,)),
    "ReLU": ("re_lu", ()),
    "Softmax": ("softmax", ()),
    "Sequential": ("sequential", ()),
}


def name_of_new(library, cls):
    return getattr(library if cls == "Sequential" else library.layers, cls)(*NAMES[cls][1]).name


@pytest.mark.parametrize("cls", NAMES)
def test_item_1_names_count_up_from_the_class_in_snake_case(cls):
    first, names = NAMES[cls][0], [name_of_new(minicnn, cls) for _ in range(3)]
    assert names == [first, f"{first}_1", f"{first}_2"]


def test_item_1_names_equal_those_of_keras(keras):
    for _ in range(2):
        minicnn.clear_session()
        keras.utils.clear_session()
        for cls in np.random.default_rng(1).choice(list(NAMES), 30):
            assert name_of_new(minicnn, cls) == name_of_new(keras, cls)


def test_item_1_snake_case_equals_that_of_keras(keras):
    from keras.src.utils.naming import to_snake_case

    for name in (*NAMES, "MyConv", "HTTPServer", "conv", "A", "AB", "Conv2DTranspose", "ELU2x"):
        assert snake_case(name) == to_snake_case(name)


def test_item_1_a_name_is_taken_at_construction_not_when_added():
    first, second = layers.Dense(2), layers.Dense(3)
    model = Sequential([minicnn.Input((4,)), second, first])
    assert [layer.name for layer in model.layers] == ["dense_1", "dense"]
    assert layers.Dense(2, name="mine").name == "mine"  # which is not counted
    assert layers.Dense(2).name == "dense_2"


def test_item_1_subclasses_are_named_after_themselves():
    class TwoByTwoPooling(layers.MaxPooling2D):
        pass

    assert TwoByTwoPooling().name == "two_by_two_pooling"
    assert automatic_name(TwoByTwoPooling) == "two_by_two_pooling_1"


def test_item_1_clear_session_restarts_names():
    old = layers.Conv2D(2, 3)
    layers.Conv2D(2, 3)
    minicnn.clear_session()
    assert layers.Conv2D(2, 3).name == "conv2d"
    assert old.name == "conv2d"  # existing layers keep their names


def test_clear_session_changes_neither_models_nor_randomness():
    minicnn.set_random_seed(4)
    model = classifier()
    before = bits(model)
    minicnn.clear_session()
    assert bits(model) == before
    after_clearing = random_stream().random()
    minicnn.set_random_seed(4)
    classifier()
    assert random_stream().random() == after_clearing


# set_random_seed


def train_a_little():
    """Initial weights, weights after two epochs, and an unseeded shuffle."""
    x, y = np.random.default_rng(0).random((40, 5)), np.arange(40) % 3
    model = classifier()
    start = bits(model)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    return start, bits(model), list(minicnn.data.Dataset.from_tensor_slices(y).shuffle(40))


def test_a_seed_makes_everything_repeatable():
    minicnn.set_random_seed(8)
    first = train_a_little()
    second = train_a_little()
    minicnn.set_random_seed(8)
    assert train_a_little() == first
    assert train_a_little() == second
    assert first != second
    minicnn.set_random_seed(9)
    assert train_a_little() != first


def test_seeds_do_not_change_numpys_global_state():
    np.random.seed(1)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    minicnn.set_random_seed(7)
    train_a_little()
    assert np.random.random() == expected  # noqa: NPY002


@pytest.mark.parametrize("wrong", [-1, 1.5, 2.0, "2", True, None, [1]])
def test_an_invalid_seed_is_refused_and_changes_nothing(wrong):
    minicnn.set_random_seed(8)
    expected = random_stream().random()
    minicnn.set_random_seed(8)
    with pytest.raises((TypeError, ValueError), match="set_random_seed: seed must be"):
        minicnn.set_random_seed(wrong)
    assert random_stream().random() == expected


def test_numpy_integers_and_large_numbers_are_seeds():
    minicnn.set_random_seed(np.uint8(8))
    expected = random_stream().random()
    minicnn.set_random_seed(8)
    assert random_stream().random() == expected
    minicnn.set_random_seed(2**100)


# import minicnn

IMPORT = """
import json, socket, sys

def refuse(*arguments):
    raise AssertionError("import minicnn opened a socket")

socket.socket.connect = refuse
written = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        written.append(str(arguments[0]))
    elif event in ("os.mkdir", "os.rename", "os.remove"):
        written.append(f"{event} {arguments[0]}")

from numba.core import event
compiled = event.RecordingListener()
event.register("numba:compile", compiled)
sys.addaudithook(watch)
import minicnn
modules = sorted(sys.modules)
print(json.dumps({"modules": modules, "compiled": len(compiled.buffer), "written": written}))
"""


@pytest.fixture(scope="module")
def import_report(tmp_path_factory, python):
    """What a new process observed while it imported minicnn, and the files it left."""
    home = tmp_path_factory.mktemp("home")
    folders = {"HOME": "", "NUMBA_CACHE_DIR": "numba", "MPLCONFIGDIR": "matplotlib"}
    environment = os.environ | {name: str(home / folder) for name, folder in folders.items()}
    done = python("-B", "-W", "error", "-c", IMPORT, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout) | {"files": [str(path) for path in home.rglob("*")]}


@pytest.mark.parametrize("module", ["tensorflow", "keras", "matplotlib", "torch", "jax"])
def test_import_loads_no_large_framework(import_report, module):
    assert "minicnn.model" in import_report["modules"]
    assert module not in import_report["modules"]


@pytest.mark.parametrize("what", ["compiled", "written", "files"])
def test_import_compiles_and_writes_nothing(import_report, what):
    assert import_report[what] in (0, [])
