"""Two building blocks whose sums stay in vector registers until they are complete.

    matmul_block:  out[row, i]  = sum over k of  x[row, k] * y[k, i]
    add_windows:   out[row, i] += sum over k of  factors[k] * source[starts[k] + row*stride + i]

A compiler vectorises the innermost loop, and would load and store the sums again for every k. Here
they stay in registers for all k. Layout of a block of sums in vectors of 64 bytes, which are 16
numbers in float32:

                 i = 0 ... 15     i = 16 ... 31
    row 0        register 0       register 1
    row 1        register 2       register 3
    ...

All arrays are addressed as flat arrays: `start` is the index of a block's first element in the flat
array, and `stride` the distance between rows, in elements.

Numba has no vector types, but it accepts LLVM's intermediate representation, in which each call of
a method of `build` below generates one instruction. Before each function of this kind there is a
plain one, which says what it computes, and replaces it where compilation is disabled.
"""

import functools

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from minicnn.engine.compiling import inlined

VECTOR = 64  # bytes: a cache line, and the size of the largest vector registers
# How many vectors of 64 bytes fit into the registers, beside the numbers that are added to them.
# Where registers are shorter, two or four of them hold one such vector.
ACCUMULATORS = 20 if binding.get_host_cpu_features().get("avx512f") else 6
# A block of a matrix product whose sums fit into the registers: rows, vectors in a row, and the
# float32 numbers in them.
BLOCK_ROWS, BLOCK_VECTORS = (8, 2) if ACCUMULATORS >= 16 else (4, 1)
BLOCK_COLUMNS = 16 * BLOCK_VECTORS
# Sizes of the blocks of `add_windows`: rows, and vectors in a row. Code is generated for each.
MOST_VECTORS = min(10, ACCUMULATORS)
ROWS = (5, 3, 2, 1)
# A row of at most so many numbers is half a float32 vector.
SHORT = 8


def _matmul_block(
    rows, columns, out, out_start, out_stride, x, x_start, x_stride, x_offsets,
    y, y_start, y_stride, count, terms, add,
):  # fmt: skip
    """Write a block of a matrix product into `out`, or add it to what `out` holds.

    out[out_start + row*out_stride + column] (+)= sum over k < count of
        x[x_start + row*x_stride + x_offsets[k]] * y[y_start + k*y_stride + column]

    Parameters
    ----------
    rows, columns : int
        Size of the block; `rows` is a constant of the calling function. If `columns` is not, it is
        the number of columns in BLOCK_VECTORS vectors, in one, or SHORT.
    out, x, y : ndarray
    out_start, out_stride, x_start, x_stride, y_start, y_stride : int
        Where the operands begin, and the distance between their rows.
    x_offsets : integer ndarray (count,)
        Where the columns of x are, relative to the beginning of a row. It may have more elements.
    count : int
        Number of terms in each sum, at least 1.
    terms : int
        So many terms at a time are added to each other, and then to the sum of those before:
        rounding errors of short sums are smaller.
    add : int
        1 to add the sums to `out`, 0 to overwrite it.
    """
    out, x, y = out.reshape(-1), x.reshape(-1), y.reshape(-1)
    for row in range(rows):
        line = out[out_start + row * out_stride :][:columns]
        total = add * line
        for first in range(0, count, terms):
            part = np.zeros(columns, out.dtype)
            for k in range(first, min(first + terms, count)):
                x_k = x[x_start + row * x_stride + x_offsets[k]]
                part += x_k * y[y_start + k * y_stride :][:columns]
            total += part
        line[:] = total


