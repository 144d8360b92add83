"""What minicnn promises, counted: one function for each promise, named after what it checks.

    python -m tests.promises --only 5,9 --share 0.1

Each function takes a share: 1 for the full count. The tests call the same functions with a small
share. The promises themselves are in ../PROMISED_BEHAVIOUR.md, the last full count in results.md.
"""

from typing import NamedTuple


class Outcome(NamedTuple):
    """Result of one check."""

    kept: bool
    figure: str  # counts with a denominator: "1,000 convolutions, 0 mismatches, worst 3e-6"


def outcome(counted: str, wrong: list[str], name: str = "wrong") -> Outcome:
    """Kept if nothing is wrong; the figure has what was counted, and the first that is wrong."""
    first = f", the first: {wrong[0]}" if wrong else ""
    return Outcome(not wrong, f"{counted}, {len(wrong)} {name}{first}")
