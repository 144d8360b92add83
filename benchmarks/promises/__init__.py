"""How the promises of minicnn are counted: one function each, named after what it checks.

Each takes `share`: 1 is the full count, and the tests run the same functions at a small share.
"""

from typing import NamedTuple


class Outcome(NamedTuple):
    """What a check found."""

    kept: bool
    figure: str  # counts with a denominator: "1,000 convolutions, 0 mismatches, worst 3e-6"
