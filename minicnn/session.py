"""The core's global state: the names given so far, and the random stream used without a seed."""

import collections
import os
import re

import numpy as np

from minicnn.validation import Check

_times_taken: collections.Counter = collections.Counter()
_random_stream = np.random.default_rng()
_forks = 0


def clear_session() -> None:
    """Let automatic names start over with `conv2d`; models and layers that exist do not change."""
    _times_taken.clear()


def set_random_seed(seed: int) -> None:
    """Make what follows repeatable: first weights, orders of `fit`, dropout masks, shuffles.

    Raises a TypeError or ValueError if `seed` is not an integer of at least 0.
    """
    seed = Check("set_random_seed").integer(seed, "seed", minimum=0, maximum=None)
    go_on_with(np.random.default_rng(seed))


def go_on_with(stream: np.random.Generator) -> None:
    """Let this generator draw from now on, as a fresh one does after `set_random_seed`."""
    global _random_stream
    _random_stream = stream


def random_stream() -> np.random.Generator:
    """The generator that draws for everything that was not given a seed or generator."""
    return _random_stream


def _count_fork() -> None:
    global _forks
    _forks += 1


def _draw_otherwise() -> None:
    """In a forked process: a stream of its own, which the parent's and the number of forks fix.

    It is a new generator, because another thread may have locked the old one just then.
    """
    numbers = random_stream().bit_generator.state["state"]
    go_on_with(np.random.default_rng([*numbers.values(), _forks]))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork, after_in_child=_draw_otherwise)


def automatic_name(of: type) -> str:
    """The next free name for an instance: `conv2d`, then `conv2d_1`, ..."""
    prefix = snake_case(of.__name__)
    count = _times_taken[prefix]
    _times_taken[prefix] += 1
    return f"{prefix}_{count}" if count else prefix


def snake_case(name: str) -> str:
    """`MaxPooling2D` -> `max_pooling2d`, by Keras' rule."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
