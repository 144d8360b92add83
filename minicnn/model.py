"""`Sequential`: layers one after the other, their weights and their table.

How it learns is in `minicnn.training`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.callbacks.output import say
from minicnn.layer import Layer, WithWeights
from minicnn.layers import Input
from minicnn.saving import model_file, weights_file
from minicnn.session import automatic_name, random_stream
from minicnn.shapes import Shape
from minicnn.summary import summary_lines
from minicnn.training import Trainer
from minicnn.validation import Check
from minicnn.validation.configuration import Known, from_plain_data, plain_data


class Sequential(Trainer, WithWeights):
    """A network of layers, each fed with the output of the one before.

    Parameters
    ----------
    layers : list, optional
        Layers in order; an `Input` may come first and says what shape samples have. Without one,
        weights are made when the first data arrive, or by `build`.
    name : str, optional
    dtype : "float32" or "float64"
        Of the weights and of all arithmetic.

    Attributes
    ----------
    layers : list
    name : str
    input_shape : tuple or None
        Shape of one sample; None while it is not known.
    """

    def __init__(self, layers: list[Any] | None = None, name: str | None = None, dtype="float32"):
        super().__init__()
        check = Check("Sequential")
        layers = check.optional_list(layers, "layers")
        self.dtype = check.float_dtype(dtype)
        self.name = automatic_name(type(self)) if name is None else check.name(name)
        self.layers: list[Layer] = []
        self.input_shape: Shape | None = None
        for layer in layers:
            self.add(layer)

    def __repr__(self) -> str:
        built, sizes = self.input_shape is not None, f"layers={len(self.layers)}"
        if built:
            sizes += f", parameters={sum(layer.count_params() for layer in self.layers)}"
        return f"<{type(self).__name__} name={self.name}, {sizes}, built={built}>"

    def add(self, layer: Layer | Input) -> None:
        """Append a layer; it is built at once if the shape of its inputs is known.

        Anything but a layer, a name that is taken, and a layer that cannot follow the last one are
        errors; the model is then as it was.
        """
        if isinstance(layer, Input):
            if self.layers or self.input_shape:
                raise ValueError(f"{self.check.who}: Input has to come first, and only once")
            self.input_shape = layer.start_shape
            return
        self.check.layer(layer, Layer, [other.name for other in self.layers])
        input_shape = self.input_shape
        if not self.layers and input_shape is None:
            input_shape = layer.requested_input_shape
        if input_shape is not None:
            self._build_layers([*self.layers, layer], input_shape)
        self.input_shape = input_shape
        self.layers.append(layer)

    def build(self, input_shape: Any, rng: np.random.Generator | None = None) -> None:
        """Make the weights for batches of that shape, with the axis of samples: (None, 28, 28, 1).

        They are drawn from `rng`, or from the session's stream if it is None.
        """
        shape = self.check.batch_shape(input_shape)
        self.check.has_layers(self.layers)
        if self.input_shape is None:
            self._build_layers(self.layers, shape, rng)
            self.input_shape = shape
        self.check.samples_of(self.input_shape, shape)

    def _build_layers(self, layers: list[Layer], shape: Shape, rng: Any = None) -> None:
        """Build those that are not built yet; none if one of them cannot take its inputs."""
        waiting = [layer for layer in layers if layer.input_shape is None]
        try:
            for layer in layers:
                if layer.input_shape is None:
                    layer.build(shape, random_stream() if rng is None else rng, self.dtype)
                else:
                    layer.check.built_for(layer.input_shape, shape)
                shape = layer.output_shape(shape)
        except BaseException:
            for layer in waiting:
                layer.params, layer.state, layer.input_shape = {}, {}, None
            raise

    @property
    def output_shape(self) -> Shape:
        """Shape of one sample's output."""
        self._require_built()
        last = self.layers[-1]
        return last.output_shape(last.input_shape)

    def summary(self, print_fn: Callable[[str], Any] = say) -> None:
        """Print the table of layers, output shapes and parameters, line by line.

        A long name is cut, as in TensorFlow 2.0: `[layer.name for layer in model.layers]`.
        """
        self._require_built()
        self.check.function(print_fn, "print_fn")
        for line in summary_lines(self.name, self.layers):
            print_fn(line)

    def all_weights(self):
        self._require_built()
        return [weight for layer in self.layers for weight in layer.all_weights()]

    def save_weights(self, path: Any) -> None:
        """Write the weights to an NPZ file, which replaces an older one only when complete."""
        self._require_built()
        weights_file.save(path, self.layers)

    def load_weights(self, path: Any) -> None:
        """Read what `save_weights` wrote for a model of the same layers, whatever their names.

        The file of a whole model will do, too. With other things in it, nothing is changed.
        """
        self._require_built()
        weights_file.load(path, self.layers)

    def save(self, path: Any) -> None:
        """Write the model to an NPZ file, which replaces an older one only when complete.

        The file holds layers, weights, optimizer with state and steps, loss, metrics, and the state
        of the random stream that draws the orders of `fit`: see `minicnn.load_model`.

        A part that cannot be described (see `minicnn.validation.configuration`) is an error.
        """
        self._require_built()
        model_file.save(path, self)

    def get_config(self) -> dict[str, Any]:
        """Layers, shape of a sample (None if it is not known), name and dtype, fit for JSON."""
        return {
            "name": self.name,
            "dtype": self.dtype.name,
            "input_shape": None if self.input_shape is None else list(self.input_shape),
            "layers": plain_data(self.layers),
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Known | None = None) -> "Sequential":
        """A new model of such layers, with fresh weights."""
        parts = from_plain_data(config["layers"], model_file.KNOWN | (custom_objects or {}))
        model = cls(parts, name=config["name"], dtype=config["dtype"])
        if config["input_shape"] is not None:
            model.build((None, *config["input_shape"]))
        return model

    def _require_built(self) -> None:
        self.check.has_layers(self.layers)
        self.check.knows_inputs(self.input_shape)
