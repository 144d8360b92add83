"""Kernels compiled by other processes, while this one compiles those that it needs first.

Numba compiles one function at a time, and the kernels of a first training step take 15 seconds. So
a process that finds the first of them missing starts helpers. Each compiles a share of the others
and writes it to the cache on disk, from where this process loads it:

    this process    few_channels ......  winograd_tiles .............  | training
    a helper        (starts)  pooled_gradients .....  dense, the rest  | what comes later

If this process needs a kernel that no helper has begun, it compiles the kernel itself. When its
share is done, the first helper goes on at the lowest priority with the kernels of other
architectures, until this process ends.
"""

import atexit
import importlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from numba import float32, float64, intp, typeof, types, uint8

from minicnn import engine
from minicnn.shapes import Geometry

# Types of the arguments of each kernel: a digit for an array of floats with so many dimensions,
# w for winners and l for labels, s for a float, n for an integer, g for a Geometry.
FORWARD = {
    "few_channels._forward": "441ggws4",
    "winograd_tiles.put_outputs": "4431ggws4",
    "dense.forward": "221s",
    "softmax.cross_entropy": "l2",
    "softmax.softmax": "2",
}
BACKWARD = {
    "finite.all_finite": "1",
    "dense.gradients": "2222s",
    "pooled_gradients.prepare": "4",
    "pooled_gradients.gradients": "444ws3gg",
    "dense.grad_kernel": "22nn",
    "adam.adam": "1111sssss",
}
LATER = {
    "winograd_tiles.add_gradients": "443g43",
    "relu.relu_backward": "44s",
    "few_channels.grad_kernel": "44g",
    "pooling.grad_input": "4wg",
    "pooling.forward": "4gws",
    "im2col.forward": "441g",
    "im2col.grad_input": "44g",
    "im2col.grad_kernel": "44g",
    "few_channels.grad_input": "44g",
    "direct.forward": "441g",
    "direct.grad_input": "44g",
    "direct.grad_kernel": "44g",
}
ARGUMENTS = FORWARD | BACKWARD | LATER

_POOLED = ("pooled_gradients.prepare", "pooled_gradients.gradients")
_DENSE = (
    "dense.forward",
    "softmax.softmax",
    "softmax.cross_entropy",
    "finite.all_finite",
    "dense.gradients",
    "dense.grad_kernel",
    "adam.adam",
)
_WINOGRAD = ("winograd_tiles.put_outputs",)
# What helpers compile, by their number, so that all processes need about the same time. Within a
# share, the kernels are in the order in which a step needs them.
SHARES: dict[int, list[tuple[str, ...]]] = {
    0: [],
    1: [_POOLED + _DENSE],
    2: [_POOLED, _WINOGRAD + _DENSE],
    3: [_POOLED, _WINOGRAD, _DENSE],
}

_root = str(Path(__file__).resolve().parents[2])
_RUN = f"import sys; sys.path.insert(0, {_root!r}); from {__name__} import main; main(sys.argv[1:])"
enabled = bool(sys.executable)  # Python embedded in another program may have none


def compiled_by_helper(kernel: str, signature: Any) -> bool:
    """Whether a helper has compiled this kernel; if it is at work on it, wait for it.

    Starts the helpers if this is the first of its dtype that is missing.

    Parameters
    ----------
    kernel : str
        Names of the module and of the function: "dense.forward".
    signature : tuple of Numba types
        Of the arguments.
    """
    if not enabled or kernel not in ARGUMENTS:
        return False
    arrays = (each.dtype for each in signature if isinstance(each, types.Array))
    dtype = str(next(each for each in arrays if isinstance(each, types.Float)))
    if dtype not in _helpers and kernel not in LATER:
        _helpers[dtype] = _started(dtype)
    return any(helper.has_compiled(kernel) for helper in _helpers.get(dtype, ()))


def compile_ahead(dtype: str) -> None:
    """Let a helper compile all kernels of this dtype, because they will be needed."""
    if enabled and engine.get_num_threads() > 1 and dtype not in _helpers:
        _helpers[dtype] = [Helper(tuple(ARGUMENTS), dtype)]


def signature_of(kernel: str, dtype: str) -> tuple[Any, ...]:
    """The Numba types of a kernel's arguments for a model of this dtype."""
    number = {"float32": float32, "float64": float64}[dtype]
    known = {
        "w": types.Array(uint8, 4, "C"),
        "l": types.Array(intp, 1, "C"),
        "s": number,
        "n": intp,
        "g": typeof(Geometry(*[1] * len(Geometry._fields))),
    }
    return tuple(
        known.get(letter) or types.Array(number, int(letter), "C") for letter in ARGUMENTS[kernel]
    )


class Helper:
    """Another process that compiles some kernels, in this order.

    Parameters
    ----------
    kernels, later : tuple of str
        The latter are compiled at the lowest priority.
    dtype : str
    """

    def __init__(self, kernels: tuple[str, ...], dtype: str, later: tuple[str, ...] = ()):
        self.owner = os.getpid()
        self.begun: list[str] = []
        self.progress = threading.Condition()
        optimize = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
        # -P: nothing is imported from the folder in which the user happens to work.
        command = [sys.executable, "-P", *optimize, "-c", _RUN, dtype, str(len(kernels))]
        self.process = subprocess.Popen(
            [*command, *kernels, *later],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        atexit.register(self.stop)

    def has_compiled(self, kernel: str) -> bool:
        """Whether the helper has compiled it; waits only if it is at work on this kernel."""
        if os.getpid() != self.owner:  # a copy of this process, made by os.fork
            return False
        with self.progress:
            self.progress.wait_for(lambda: kernel not in self.begun[-1:])
            return kernel in self.begun

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        if os.getpid() == self.owner:
            self.process.terminate()
            self.process.wait()
            self.reader.join()

    def _read(self) -> None:
        """Take note of each kernel that the helper begins; the one before is then on disk."""
        with self.process.stdout as lines:
            for line in lines:
                with self.progress:
                    self.begun.append(line.strip())
                    self.progress.notify_all()
        with self.progress:  # it has ended: nobody should wait any more
            self.begun.append("")
            self.progress.notify_all()


_helpers: dict[str, list[Helper]] = {}  # by dtype


def _started(dtype: str) -> list[Helper]:
    shares = SHARES[min(engine.get_num_threads() - 1, max(SHARES))]
    return [Helper(share, dtype, tuple(LATER) if share is shares[0] else ()) for share in shares]


def main(arguments: list[str]) -> None:
    """Compile kernels, in a helper: the arguments are dtype, length of the share, kernels."""
    global enabled
    enabled = False
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the process that asked
    parent = os.getppid()
    dtype, share, *kernels = arguments
    for number, name in enumerate(kernels):
        if number == int(share) and hasattr(os, "nice"):
            os.nice(19)
        if os.getppid() != parent:  # it has been killed
            break
        module, function = name.split(".")
        kernel = getattr(importlib.import_module(f"minicnn.engine.kernels.{module}"), function)
        print(name, flush=True)
        kernel.compile(signature_of(name, dtype))
