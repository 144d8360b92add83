"""The engine: the same numbers as the core, fast. Everything outside imports from here alone.

plan.py          what a model runs: train, evaluate, predict, over shards of a batch
operations.py    the fast counterpart of each layer, and of fused ones
fusion.py        which layers are fused, and why
algorithms.py    the algorithms of a convolution, and which one to take
updates.py       sums of gradients and the optimizer's step, on all threads
threads.py       all multithreading: shards, helper threads
blas.py          BLAS held to one thread while other threads work
interrupts.py    Ctrl-C and other signals wait for the end of a step
prefetching.py   a background thread that reads ahead
compiling.py     Numba's options, and compiled code on disk
parallel_compilation.py  other processes that compile kernels at the same time
kernels/         the compiled loops
"""

import importlib
from typing import Any

_MODULES = {
    "ALGORITHMS": "algorithms",
    "COMPILING": "compiling",
    "Plan": "plan",
    "algorithm_name": "algorithms",
    "announce_compilation": "compiling",
    "available_cores": "threads",
    "choose_algorithm": "algorithms",
    "compile_ahead": "parallel_compilation",
    "get_num_threads": "threads",
    "kernel_imports": "compiling",
    "plan_to_predict": "plan",
    "prefetched": "prefetching",
    "set_num_threads": "threads",
    "update_weights": "updates",
    "why_not": "algorithms",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    # Imported on first use: layers ask the engine for an algorithm, and the engine knows layers.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
