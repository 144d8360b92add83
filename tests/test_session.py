"""Names and seeds, the only global state; and an import without side effects."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import Sequential, layers
from minicnn.session import automatic_name, random_stream, snake_case

# Item 1: automatic names

MAKERS = {
    "Conv2D": lambda kit: kit.layers.Conv2D(2, 3),
    "MaxPooling2D": lambda kit: kit.layers.MaxPooling2D(),
    "Flatten": lambda kit: kit.layers.Flatten(),
    "Dense": lambda kit: kit.layers.Dense(2),
    "ReLU": lambda kit: kit.layers.ReLU(),
    "Softmax": lambda kit: kit.layers.Softmax(),
    "Sequential": lambda kit: kit.Sequential(),
}


@pytest.mark.parametrize(
    ("maker", "first"),
    [
        ("Conv2D", "conv2d"),
        ("MaxPooling2D", "max_pooling2d"),
        ("Flatten", "flatten"),
        ("Dense", "dense"),
        ("ReLU", "re_lu"),
        ("Softmax", "softmax"),
        ("Sequential", "sequential"),
    ],
)
def test_item_1_names_count_up_from_the_class_in_snake_case(maker, first):
    names = [MAKERS[maker](minicnn).name for _ in range(3)]
    assert names == [first, f"{first}_1", f"{first}_2"]


def test_item_1_names_equal_those_of_keras(keras):
    rng = np.random.default_rng(1)
    keras.utils.clear_session()
    for _ in range(60):
        maker = MAKERS[rng.choice(list(MAKERS))]
        assert maker(minicnn).name == maker(keras).name
        if rng.random() < 0.1:
            minicnn.clear_session()
            keras.utils.clear_session()


def test_item_1_snake_case_equals_that_of_keras(keras):
    from keras.src.utils.naming import to_snake_case

    for name in (*MAKERS, "MyConv", "HTTPServer", "conv", "A", "AB", "Conv2DTranspose", "ELU2x"):
        assert snake_case(name) == to_snake_case(name)


def test_item_1_a_name_is_taken_at_construction_not_when_added():
    first, second = layers.Dense(2), layers.Dense(3)
    model = Sequential([minicnn.Input((4,)), second, first])
    assert [layer.name for layer in model.layers] == ["dense_1", "dense"]
    assert layers.Dense(2).name == "dense_2"


def test_item_1_each_class_counts_by_itself():
    kinds = [layers.Dense(2), layers.Flatten(), layers.Dense(2), layers.Flatten()]
    assert [layer.name for layer in kinds] == ["dense", "flatten", "dense_1", "flatten_1"]


def test_item_1_a_given_name_is_not_counted():
    assert layers.Dense(2, name="mine").name == "mine"
    assert layers.Dense(2).name == "dense"


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
    model = Sequential([minicnn.Input((4,)), layers.Dense(3)])
    before = [weight.copy() for weight in model.get_weights()]
    minicnn.clear_session()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    after_clearing = random_stream().random()
    minicnn.set_random_seed(4)
    Sequential([minicnn.Input((4,)), layers.Dense(3)])
    assert random_stream().random() == after_clearing


# set_random_seed


def train_a_little():
    """Initial weights, weights after two epochs, and an unseeded shuffle."""
    minicnn.clear_session()
    x, y = np.random.default_rng(0).random((40, 6)), np.arange(40) % 3
    model = Sequential([minicnn.Input((6,)), layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    start = [weight.copy() for weight in model.get_weights()]
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    shuffled = minicnn.data.Dataset.from_tensor_slices(y).shuffle(40)
    return [weight.tobytes() for weight in (*start, *model.get_weights())], list(shuffled)


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
print(json.dumps({
    "modules": sorted(sys.modules),
    "compiled": len(compiled.buffer),
    "written": written,
}))
"""


@pytest.fixture(scope="module")
def import_report(tmp_path_factory):
    """What a new process observed while it imported minicnn, and the files it left."""
    home = tmp_path_factory.mktemp("home")
    outcome = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", IMPORT],
        cwd=Path(minicnn.__file__).parents[1],
        env={
            **os.environ,
            "HOME": str(home),
            "NUMBA_CACHE_DIR": str(home / "numba"),
            "MPLCONFIGDIR": str(home / "matplotlib"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stderr == ""
    files = [str(path) for path in home.rglob("*")]
    return json.loads(outcome.stdout) | {"files": files}


@pytest.mark.parametrize("module", ["tensorflow", "keras", "matplotlib", "torch", "jax"])
def test_import_loads_no_large_framework(import_report, module):
    assert "minicnn.model" in import_report["modules"]
    assert module not in import_report["modules"]


def test_import_compiles_nothing(import_report):
    assert import_report["compiled"] == 0


def test_import_leaves_no_file(import_report):
    assert [path for path in import_report["files"] if Path(path).is_file()] == []


def test_import_writes_nothing(import_report):
    assert import_report["written"] == []
    assert import_report["files"] == []
