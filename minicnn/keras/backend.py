"""The few functions of Keras' backend that programs call."""

from minicnn.keras.left_out import module_getattr
from minicnn.session import clear_session

__all__ = ["backend", "clear_session", "epsilon", "floatx", "image_data_format"]
__getattr__ = module_getattr("backend")


def backend() -> str:
    """What computes: "minicnn"."""
    return "minicnn"


def image_data_format() -> str:
    """Images are (height, width, channels)."""
    return "channels_last"


def floatx() -> str:
    """The default dtype of a model."""
    return "float32"


def epsilon() -> float:
    """Where losses clip probabilities."""
    return 1e-7