@intrinsic(prefer_literal=True)
def _matmul_block_in_registers(
    _typing, rows, columns, out, out_start, out_stride, x, x_start, x_stride, x_offsets,
    y, y_start, y_stride, count, terms, add,
):  # fmt: skip
    args = (
        rows, columns, out, out_start, out_stride, x, x_start, x_stride, x_offsets,
        y, y_start, y_stride, count, terms, add,
    )  # fmt: skip
    if not isinstance(rows, types.IntegerLiteral):
        return None  # Numba then tries again, with the values of constants
    height, width = rows.literal_value, getattr(columns, "literal_value", None)

    def generate(context, build, signature, values):
        _, columns, out, out_start, out_stride, x, x_start, x_stride, offsets, *others = values
        y, y_start, y_stride, count, terms, add = others
        vectors = Vectors(context, build, signature, values)
        lines, factors = [], []
        for row in range(height):
            start = build.add(out_start, build.mul(out_stride, integer(row)))
            lines.append(vectors.pointer(out, start))
            start = build.add(x_start, build.mul(x_stride, integer(row)))
            factors.append(vectors.pointer(x, start))
        y_begin = vectors.pointer(y, y_start)

        def generate_block(columns):
            lanes = min(columns, vectors.lanes(out))
            starts = range(0, columns, lanes)
            targets = [build.gep(line, [integer(lane)]) for line in lines for lane in starts]
            zeros = [vectors.zeros(out, lanes)] * len(targets)
            with cgutils.for_range_slice(build, integer(0), count, terms) as (first, _):

                def products(k):
                    k = build.add(first, k)
                    y_row = build.gep(y_begin, [build.mul(k, y_stride)])
                    x_offset = build.load(vectors.pointer(offsets, k))
                    numbers = [vectors.load(build.gep(y_row, [integer(i)]), lanes) for i in starts]
                    for x_row in factors:
                        factor = vectors.broadcast(build.gep(x_row, [x_offset]), lanes)
                        for number in numbers:
                            yield factor, number

                left = build.sub(count, first)
                size = build.select(build.icmp_signed("<", left, terms), left, terms)
                parts = vectors.accumulate(zeros, size, products)
                no_sums_yet = build.icmp_signed("==", build.or_(first, add), integer(0))
                olds = [
                    build.select(no_sums_yet, zero, vectors.load(target, lanes))
                    for zero, target in zip(zeros, targets, strict=True)
                ]
                sums = [build.fadd(old, part) for old, part in zip(olds, parts, strict=True)]
                vectors.store(targets, sums)

        if width is not None:
            generate_block(width)
        else:
            lanes = vectors.lanes(out)
            widths = sorted({SHORT, lanes, BLOCK_VECTORS * lanes})
            cases = [([(wide,)], functools.partial(generate_block, wide)) for wide in widths]
            vectors.choose((columns,), cases)
        return context.get_dummy_value()

    return types.void(*args), generate


@inlined
def multiples(count, step):
    """0, step, 2*step, ..., as `x_offsets` of `matmul_block` where columns are equally far apart.

    (NumPy's `arange` takes half a second to compile.)
    """
    offsets = np.empty(count, np.intp)
    for i in range(count):
        offsets[i] = i * step
    return offsets


def _add_windows(
    rows, length, out, out_start, out_stride, source, source_start, source_stride,
    starts, factors, index, count,
):  # fmt: skip
    """Add windows of `source`, each times its factor, to a block of `out`.

    Parameters
    ----------
    rows, length : int
        Size of the windows and of the block: a row count of ROWS, and the numbers in a row: SHORT,
        or a multiple of those in a vector, at most MOST_VECTORS of them, rows * vectors at most
        ACCUMULATORS.
    out, source : ndarray
    out_start, out_stride, source_start, source_stride : int
        Where the block begins, what is added to all of `starts`, and the distances between rows.
    starts, factors : ndarray (lists, capacity)
        Lists of windows: where each begins in `source`, and its factor.
    index : int
        Which of the lists is used.
    count : integer ndarray (lists,)
        Lengths of the lists.
    """
    out, source = out.reshape(-1), source.reshape(-1)
    for k in range(count[index]):
        for row in range(rows):
            start = source_start + starts[index, k] + row * source_stride
            out[out_start + row * out_stride :][:length] += (
                factors[index, k] * source[start : start + length]
            )


@intrinsic(prefer_literal=True)
def _add_windows_in_registers(
    _typing, rows, length, out, out_start, out_stride, source, source_start, source_stride,
    starts, factors, index, count,
):  # fmt: skip
    args = (
        rows, length, out, out_start, out_stride, source, source_start, source_stride,
        starts, factors, index, count,
    )  # fmt: skip

    # If the caller's number of rows is a constant, code is generated for this number alone.
    heights = (rows.literal_value,) if isinstance(rows, types.IntegerLiteral) else ROWS

    def generate(context, build, signature, values):
        rows, length, out, out_start, out_stride, source, source_start, source_stride = values[:8]
        starts, factors, index, count = values[8:]
        vectors = Vectors(context, build, signature, values)
        capacity = build.extract_value(vectors.array(starts).shape, 1)
        first = build.mul(index, capacity)
        list_starts, list_factors = vectors.pointer(starts, first), vectors.pointer(factors, first)
        size = build.load(vectors.pointer(count, index))
        out_begin = vectors.pointer(out, out_start)
        source_begin = vectors.pointer(source, source_start)

        def generate_block(rows, length, lanes):
            places = [(row, lane) for row in range(rows) for lane in range(0, length, lanes)]
            lines = [build.gep(out_begin, [build.mul(out_stride, integer(r))]) for r in range(rows)]
            windows = [
                build.gep(source_begin, [build.mul(source_stride, integer(r))]) for r in range(rows)
            ]
            targets = [build.gep(lines[row], [integer(lane)]) for row, lane in places]

            def products(k):
                start = build.load(build.gep(list_starts, [k]))
                factor = vectors.broadcast(build.gep(list_factors, [k]), lanes)
                for row, lane in places:
                    window = build.gep(build.gep(windows[row], [start]), [integer(lane)])
                    yield factor, vectors.load(window, lanes)

            sums = [vectors.load(target, lanes) for target in targets]
            vectors.store(targets, vectors.accumulate(sums, size, products))

        lanes = vectors.lanes(out)
        blocks = [
            (r, v * lanes, lanes)
            for r in heights
            for v in range(1, MOST_VECTORS + 1)
            if r * v <= ACCUMULATORS
        ]
        if lanes > SHORT:
            blocks += [(r, SHORT, SHORT) for r in heights if r <= ACCUMULATORS]
        cases = [([block[:2]], functools.partial(generate_block, *block)) for block in blocks]
        vectors.choose((rows, length), cases)
        return context.get_dummy_value()

    return types.void(*args), generate


