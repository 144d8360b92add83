"""Keras' models: `Sequential` with Keras' conveniences, `Model(inputs, outputs)` for chains."""

from typing import Any

import minicnn
from minicnn.keras.functional import KerasTensor, chain_between
from minicnn.keras.left_out import module_getattr
from minicnn.layer import Layer
from minicnn.layers import Input
from minicnn.saving import model_file
from minicnn.shapes import Shape
from minicnn.validation import Tensor, answers_unknown_keywords

__all__ = ["Model", "Sequential", "load_model", "save_model"]
__getattr__ = module_getattr("models")


class Sequential(minicnn.Sequential):
    """`minicnn.Sequential`, and what programs for Keras do with it besides.

    A model may be added like a layer: its layers become layers of this model, shared by both.
    Calling a model on an array gives its outputs; calling it on an `Input`, what comes out of it.
    """

    def add(self, layer: Any) -> None:
        """Append a layer, an `Input`, or all layers of a model."""
        if isinstance(layer, KerasTensor):
            super().add(Input(layer.start_shape))
        if isinstance(layer, minicnn.Sequential) and layer.dtype != self.dtype:
            raise ValueError(
                f"{self.who}: expected a model of {self.dtype}, received one of {layer.dtype}"
            )
        if isinstance(layer, KerasTensor | minicnn.Sequential):
            for inner in layer.layers:
                self.add(inner)
        else:
            super().add(layer)

    def pop(self, rebuild: bool = True) -> Layer:
        """Remove the last layer, and return it."""
        self.check.has_layers(self.layers)
        return self.layers.pop()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that place."""
        if index is not None:
            return self.layers[self.check.integer(index, "index", minimum=0)]
        names = {layer.name: layer for layer in self.layers}
        if name not in names:
            raise ValueError(
                f"{self.who}: expected the name of a layer, one of {list(names)}, received {name!r}"
            )
        return names[name]

    def __call__(self, x: Any, training: bool = False) -> Any:
        """The outputs for samples x (n, ...); of a KerasTensor, what comes out of the last layer.

        With `training`, random layers are random.
        """
        if training or isinstance(x, KerasTensor):
            for layer in self.layers:
                x = layer(x, training)
            return x
        return self.predict_on_batch(x).view(Tensor)

    def _build_layers(self, layers: list[Layer], shape: Shape, rng: Any = None) -> None:
        super()._build_layers(layers, shape, rng)
        x = KerasTensor(shape)
        for layer in layers:
            y = layer(x)
            if not hasattr(layer, "output"):  # it belongs to no other model
                layer.input, layer.output = x, y
            x = y

    @answers_unknown_keywords
    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the model to a file that ends in .npz, .keras or .h5; an older one is replaced."""
        super().save(filepath)

    @answers_unknown_keywords
    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights to a file that ends in .npz or .weights.h5."""
        super().save_weights(filepath)

    @answers_unknown_keywords
    def load_weights(self, filepath: Any) -> None:
        """Read weights from any of these files, also from that of a whole model."""
        super().load_weights(filepath)

    summary = answers_unknown_keywords(minicnn.Sequential.summary)

    @property
    def input(self) -> KerasTensor:
        """What goes in."""
        self._require_built()
        return KerasTensor(self.input_shape)

    @property
    def output(self) -> KerasTensor:
        """What comes out."""
        return self(self.input)

    @property
    def inputs(self) -> list[KerasTensor]:
        """`input` in a list."""
        return [self.input]

    @property
    def outputs(self) -> list[KerasTensor]:
        """`output` in a list."""
        return [self.output]

    @property
    def trainable(self) -> bool:
        """Whether some layer is; setting it sets all layers."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = self.check.flag(value, "trainable")

    @property
    def metrics_names(self) -> list[str]:
        """Names of what `evaluate` returns."""
        return ["loss", *(metric.name for metric in self.metrics)]


class Functional(Sequential):
    """The chain of layers from `inputs` to `outputs`; its weights are those of the layers.

    Parameters
    ----------
    inputs : KerasTensor, or list of one
    outputs : KerasTensor, or list of several along one chain
        With a list, `predict` and calls return a list: the feature maps of several layers.
    name : str, optional
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None):
        who = "Model"
        if isinstance(inputs, list | tuple):
            if len(inputs) != 1:
                raise ValueError(f"{who}: expected one input, received {len(inputs)}")
            inputs = inputs[0]
        several = outputs if isinstance(outputs, list | tuple) else [outputs]
        chains = [chain_between(inputs, output, who) for output in several]
        longest = max(chains, key=len)
        if any(chain != longest[: len(chain)] for chain in chains):
            raise ValueError(
                f"{who}: expected outputs along one chain of layers, received branches"
            )
        start = Input(inputs.sample_shape)
        weights = (weight for layer in longest for weight in layer.params.values())
        dtype = next((weight.dtype for weight in weights), "float32")
        super().__init__([start, *longest], name=name, dtype=dtype)
        self._parts = None
        if isinstance(outputs, list | tuple):
            self._parts = [Sequential([start, *chain], dtype=dtype) for chain in chains]

    def predict(self, x: Any, *args: Any, **keywords: Any) -> Any:
        """As `Sequential.predict`; a list for a list of outputs."""
        if self._parts is None:
            return super().predict(x, *args, **keywords)
        return [part.predict(x, *args, **keywords) for part in self._parts]

    def __call__(self, x: Any, training: bool = False) -> Any:
        if self._parts is None or isinstance(x, KerasTensor):
            return super().__call__(x, training)
        return [part(x, training) for part in self._parts]

    def __init_subclass__(cls, **options: Any) -> None:
        raise NotImplementedError(
            f"{cls.__name__}: models that are subclasses of Model, with a call of their own, are "
            "not part of minicnn; write a Layer with forward and backward, and put it into a "
            "Sequential"
        )


Model = Functional


@answers_unknown_keywords
def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True) -> Sequential:  # noqa: A002
    """Read what `model.save` wrote: see `minicnn.load_model`. `compile` is accepted."""
    return model_file.load(filepath, custom_objects, Sequential)[0]


def save_model(model: minicnn.Sequential, filepath: Any, overwrite: bool = True) -> None:
    """Write a model to a file: see `Sequential.save`. An older file is replaced."""
    model.save(filepath)
