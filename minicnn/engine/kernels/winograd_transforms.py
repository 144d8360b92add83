"""Winograd's transforms of a tile, in vector registers.

    target  =  matrix @ source @ matrix'        in two dimensions, for each channel

The matrices are constants of the generated code, so that products with 0, 1 and -1 cost nothing.
Memory layout of an image or of a transformed tile; all numbers of one cell are contiguous:

    cell (0, 0): c values | cell (0, 1) | cell (0, 2) | ...
    cell (1, 0): c values | cell (1, 1) | ...

    row:   the distance between the beginnings of cell (0, 0) and cell (1, 0), in numbers
    cell:  the distance between the beginnings of cell (0, 0) and cell (0, 1)
"""

from functools import partial

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from minicnn.engine.kernels.vector_registers import SHORT, Vectors, integer
from minicnn.engine.kernels.winograd_matrices import matrices, tile_size

# What is transformed. These are NumPy's integers, because Numba would compile a function anew for
# each value of a Python constant.
INPUT, DY, OUTPUT, DX, ADD_DX = np.arange(5)
SIZES = (3, 5)


def _matrix(transform, r):
    """The matrix of a transform, of fractions, for a kernel of r x r."""
    a, b, _ = matrices(r)
    return {INPUT: b.T, DY: a, OUTPUT: a.T, DX: b, ADD_DX: b}[transform]


def _transform_tile(
    transform, r, lanes, source, source_start, source_row, source_cell,
    target, target_start, target_row, target_cell, bias, bias_start,
):  # fmt: skip
    """Transform one tile, for some consecutive channels.

    Parameters
    ----------
    transform : int
        INPUT, DY, OUTPUT, DX, or ADD_DX, whose results are added to what the target holds.
    r : int
        Height and width of the kernel, one of SIZES.
    lanes : int
        How many channels: as many as a vector of 64 bytes holds, or SHORT.
    source, target : ndarray
    source_start, source_row, source_cell, target_start, target_row, target_cell : int
        Where the tiles begin, and the distances between their rows and cells.
    bias : ndarray (c,)
        Added to the results of OUTPUT, from `bias_start` on.
    """
    matrix = _matrix(transform, r).astype(source.dtype)
    source, target = source.reshape(-1), target.reshape(-1)
    p, q = matrix.shape
    channels = np.arange(lanes)
    rows, columns = np.arange(q)[:, None, None], np.arange(q)[:, None]
    tile = source[source_start + rows * source_row + columns * source_cell + channels]
    half = np.einsum("ij,jkc->ikc", matrix, tile)
    result = np.einsum("kl,ilc->ikc", matrix, half)
    rows, columns = np.arange(p)[:, None, None], np.arange(p)[:, None]
    at = target_start + rows * target_row + columns * target_cell + channels
    if transform == OUTPUT:
        result = bias[bias_start + channels] + result
    target[at] = target[at] + result if transform == ADD_DX else result


@intrinsic
def _transform_tile_in_registers(
    _typing, transform, r, lanes, source, source_start, source_row, source_cell,
    target, target_start, target_row, target_cell, bias, bias_start,
):  # fmt: skip
    args = (
        transform, r, lanes, source, source_start, source_row, source_cell,
        target, target_start, target_row, target_cell, bias, bias_start,
    )  # fmt: skip

    def generate(context, build, signature, values):
        transform, r, lanes, source, source_start, source_row, source_cell = values[:7]
        target, target_start, target_row, target_cell, bias, bias_start = values[7:]
        vectors = Vectors(context, build, signature, values)
        begin, end = vectors.pointer(source, source_start), vectors.pointer(target, target_start)
        size = max(map(tile_size, SIZES))
        room = ir.ArrayType(vectors.number(source), size * size * vectors.lanes(source))
        half = build.gep(cgutils.alloca_once(build, room), [integer(0), integer(0)])

        def generate_transform(kind, size, lanes):
            matrix = _matrix(kind, size)
            p, q = matrix.shape
            row, cell = integer(q * lanes), integer(lanes)  # of half, which is (p, q, lanes)
            # Down the q columns of the tile, then across the p rows of the result.
            _transform_lines(
                vectors, matrix, lanes, q, begin, source_cell, source_row, half, cell, row
            )
            added = None
            if kind == OUTPUT:
                added = vectors.load(vectors.pointer(bias, bias_start), lanes)
            _transform_lines(
                vectors, matrix, lanes, p, half, row, cell, end, target_row, target_cell,
                added, kind == ADD_DX,
            )  # fmt: skip

        cases = [
            ([(width, size, kind)], partial(generate_transform, kind, size, width))
            for width in sorted({SHORT, vectors.lanes(source)})
            for size in SIZES
            for kind in (INPUT, DY, OUTPUT, DX, ADD_DX)
        ]
        vectors.choose((lanes, r, transform), cases)
        return context.get_dummy_value()

    return types.void(*args), generate


