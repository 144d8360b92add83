"""Matrix products of parts of matrices, by BLAS, for use in compiled code.

    matmul:                    out  = x @ y
    add_matmul_of_transposed:  out += x' @ y

Memory layout: each operand has contiguous rows, and may be a block of columns of a larger matrix.
BLAS calls the distance between the beginnings of its rows the leading dimension:

    | . . . x x x . . |
    | . . . x x x . . |
            <-------------- leading dimension: 8 numbers

Numba's np.dot accepts whole, contiguous arrays only, and cannot add to its result. `numba_xxgemm`,
its thin layer over SciPy's BLAS, takes leading dimensions, and a factor beta for the previous
content of the result: 0 to overwrite it, 1 to add to it. Shapes are not checked.
"""

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

_address, _size = types.intp, types.intp
_xxgemm = types.ExternalFunction(
    "numba_xxgemm",
    types.intc(
        *(types.int8, types.int8, types.int8),  # dtype; whether a and b are to be transposed
        *(_size, _size, _size),  # m, n, k
        *(_address, _address, _size, _address, _size),  # alpha; a, leading dimension; b, likewise
        *(_address, _address, _size),  # beta; c, leading dimension
    ),
)
NOT_TRANSPOSED, TRANSPOSED = np.int8(ord("N")), np.int8(ord("T"))
SINGLE, DOUBLE = np.int8(ord("s")), np.int8(ord("d"))


def matmul(x, y, out, _zero_and_one):
    """Write x @ y into `out`.

    Parameters
    ----------
    x, y, out : ndarray (rows, k), (k, columns), (rows, columns)
        Matrices of one float dtype, with contiguous rows.
    _zero_and_one : ndarray (2,)
        The numbers 0 and 1 in the same dtype: BLAS takes its scalar factors by address.
    """
    np.matmul(x, y, out=out)


def add_matmul_of_transposed(x, y, out, _zero_and_one):
    """Add x' @ y to `out`.

    Parameters
    ----------
    x, y, out : ndarray (k, rows), (k, columns), (rows, columns)
    _zero_and_one : ndarray (2,)
        As in `matmul`.
    """
    out += x.T @ y


@register_jitable
def _gemm(transpose, x, y, out, alpha, beta):
    # BLAS stores matrices column by column. For BLAS, all of these are transposed: out' = y' x'.
    size = out.itemsize
    _xxgemm(
        SINGLE if size == 4 else DOUBLE,
        NOT_TRANSPOSED,
        transpose,
        out.shape[1],
        out.shape[0],
        y.shape[0],
        alpha.ctypes.data,
        y.ctypes.data,
        y.strides[0] // size,
        x.ctypes.data,
        x.strides[0] // size,
        beta.ctypes.data,
        out.ctypes.data,
        out.strides[0] // size,
    )


@overload(matmul)
def _compiled_matmul(x, y, out, zero_and_one):
    def product(x, y, out, zero_and_one):
        _gemm(NOT_TRANSPOSED, x, y, out, zero_and_one[1:], zero_and_one[:1])

    return product


@overload(add_matmul_of_transposed)
def _compiled_add_matmul(x, y, out, zero_and_one):
    def product(x, y, out, zero_and_one):
        _gemm(TRANSPOSED, x, y, out, zero_and_one[1:], zero_and_one[1:])

    return product
