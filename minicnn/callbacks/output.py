"""Writing to `sys.stdout`, whatever it is: a terminal, a file, an object of the user's, or None."""

import sys
from typing import Any


def say(text: str) -> None:
    """Print a line at once. Characters that the output cannot encode become escapes like \\xf6."""
    out: Any = sys.stdout
    if out is None or getattr(out, "closed", False):  # pythonw, redirect_stdout(None)
        return
    try:
        print(text, file=out)
    except UnicodeEncodeError:
        print(text.encode("ascii", "backslashreplace").decode("ascii"), file=out)
    if hasattr(out, "flush"):
        out.flush()


def is_terminal() -> bool:
    """Whether there is a terminal to draw a progress bar on."""
    out: Any = sys.stdout
    has_answer = hasattr(out, "isatty") and not getattr(out, "closed", False)
    return has_answer and bool(out.isatty())