def integer(value):
    """A constant of the generated code."""
    return ir.IntType(64)(int(value))


class Vectors:
    """Generates instructions on vectors of numbers, for one call of an intrinsic.

    A pointer is that of a single number; a vector consists of `lanes` numbers from there on.
    """

    def __init__(self, context, build, signature, values):
        self.context, self.build = context, build
        self.types = dict(zip(values, signature.args, strict=True))

    def array(self, value):
        """Data and shape of an array that is an argument of the call."""
        return self.context.make_array(self.types[value])(self.context, self.build, value)

    def number(self, value):
        """The type of the numbers in an array."""
        return self.context.get_data_type(self.types[value].dtype)

    def lanes(self, value):
        """How many numbers of an array are in a vector."""
        return VECTOR * 8 // self.types[value].dtype.bitwidth

    def pointer(self, value, offset):
        """Pointer to element `offset` of an array."""
        return self.build.gep(self.array(value).data, [offset])

    def load(self, place, lanes):
        """The vector that begins at a pointer."""
        number = place.type.pointee
        vector = self.build.bitcast(place, ir.VectorType(number, lanes).as_pointer())
        return self.build.load(vector, align=8 if number == ir.DoubleType() else 4)

    def store(self, places, vectors):
        """Write each of the vectors to its pointer."""
        for place, vector in zip(places, vectors, strict=True):
            target = self.build.bitcast(place, vector.type.as_pointer())
            self.build.store(
                vector, target, align=8 if vector.type.element == ir.DoubleType() else 4
            )

    def zeros(self, value, lanes):
        """A vector of zeros of an array's dtype."""
        return ir.Constant(ir.VectorType(self.number(value), lanes), [0.0] * lanes)

    def broadcast(self, place, lanes):
        """A vector that repeats the number at a pointer."""
        number = self.build.load(place)
        undefined = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
        first = self.build.insert_element(undefined, number, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        return self.build.shuffle_vector(first, undefined, zeros)

    def choose(self, values, cases):
        """Run the code of the case that the integers `values` stand for.

        `cases` are pairs: a list of tuples of such integers, below 1024, and a function that
        generates the code.
        """
        build = self.build

        def number(values):
            return functools.reduce(lambda total, value: total * 1024 + int(value), values)

        found = values[0]
        for value in values[1:]:
            found = build.add(build.mul(found, integer(1024)), value)
        end = build.append_basic_block("end")
        choice = build.switch(found, end)
        for keys, generate in cases:
            case = build.append_basic_block("case")
            for key in keys:
                choice.add_case(integer(number(key)), case)
            build.position_at_end(case)
            generate()
            build.branch(end)
        build.position_at_end(end)

    def accumulate(self, sums, count, products):
        """A loop over k < count that adds to each of `sums` one pair of `products(k)`, multiplied.

        `products(k)` yields pairs of vectors (factor, vector), one for each sum.
        """
        build = self.build
        before = build.block
        check, body, end = (build.append_basic_block(name) for name in ("check", "body", "end"))
        build.branch(check)
        build.position_at_end(check)
        k = build.phi(ir.IntType(64))
        k.add_incoming(integer(0), before)
        totals = [build.phi(vector.type) for vector in sums]
        for total, old in zip(totals, sums, strict=True):
            total.add_incoming(old, before)
        build.cbranch(build.icmp_signed("<", k, count), body, end)
        build.position_at_end(body)
        for total, (factor, vector) in zip(totals, products(k), strict=True):
            product = build.fmul(factor, vector, flags=["contract"])
            total.add_incoming(build.fadd(total, product, flags=["contract"]), body)
        k.add_incoming(build.add(k, integer(1)), body)
        build.branch(check)
        build.position_at_end(end)
        return totals


add_windows = _add_windows if config.DISABLE_JIT else _add_windows_in_registers
matmul_block = _matmul_block if config.DISABLE_JIT else _matmul_block_in_registers