def _transform_lines(
    vectors, matrix, lanes, lines, source, source_line, source_step,
    target, target_line, target_step, added=None, add_to_target=False,
):  # fmt: skip
    """Instructions for target[line, i] = sum over j of matrix[i, j] * source[line, j].

    A vector can be added to each of these sums, and what the target holds.
    """
    build = vectors.build
    with cgutils.for_range(build, integer(lines)) as loop:
        source = build.gep(source, [build.mul(loop.index, source_line)])
        target = build.gep(target, [build.mul(loop.index, target_line)])
        x = [
            vectors.load(build.gep(source, [build.mul(source_step, integer(j))]), lanes)
            for j in range(matrix.shape[1])
        ]
        places = [
            build.gep(target, [build.mul(target_step, integer(i))]) for i in range(len(matrix))
        ]
        results = _product(build, matrix, x)
        if added is not None:
            results = [build.fadd(added, new) for new in results]
        if add_to_target:
            olds = [vectors.load(place, lanes) for place in places]
            results = [build.fadd(old, new) for old, new in zip(olds, results, strict=True)]
        vectors.store(places, results)


def _product(build, matrix, x):
    """Instructions for the product of a matrix and a list of vectors.

    Points come in pairs p and -p: rows 0 and 1, 2 and 3, ... of the matrix, or columns of its
    transpose. Their even powers are equal and their odd powers opposite, so half of the
    multiplications serve both. The last points, 0 and infinity, have no partner.
    """
    n = max(matrix.shape)
    pairs, single = range(0, n - 2, 2), range((n - 1) // 2 * 2, n)
    if len(matrix) == n and all((abs(matrix[i]) == abs(matrix[i + 1])).all() for i in pairs):
        results = []
        for i in pairs:
            equal = matrix[i] == matrix[i + 1]
            even = _sum(build, np.where(equal, matrix[i], 0), x)
            odd = _sum(build, np.where(equal, 0, matrix[i]), x)
            results += [build.fadd(even, odd), build.fsub(even, odd)]
        return results + [_sum(build, matrix[i], x) for i in single]
    paired = [x[j] for j in single]
    for j in pairs:
        paired += [build.fadd(x[j], x[j + 1]), build.fsub(x[j], x[j + 1])]
    results = []
    for row in matrix:
        factors = [row[j] for j in single]
        for j in pairs:
            equal = row[j] == row[j + 1]
            factors += [row[j] * equal, row[j] * (not equal)]
        results.append(_sum(build, factors, paired))
    return results


def _sum(build, factors, vectors):
    """Instructions for the sum of vectors times constant factors."""
    total = None
    for factor, vector in zip(factors, vectors, strict=True):
        if factor == 0:
            continue
        term = vector
        if abs(factor) != 1:
            constant = ir.Constant(vector.type, [float(abs(factor))] * vector.type.count)
            term = build.fmul(constant, vector, flags=["contract"])
        if total is None:
            total = term if factor > 0 else build.fneg(term)
        else:
            add = build.fadd if factor > 0 else build.fsub
            total = add(total, term, flags=["contract"])
    return total


transform_tile = _transform_tile if config.DISABLE_JIT else _transform_tile_in_registers
