"""Sums that stay in vector registers until they are complete.

A compiler makes vector instructions of an innermost loop, and would load and store the sums anew
for every term; here they stay in registers for all terms. Numba has no types for vectors, but it
lets in LLVM's language, in which a call of `build` is an instruction. For each function there is a
plain one, which says what it does and takes its place where nothing is compiled.
"""

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.extending import intrinsic

LANES = 8  # numbers: a run is filled up to a multiple of them
CACHE_LINE = 64  # bytes
# Vectors of 64 bytes that fit into the registers, with room for what is added to them. Where
# vectors are shorter, two or four registers stand for one.
SUMS = 20 if binding.get_host_cpu_features().get("avx512f") else 5
# Of a matrix product, a block whose sums fit: for float32, two vectors for each row.
ROWS, BLOCK = 8 if SUMS >= 16 else 2, 32


def _add_windows(rows, run, out, at, source, width, starts, numbers, which, count):
    """Add to `rows` runs of `out`, one behind the other from number `at` on, runs of `source`.

    `width` numbers apart, beginning with each start of list `which` and multiplied with its number.
    """
    out, source = out.reshape(-1), source.reshape(-1)
    for k in range(count[which]):
        for row in range(rows):
            start = starts[which, k] + row * width
            out[at + row * run :][:run] += numbers[which, k] * source[start : start + run]


@intrinsic(prefer_literal=True)
def _add_windows_in_registers(
    _typing, rows, run, out, at, source, width, starts, numbers, which, count
):
    args = rows, run, out, at, source, width, starts, numbers, which, count
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(run, types.IntegerLiteral):
        return None  # Numba then comes with the constants themselves
    rows, run = rows.literal_value, run.literal_value

    def generate(context, build, signature, values):
        at_hand = _Numbers(context, build, signature, values)
        lanes = at_hand.lanes(2, run)
        places = [(row, lane) for row in range(rows) for lane in range(0, run, lanes)]
        most = context.make_array(signature.args[6])(context, build, values[6]).shape
        first = build.mul(values[8], build.extract_value(most, 1))
        out = at_hand.pointer(2, values[3])
        starts, numbers = at_hand.pointer(6, first), at_hand.pointer(7, first)
        windows = [at_hand.pointer(4, build.mul(values[5], _int(row))) for row in range(rows)]
        length = build.load(at_hand.pointer(9, values[8]))
        # One loop over the list for as many sums as there are registers, then one for the next.
        for begin in range(0, len(places), SUMS):
            block = places[begin : begin + SUMS]
            targets = [build.gep(out, [_int(row * run + lane)]) for row, lane in block]

            def products(k, block=block):
                start = build.load(build.gep(starts, [k]))
                factor = at_hand.spread(build.gep(numbers, [k]), lanes)
                for row, lane in block:
                    window = build.gep(build.gep(windows[row], [start]), [_int(lane)])
                    yield factor, at_hand.load(window, lanes)

            sums = [at_hand.load(target, lanes) for target in targets]
            at_hand.store(targets, at_hand.add_up(sums, length, products))
        return context.get_dummy_value()

    return types.void(*args), generate


def _put_products(rows, length, out, at, width, x, x_at, x_row, x_steps, y, y_at, y_step, count):
    """A block of a matrix product: `rows` rows of `out`, `width` apart, `length` numbers of each.

    out[at + row*width + i] = sum over k < count of x[x_at + row*x_row + x_steps[k]] times
    y[y_at + k*y_step + i]; all arrays are taken as flat.
    """
    out, x, y = out.reshape(-1), x.reshape(-1), y.reshape(-1)
    for row in range(rows):
        total = np.zeros(length, out.dtype)
        for k in range(count):
            total += x[x_at + row * x_row + x_steps[k]] * y[y_at + k * y_step :][:length]
        out[at + row * width :][:length] = total


@intrinsic(prefer_literal=True)
def _put_products_in_registers(
    _typing, rows, length, out, at, width, x, x_at, x_row, x_steps, y, y_at, y_step, count
):
    args = rows, length, out, at, width, x, x_at, x_row, x_steps, y, y_at, y_step, count
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(length, types.IntegerLiteral):
        return None
    rows, length = rows.literal_value, length.literal_value

    def generate(context, build, signature, values):
        at_hand = _Numbers(context, build, signature, values)
        lanes = at_hand.lanes(2, length)
        targets, factors = [], []
        for row in range(rows):
            out = at_hand.pointer(2, build.add(values[3], build.mul(values[4], _int(row))))
            targets += [build.gep(out, [_int(lane)]) for lane in range(0, length, lanes)]
            factors.append(
                at_hand.pointer(5, build.add(values[6], build.mul(values[7], _int(row))))
            )
        line = at_hand.pointer(9, values[10])

        def products(k):
            here, there = build.mul(k, values[11]), build.load(at_hand.pointer(8, k))
            terms = [
                at_hand.load(build.gep(build.gep(line, [here]), [_int(lane)]), lanes)
                for lane in range(0, length, lanes)
            ]
            for row in factors:
                factor = at_hand.spread(build.gep(row, [there]), lanes)
                for term in terms:
                    yield factor, term

        zeros = [at_hand.zeros(2, lanes)] * len(targets)
        at_hand.store(targets, at_hand.add_up(zeros, values[12], products))
        return context.get_dummy_value()

    return types.void(*args), generate


def _int(value):
    return ir.IntType(64)(value)


class _Numbers:
    """The arguments of a function in LLVM's language, and instructions over vectors of numbers."""

    def __init__(self, context, build, signature, values):
        self.context, self.build, self.signature, self.values = context, build, signature, values

    def lanes(self, index, length):
        """Numbers in a vector, for runs of that length of the array which is argument `index`."""
        most = CACHE_LINE * 8 // self.signature.args[index].dtype.bitwidth
        return most if length % most == 0 else LANES

    def pointer(self, index, offset):
        """Where number `offset` of an array is."""
        array = self.context.make_array(self.signature.args[index])
        data = array(self.context, self.build, self.values[index]).data
        return self.build.gep(data, [offset])

    def load(self, place, lanes):
        """The vector that begins there."""
        number = place.type.pointee
        vector = self.build.bitcast(place, ir.VectorType(number, lanes).as_pointer())
        return self.build.load(vector, align=8 if number == ir.DoubleType() else 4)

    def store(self, places, vectors):
        """The other way round, one for one."""
        for place, vector in zip(places, vectors, strict=True):
            target = self.build.bitcast(place, vector.type.as_pointer())
            self.build.store(
                vector, target, align=8 if vector.type.element == ir.DoubleType() else 4
            )

    def zeros(self, index, lanes):
        """A vector of zeros of an array's kind."""
        number = self.context.get_data_type(self.signature.args[index].dtype)
        return ir.Constant(ir.VectorType(number, lanes), [0.0] * lanes)

    def spread(self, place, lanes):
        """A vector of one number many times."""
        number = self.build.load(place)
        undefined = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
        first = self.build.insert_element(undefined, number, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        return self.build.shuffle_vector(first, undefined, zeros)

    def add_up(self, sums, count, products):
        """A loop: to each of `sums`, add factor * vector of `products(k)`, for k below `count`."""
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
put_products = _put_products if config.DISABLE_JIT else _put_products_in_registers
