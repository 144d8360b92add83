"""Promises 1 and 2: outputs and gradients of layers in random geometries equal those of Keras."""

import warnings
from typing import Any

from minicnn.checking import ledger
from tests.promises import Outcome


def import_keras() -> Any:
    """Keras, imported without the warnings of its own imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
    return keras


def forward(share: float = 1) -> Outcome:
    """1: outputs, and their errors against double precision."""
    return _compared(share, ("output",))


def backward(share: float = 1) -> Outcome:
    """2: dx, dkernel and dbias in the same geometries."""
    return _compared(share, ("dx", "dkernel", "dbias"))


def _compared(share: float, columns: tuple[str, ...]) -> Outcome:
    import_keras()
    counts = {kind: max(5, round(share * count)) for kind, count in ledger.FULL.items()}
    rows = list(ledger.full(counts=counts))
    wrong = 0
    worst = {"exact": 0.0, "float64": 0.0, "float32": 0.0, "float32 winograd": 0.0}
    for row in rows:
        limit = ledger.TOLERANCES[row.tolerance][columns[0] != "output"]
        largest = max((row.differences.get(name, 0.0) for name in columns), default=0.0)
        worst[row.tolerance] = max(worst[row.tolerance], largest)
        wrong += 0 if largest <= limit else max(1, row.mismatches)
    ratios: dict[str, float] = {}
    for row in rows:
        if row.error_ratio:
            ratios[row.tolerance] = max(ratios.get(row.tolerance, 0.0), row.error_ratio)
    asked = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    figure = (
        f"{asked}, in two precisions and every algorithm: {sum(row.cases for row in rows):,} "
        f"compared, {wrong} mismatches; worst "
        + ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    )
    if "output" in columns:
        said = " and ".join(f"{ratio:.2f} ({kind})" for kind, ratio in ratios.items())
        figure += f"; errors up to {said} times TensorFlow's"
    close = all(ratio <= ledger.MOST_ERROR[kind] for kind, ratio in ratios.items())
    return Outcome(wrong == 0 and close, figure)
