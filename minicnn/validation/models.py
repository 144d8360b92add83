"""Checks about models: their layers, the shapes they are built for, the epochs of a `fit`."""

from typing import Any

from minicnn.validation.arguments import ArgumentChecks

Shape = tuple[int, ...]


class ModelChecks(ArgumentChecks):
    """The part of `Check` that is about models."""

    def layer(self, value: Any, kind: type, names: list[str]) -> None:
        """Refuse anything but a layer, of class `kind`, and layers with a name that is taken."""
        if not isinstance(value, kind):
            raise self.error(f"expected a layer, received {value!r}", TypeError)
        if value.name in names:
            raise self.error(
                f"layers of one model need different names, but '{value.name}' is "
                "already there; pass another name="
            )

    def batch_shape(self, value: Any) -> tuple[int, ...]:
        """The shape of a sample, from the shape of a batch of samples: (None, 28, 28, 1)."""
        if not isinstance(value, tuple | list) or len(value) < 2:
            raise self.error(
                f"expected the shape of a batch, (None, 28, 28, 1) for instance, received {value!r}"
            )
        if value[0] is not None:
            self.integer(value[0], "input_shape[0], a number of samples,", minimum=0)
        return self.shape(value[1:], "input_shape")

    def samples_of(self, expected: Shape, shape: Shape) -> None:
        """Refuse samples of another shape than a model is built for."""
        if shape != expected:
            raise self.error(
                f"expected samples of shape {expected}, for which the model is built, "
                f"received {shape}"
            )

    def built_for(self, expected: Shape, shape: Shape) -> None:
        """Refuse inputs of another shape than a layer is built for."""
        if shape != expected:
            raise self.error(f"already built for inputs of shape {expected}, received {shape}")

    def has_layers(self, layers: list[Any]) -> None:
        """Refuse a model without layers."""
        if not layers:
            raise self.error("the model has no layers yet; add some first")

    def knows_inputs(self, input_shape: Shape | None) -> None:
        """Refuse a model that has waited for its first data so far."""
        if input_shape is None:
            raise self.error(
                "the model does not know the shape of its inputs yet; start it with "
                "Input(shape), or call build((None, *shape)) or fit first"
            )

    def compiled(self, loss: Any) -> Any:
        """The `loss` of a model, which has one once it is compiled."""
        if loss is None:
            raise self.error("the model has to be compiled first: model.compile(...)")
        return loss

    def epochs(self, epochs: Any, initial_epoch: Any) -> tuple[int, int]:
        """The number of the last epoch, and of those that are done already."""
        epochs = self.integer(epochs, "epochs")
        initial_epoch = self.integer(initial_epoch, "initial_epoch", minimum=0)
        if initial_epoch > epochs:
            raise self.error(
                f"expected an initial_epoch of at most epochs={epochs}, received {initial_epoch}"
            )
        return epochs, initial_epoch
