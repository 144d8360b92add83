"""The algorithms that compute a convolution, and which one to take for a geometry."""

from typing import Any

from minicnn.engine.kernels import direct, few_channels, im2col, winograd
from minicnn.shapes import Geometry

ALGORITHMS = {
    "winograd": winograd,
    "few_channels": few_channels,
    "im2col": im2col,
    "direct": direct,
}
FEW = 8  # with fewer channels or filters, Winograd's transforms cost more than they save


def algorithm_name(value: Any, who: str) -> str:
    """`value` if it is "auto" or the name of an algorithm."""
    names = ("auto", *ALGORITHMS)
    if not isinstance(value, str) or value not in names:
        known = ", ".join(f'"{name}"' for name in names)
        raise ValueError(f"{who}: algorithm must be one of {known}, received {value!r}")
    return value


def choose_algorithm(request: str, geometry: Geometry, c: int, filters: int, who: str) -> str:
    """The algorithm for a request: itself, or, for "auto", the fastest one that can serve.

    Raises
    ------
    ValueError
        If the requested algorithm cannot serve the geometry: with the reason.
    """
    if request != "auto":
        reason = why_not(request, geometry)
        if reason is not None:
            raise ValueError(f'{who}: algorithm="{request}" cannot serve it: {reason}')
        return request
    if c < FEW:
        return "few_channels"
    return "im2col" if filters < FEW or why_not("winograd", geometry) else "winograd"


def why_not(name: str, geometry: Geometry) -> str | None:
    """Why an algorithm cannot serve a geometry, or None if it can; only Winograd has limits."""
    return winograd.why_not(geometry) if name == "winograd" else None


def prepare(name: str, kernel: Any) -> Any:
    """What an algorithm computes from the kernel (kh, kw, c, f) alone, once a step."""
    return winograd.prepare(kernel) if name == "winograd" else kernel


def gradients(name: str, x: Any, dy: Any, prepared: Any, geometry: Geometry) -> tuple[Any, Any]:
    """dx (n, h, w, c) and dkernel (kh, kw, c, f); Winograd shares work between the two."""
    module = ALGORITHMS[name]
    if name == "winograd":
        return winograd.gradients(x, dy, prepared, geometry)
    return module.grad_input(dy, prepared, geometry), module.grad_kernel(x, dy, geometry)
