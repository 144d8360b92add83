"""The peers that `compare.py` measures: each library in each of its settings."""

from collections.abc import Callable
from typing import Any, NamedTuple

from libraries import Jax, Keras, Library, Minicnn, Torch
from onnx_libraries import OnnxRuntime, OpenVino


class Peer(NamedTuple):
    """A library in one of its settings."""

    library: str
    setting: str
    build: Callable[..., Library]
    options: dict[str, Any]
    needs: tuple[str, ...]  # modules that have to be installed
    trains: bool = True

    @property
    def title(self) -> str:
        """`Keras, jit_compile`"""
        return f"{self.library}, {self.setting}" if self.setting else self.library


LAST, COMPILED = {"channels_last": True}, {"compiled": True}
TENSORFLOW = ("tensorflow", "keras")
PEERS = {
    "minicnn": Peer("minicnn", "", Minicnn, {}, ("minicnn",)),
    "keras": Peer("Keras", "", Keras, {}, TENSORFLOW),
    "keras-steps": Peer("Keras", "16 steps a call", Keras, {"steps_per_execution": 16}, TENSORFLOW),
    "keras-jit": Peer("Keras", "jit_compile", Keras, {"jit_compile": True}, TENSORFLOW),
    "torch": Peer("PyTorch", "eager", Torch, {}, ("torch",)),
    "torch-last": Peer("PyTorch", "eager, channels last", Torch, LAST, ("torch",)),
    "torch-compile": Peer("PyTorch", "compile", Torch, COMPILED, ("torch",)),
    "torch-compile-last": Peer(
        "PyTorch", "compile, channels last", Torch, LAST | COMPILED, ("torch",)
    ),
    "jax": Peer("JAX", "jit", Jax, {}, ("jax",)),
    "onnxruntime": Peer("ONNX Runtime", "", OnnxRuntime, {}, ("onnxruntime", "onnx"), False),
    "openvino": Peer("OpenVINO", "float32", OpenVino, {}, ("openvino", "onnx"), False),
    "openvino-streams": Peer(
        "OpenVINO", "float32, streams", OpenVino, {"streams": True}, ("openvino", "onnx"), False
    ),
}
