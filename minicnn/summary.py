"""The table of a model, in the words of TensorFlow 2.0: 65 columns that end at 29, 55 and 65."""

from minicnn.layer import Layer

COLUMN_ENDS = (29, 55, 65)
WIDTH = COLUMN_ENDS[-1]


def summary_lines(name: str, layers: list[Layer]) -> list[str]:
    """The lines of the table: name, output shape and number of parameters of each layer.

    A field too long for its column is cut, as in TensorFlow 2.0: `max_pooling2d_1 (MaxPooling2 `.
    """
    lines = [f'Model: "{name}"', "_" * WIDTH]
    lines += [_row("Layer (type)", "Output Shape", "Param #"), "=" * WIDTH]
    for layer in layers:
        shape = (None, *layer.output_shape(layer.input_shape))
        lines += [_row(f"{layer.name} ({type(layer).__name__})", shape, layer.count_params())]
        lines += ["_" * WIDTH]
    if layers:
        lines[-1] = "=" * WIDTH
    total = sum(layer.count_params() for layer in layers)
    trained = sum(w.size for layer in layers if layer.trainable for w in layer.params.values())
    lines += [f"Total params: {total:,}", f"Trainable params: {trained:,}"]
    return [*lines, f"Non-trainable params: {total - trained:,}", "_" * WIDTH]


def _row(*fields) -> str:
    line = ""
    for field, end in zip(fields, COLUMN_ENDS, strict=True):
        if line:
            line = line[:-1] + " "  # a gap even where the field before was cut
        line = (line + str(field))[:end].ljust(end)
    return line
