"""Are gradients right? Every entry against central differences: the check for a layer of your own.

check.py     check_gradients
report.py    what it has found
"""

from minicnn.gradcheck.check import check_gradients
from minicnn.gradcheck.report import GradientReport, GradientRow

__all__ = ["GradientReport", "GradientRow", "check_gradients"]
