"""Item 19: the summary is that of the notebook, to the byte."""

import pytest

from minicnn import Input, Sequential
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from minicnn.summary import summary_lines

RULE, DOUBLE_RULE = "_" * 65, "=" * 65
HEADER = f"""\
Model: "sequential"
{RULE}
Layer (type)                 Output Shape              Param #   
{DOUBLE_RULE}
"""  # noqa: W291
ROWS = [
    "conv2d (Conv2D)              (None, 28, 28, 32)        832       ",
    "max_pooling2d (MaxPooling2D) (None, 14, 14, 32)        0         ",
    "conv2d_1 (Conv2D)            (None, 14, 14, 64)        51264     ",
    "max_pooling2d_1 (MaxPooling2 (None, 7, 7, 64)          0         ",
    "flatten (Flatten)            (None, 3136)              0         ",
    "dense (Dense)                (None, 64)                200768    ",
    "dense_1 (Dense)              (None, 10)                650       ",
]


def table(rows, total):
    return (
        HEADER
        + f"\n{RULE}\n".join(rows)
        + f"\n{DOUBLE_RULE}\nTotal params: {total}\nTrainable params: {total}\n"
        + f"Non-trainable params: 0\n{RULE}\n"
    )


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_item_19_the_summary_of_the_notebook(capsys):
    options = {"kernel_size": [5, 5], "padding": "same", "activation": "relu"}
    parts = [Conv2D(filters=32, input_shape=(28, 28, 1), **options), MaxPooling2D([2, 2])]
    parts += [Conv2D(filters=64, **options), MaxPooling2D(pool_size=[2, 2]), Flatten()]
    parts += [Dense(units=64, activation="relu"), Dense(units=10, activation="softmax")]
    model, totals = Sequential(), {2: "832", 4: "52,096", 7: "253,514"}
    for count, layer in enumerate(parts, start=1):
        model.add(layer)
        if count in totals:  # as often as in the notebook
            model.summary()
            assert capsys.readouterr().out == table(ROWS[:count], totals[count])


def test_item_19_a_field_is_cut_at_its_column_and_its_last_character_blanked():
    # 28 characters end just before the gap between columns; more are cut.
    for length, shown in [(20, "n" * 20 + " (Dense) "), (21, "n" * 21 + " (Dense ")]:
        model = Sequential([Input((3,)), Dense(2, name="n" * length)])
        row = summary_lines("m", model.layers)[4]
        assert row == f"{shown}(None, 2)                 8         "
    model = Sequential([Input((3,)), Dense(2, name="n" * 80)])
    row = summary_lines("m", model.layers)[4]
    assert row == "n" * 28 + " (None, 2)                 8         "


def test_item_19_long_shapes_and_counts_are_cut_too():
    shape = (10_000, 10_000, 10_000, 100)
    rows = summary_lines("m", Sequential([Input(shape), Flatten(name="f")]).layers)
    assert rows[4] == "f (Flatten)                  (None, 100000000000000)   0         "
    rows = summary_lines("m", Sequential([Input(shape), Dense(1, name="d")]).layers)
    assert rows[4] == "d (Dense)                    (None, 10000, 10000, 1000 101       "


def test_print_fn_receives_the_table_line_by_line(capsys):
    model = Sequential([Input((3,)), Dense(2)])
    lines = []
    model.summary(print_fn=lines.append)
    assert capsys.readouterr().out == ""
    model.summary()
    assert capsys.readouterr().out.splitlines() == lines
    assert not any("\n" in line for line in lines)


def test_a_model_without_shapes_has_no_table():
    with pytest.raises(ValueError, match="does not know the shape of its inputs"):
        Sequential([Dense(2)]).summary()
    with pytest.raises(ValueError, match="has no layers yet"):
        Sequential().summary()
