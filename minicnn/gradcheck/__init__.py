"""Are gradients right? Every entry against central differences: the check for a layer of your own.

check.py          check_gradients
claims.py         the gradients that layers claim, and the outputs to measure them by
rows.py           claimed and measured, side by side
differences.py    how derivatives are measured, and how kinks are told from mistakes
promises.py       passes that change nothing
mistakes.py       what wrong numbers look like: the table of mistakes
contributions.py  the same for each output by itself
report.py         what was found
"""

from minicnn.gradcheck.check import check_gradients
from minicnn.gradcheck.report import GradientReport, GradientRow

__all__ = ["GradientReport", "GradientRow", "check_gradients"]
