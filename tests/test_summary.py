"""Item 19: the summary is that of the notebook, to the byte."""

import pytest

import minicnn
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
    model = Sequential()
    model.add(
        Conv2D(
            filters=32,
            kernel_size=[5, 5],
            padding="same",
            activation="relu",
            input_shape=(28, 28, 1),
        )
    )
    model.add(MaxPooling2D(pool_size=[2, 2]))
    model.summary()
    assert capsys.readouterr().out == table(ROWS[:2], "832")
    model.add(Conv2D(filters=64, kernel_size=[5, 5], padding="same", activation="relu"))
    model.add(MaxPooling2D(pool_size=[2, 2]))
    model.summary()
    assert capsys.readouterr().out == table(ROWS[:4], "52,096")
    model.add(Flatten())
    model.add(Dense(units=64, activation="relu"))
    model.add(Dense(units=10, activation="softmax"))
    model.summary()
    assert capsys.readouterr().out == table(ROWS, "253,514")


def test_item_19_names_start_over_with_a_new_session():
    def lines():
        model = Sequential([Input((4, 4, 1)), Conv2D(1, 3), Flatten(), Dense(2)])
        return summary_lines(model.name, model.layers)

    first = lines()
    assert first != lines()
    minicnn.clear_session()
    assert lines() == first


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


def test_every_line_of_the_table_is_as_wide_as_its_rules():
    model = Sequential([Input((12, 12, 3)), Conv2D(7, 5), MaxPooling2D(3), Flatten(), Dense(4)])
    lines = summary_lines(model.name, model.layers)
    assert {len(line) for line in lines[1:-4]} == {65}


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
