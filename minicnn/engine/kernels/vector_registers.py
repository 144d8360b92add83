"""Two building blocks whose sums stay in vector registers until they are complete.

    add_windows:   out[row, i] += sum over k of  factors[k] * source[starts[k] + row*stride + i]
    matmul_block:  out[row, i]  = sum over k of  x[row, k] * y[k, i]

A compiler vectorises the innermost loop, and would load and store the sums again for every k. Here
they stay in registers for all k. Layout of a block of sums in vectors of 16 numbers:

                 i = 0 ... 15     i = 16 ... 31
    row 0        register 0       register 1
    row 1        register 2       register 3
    ...

All arrays are addressed as flat arrays: `start` is the index of a block's first element in the flat
array, and `stride` the distance between rows, in elements.

Numba has no vector types, but it accepts LLVM's intermediate representation, in which each call of
a method of `build` below generates one instruction. Next to each function of this kind there is a
plain one, which says what it computes, and replaces it where compilation is disabled.
"""

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.extending import intrinsic

LANES = 8  # numbers in the shortest vector used; lengths of rows must be multiples of it
CACHE_LINE = 64  # bytes, and the size of the largest vectors
# How many vectors of 64 bytes fit into the registers, beside the numbers that are added to them.
# Where registers are shorter, two or four of them hold one such vector.
ACCUMULATORS = 20 if binding.get_host_cpu_features().get("avx512f") else 5
# A block of a matrix product whose sums fit into the registers: two float32 vectors for each row.
BLOCK_ROWS, BLOCK_COLUMNS = 8 if ACCUMULATORS >= 16 else 2, 32


