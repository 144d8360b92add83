"""A model and images as plain data that fit into JSON; raises an error for what cannot be shown."""

import base64
from typing import Any

import numpy as np

from minicnn.activations import ACTIVATIONS
from minicnn.layers import (
    Activation,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    ReLU,
    Softmax,
)
from minicnn.losses import CROSS_ENTROPIES
from minicnn.model import Sequential

LAYERS = (Conv2D, MaxPooling2D, Flatten, Dense, Dropout, Activation, ReLU, Softmax)
LARGEST_IMAGE = 64  # pixels in height and in width
MOST_WEIGHTS = 4_000_000  # 21 MB of text


def describe(model: Sequential, who: str) -> dict[str, Any]:
    """Layers, shapes and weights of a model. Weights become float32, which the page computes in.

    Raises
    ------
    TypeError, ValueError
        If the page cannot show the model; `who` begins the message.
    """
    _check(model, who)
    return {
        "name": model.name,
        "inputShape": list(model.input_shape),
        "layers": [_layer(layer) for layer in model.layers],
        "parameters": model.count_params(),
        "endsInSoftmax": _ends_in_softmax(model),
        "regularized": any(layer.regularizers for layer in model.layers),
    }


def encoded(array: np.ndarray) -> str:
    """The bytes of an array in base64, least significant byte first."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode("ascii")


def encoded_images(images: np.ndarray) -> dict[str, Any]:
    """Images as bytes if each value is a number of 255ths, which takes a quarter of the space."""
    images = np.asarray(images, np.float32)
    levels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    exact = np.array_equal(np.divide(levels, 255, dtype=np.float32), images)
    return {
        "count": len(images),
        "type": "uint8" if exact else "float32",
        "data": encoded(levels if exact else images),
    }


def _layer(layer: Any) -> dict[str, Any]:
    described = {
        "name": layer.name,
        "type": type(layer).__name__,
        "inputShape": list(layer.input_shape),
        "outputShape": list(layer.output_shape(layer.input_shape)),
        "parameters": layer.count_params(),
        "trainable": bool(layer.trainable),
        "params": {
            key: {"shape": list(weight.shape), "data": encoded(weight.astype(np.float32))}
            for key, weight in layer.params.items()
        },
    }
    if isinstance(layer, Conv2D | MaxPooling2D):
        described["geometry"] = layer.geometry(layer.input_shape)._asdict()
        described["padding"] = layer.padding
    if isinstance(layer, Conv2D | Dense | Activation | ReLU | Softmax):
        described["activation"] = layer.activation.name
    if isinstance(layer, Dropout):
        described["rate"] = layer.rate
    return described


def _ends_in_softmax(model: Sequential) -> bool:
    last = model.layers[-1]
    return isinstance(last, Dense | Softmax | Activation) and last.activation.name == "softmax"


def _check(model: Sequential, who: str) -> None:
    if not isinstance(model, Sequential):
        raise TypeError(f"{who}: expected a Sequential, received {model!r}")
    count = model.count_params()  # raises an error if the model is not built
    shape = model.input_shape
    if len(shape) != 3 or max(shape[:2]) > LARGEST_IMAGE:
        raise ValueError(
            f"{who}: expected a model of images (height, width, channels) of at most "
            f"{LARGEST_IMAGE} x {LARGEST_IMAGE} pixels, received one of samples of shape {shape}"
        )
    if count > MOST_WEIGHTS:
        raise ValueError(
            f"{who}: expected a model of at most {MOST_WEIGHTS:,} weights, which the file has to "
            f"hold, received one of {count:,}"
        )
    for layer in model.layers:
        _check_layer(layer, who)
    if len(model.output_shape) != 1:
        raise ValueError(
            f"{who}: expected a model whose output is one score a class, received one of outputs "
            f"of shape {model.output_shape}; end it with Flatten() and Dense(classes)"
        )
    _check_loss(model, who)


def _check_layer(layer: Any, who: str) -> None:
    if type(layer) not in LAYERS:
        known = ", ".join(each.__name__ for each in LAYERS)
        raise ValueError(
            f"{who}: the page knows the layers {known}, but not {layer.who}; it computes in "
            "JavaScript and cannot run a layer of your own"
        )
    activation = getattr(layer, "activation", None)
    if activation is not None and activation != ACTIVATIONS.get(activation.name):
        raise ValueError(
            f"{who}: the page knows the activations {', '.join(ACTIVATIONS)}, but not "
            f"{activation.name!r} of {layer.who}"
        )


def _check_loss(model: Sequential, who: str) -> None:
    """The page computes the cross-entropy of logits; refuse a model that is trained on another."""
    loss = model.loss
    if loss is None:
        return
    if type(loss) not in CROSS_ENTROPIES:
        known = " and ".join(each.__name__ for each in CROSS_ENTROPIES)
        raise ValueError(f"{who}: the page knows the losses {known}, received {loss!r}")
    if not loss.from_logits and not _ends_in_softmax(model):
        raise ValueError(
            f"{who}: expected probabilities from a softmax at the end, or logits and a loss with "
            "from_logits=True; the model has no softmax at the end and from_logits=False"
        )