def _add_windows(
    rows, length, out, out_start, source, source_stride, starts, factors, index, count
):
    """Add windows of `source`, each times its factor, to a contiguous block of `out`.

    Parameters
    ----------
    rows, length : int
        Size of the windows and of the block; constants of the calling function.
    out, source : ndarray
    out_start, source_stride : int
        Where the block begins, and the distance between the rows of a window.
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
            start = starts[index, k] + row * source_stride
            out[out_start + row * length :][:length] += (
                factors[index, k] * source[start : start + length]
            )


@intrinsic(prefer_literal=True)
def _add_windows_in_registers(
    _typing, rows, length, out, out_start, source, source_stride, starts, factors, index, count
):
    args = rows, length, out, out_start, source, source_stride, starts, factors, index, count
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(length, types.IntegerLiteral):
        return None  # Numba then tries again, with the values of constants
    rows, length = rows.literal_value, length.literal_value

    def generate(context, build, signature, values):
        vectors = _Vectors(context, build, signature, values)
        lanes = vectors.lanes(2, length)
        places = [(row, lane) for row in range(rows) for lane in range(0, length, lanes)]
        capacity = context.make_array(signature.args[6])(context, build, values[6]).shape
        first = build.mul(values[8], build.extract_value(capacity, 1))
        out = vectors.pointer(2, values[3])
        starts, factors = vectors.pointer(6, first), vectors.pointer(7, first)
        windows = [vectors.pointer(4, build.mul(values[5], _int(row))) for row in range(rows)]
        size = build.load(vectors.pointer(9, values[8]))
        # One loop over the list for as many sums as there are registers, then one for the next.
        for begin in range(0, len(places), ACCUMULATORS):
            block = places[begin : begin + ACCUMULATORS]
            targets = [build.gep(out, [_int(row * length + lane)]) for row, lane in block]

            def products(k, block=block):
                start = build.load(build.gep(starts, [k]))
                factor = vectors.broadcast(build.gep(factors, [k]), lanes)
                for row, lane in block:
                    window = build.gep(build.gep(windows[row], [start]), [_int(lane)])
                    yield factor, vectors.load(window, lanes)

            sums = [vectors.load(target, lanes) for target in targets]
            vectors.store(targets, vectors.accumulate(sums, size, products))
        return context.get_dummy_value()

    return types.void(*args), generate


def _matmul_block(
    rows, columns, out, out_start, out_stride, x, x_start, x_stride, x_offsets,
    y, y_start, y_stride, count,
):  # fmt: skip
    """Write a block of a matrix product into `out`.

    out[out_start + row*out_stride + column] = sum over k < count of
        x[x_start + row*x_stride + x_offsets[k]] * y[y_start + k*y_stride + column]

    Parameters
    ----------
    rows, columns : int
        Size of the block; constants of the calling function.
    out, x, y : ndarray
    out_start, out_stride, x_start, x_stride, y_start, y_stride : int
        Where the operands begin, and the distance between their rows.
    x_offsets : integer ndarray (count,)
        Where the columns of x are, relative to the beginning of a row. It may have more elements.
    count : int
        Number of terms in each sum.
    """
    out, x, y = out.reshape(-1), x.reshape(-1), y.reshape(-1)
    for row in range(rows):
        total = np.zeros(columns, out.dtype)
        for k in range(count):
            total += (
                x[x_start + row * x_stride + x_offsets[k]] * y[y_start + k * y_stride :][:columns]
            )
        out[out_start + row * out_stride :][:columns] = total


@intrinsic(prefer_literal=True)
def _matmul_block_in_registers(
    _typing, rows, columns, out, out_start, out_stride, x, x_start, x_stride, x_offsets,
    y, y_start, y_stride, count,
):  # fmt: skip
    args = (
        rows, columns, out, out_start, out_stride, x, x_start, x_stride, x_offsets,
        y, y_start, y_stride, count,
    )  # fmt: skip
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(columns, types.IntegerLiteral):
        return None
    rows, columns = rows.literal_value, columns.literal_value

    def generate(context, build, signature, values):
        vectors = _Vectors(context, build, signature, values)
        lanes = vectors.lanes(2, columns)
        targets, factors = [], []
        for row in range(rows):
            out = vectors.pointer(2, build.add(values[3], build.mul(values[4], _int(row))))
            targets += [build.gep(out, [_int(lane)]) for lane in range(0, columns, lanes)]
            factors.append(
                vectors.pointer(5, build.add(values[6], build.mul(values[7], _int(row))))
            )
        y_begin = vectors.pointer(9, values[10])

        def products(k):
            y_row, x_offset = build.mul(k, values[11]), build.load(vectors.pointer(8, k))
            terms = [
                vectors.load(build.gep(build.gep(y_begin, [y_row]), [_int(lane)]), lanes)
                for lane in range(0, columns, lanes)
            ]
            for x_row in factors:
                factor = vectors.broadcast(build.gep(x_row, [x_offset]), lanes)
                for term in terms:
                    yield factor, term

        zeros = [vectors.zeros(2, lanes)] * len(targets)
        vectors.store(targets, vectors.accumulate(zeros, values[12], products))
        return context.get_dummy_value()

    return types.void(*args), generate


def _int(value):
    return ir.IntType(64)(value)


class _Vectors:
    """Generates instructions on vectors of numbers, for one call of an intrinsic.

    Arguments of the call are referred to by their index. A pointer is that of a single number; a
    vector consists of `lanes` numbers from there on.
    """

    def __init__(self, context, build, signature, values):
        self.context, self.build, self.signature, self.values = context, build, signature, values

    def lanes(self, index, length):
        """Numbers in a vector, for rows of that length in the array that is argument `index`."""
        most = CACHE_LINE * 8 // self.signature.args[index].dtype.bitwidth
        return most if length % most == 0 else LANES

    def pointer(self, index, offset):
        """Pointer to element `offset` of an array."""
        array = self.context.make_array(self.signature.args[index])
        data = array(self.context, self.build, self.values[index]).data
        return self.build.gep(data, [offset])

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

    def zeros(self, index, lanes):
        """A vector of zeros of an array's dtype."""
        number = self.context.get_data_type(self.signature.args[index].dtype)
        return ir.Constant(ir.VectorType(number, lanes), [0.0] * lanes)

    def broadcast(self, place, lanes):
        """A vector that repeats the number at a pointer."""
        number = self.build.load(place)
        undefined = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
        first = self.build.insert_element(undefined, number, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        return self.build.shuffle_vector(first, undefined, zeros)

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
        k.add_incoming(_int(0), before)
        totals = [build.phi(vector.type) for vector in sums]
        for total, old in zip(totals, sums, strict=True):
            total.add_incoming(old, before)
        build.cbranch(build.icmp_signed("<", k, count), body, end)
        build.position_at_end(body)
        for total, (factor, vector) in zip(totals, products(k), strict=True):
            product = build.fmul(factor, vector, flags=["contract"])
            total.add_incoming(build.fadd(total, product, flags=["contract"]), body)
        k.add_incoming(build.add(k, _int(1)), body)
        build.branch(check)
        build.position_at_end(end)
        return totals


add_windows = _add_windows if config.DISABLE_JIT else _add_windows_in_registers
matmul_block = _matmul_block if config.DISABLE_JIT else _matmul_block_in_registers
