"""Lesson 4: the gradient of a neuron, gradient descent, momentum, mini-batches, a shortcut.

Wrong answers are short formulas here, so they stand in tables: by the sentence that names them, or
in a list of those that are refused without one.
"""

import copy
from typing import NamedTuple

import numpy as np

from .engine import NotYet, exercise


def register(task, named, refused, made_of=lambda formula: formula):
    """Each formula of both tables as a wrong answer of the exercise."""
    for sentence, formula in named.items():
        task.mistake(sentence)(made_of(formula))
    for formula in refused:
        task.refused(made_of(formula))


def by_name(name, *names):
    """A `run` that gives results names, for the sentence that says which of them is wrong."""

    def run(function, *case):
        result = function(*case)
        if result is None:
            return None
        result = list(result) if isinstance(result, tuple | list) else []
        if len(result) != len(names):
            raise NotYet(f"{name} has to return {len(names)} results: {', '.join(names)}")
        plain = [each.item() if isinstance(each, np.generic) else each for each in result]
        return dict(zip(names, plain, strict=True))

    return run


NEURONS = [(0.5, 1.0, 2.0, 3.0), (0.5, 1.0, 3.0, 1.25), (-1.5, 0.25, 2.0, 1.0)]
NEURONS += [(2.0, -3.0, 1.5, 2.0), (-0.5, 0.75, -1.5, -2.0), (0.75, -0.5, -2.0, -1.0)]
NEURONS += [(-0.4, 2.3, 0.0, 0.7), (0.3, 0.2, 0.1, 0.9), (1.5, -0.5, 0.8, -0.3)]
# At the corner of ReLU; last, so that other mistakes are shown elsewhere.
NEURONS += [(1.0, -2.0, 2.0, 3.0), (0.5, 1.5, -3.0, -0.5)]


class Neuron(NamedTuple):
    w: float
    b: float
    x: float
    t: float

    @property
    def z(self):
        return self.w * self.x + self.b

    @property
    def y(self):
        return max(self.z, 0.0)

    @property
    def dy(self):
        return 2 * (self.y - self.t)

    @property
    def dz(self):
        return self.dy if self.z > 0 else 0.0

    def loss(self, dw=0.0, db=0.0):
        return (max((self.w + dw) * self.x + self.b + db, 0) - self.t) ** 2


@exercise(lambda: NEURONS, tolerance=1e-9, run=by_name("neuron_gradient", "dw", "db"))
def neuron_gradient(w, b, x, t):
    dz = Neuron(w, b, x, t).dz
    return dz * x, dz


register(
    neuron_gradient,
    {
        "the factor 2 is missing: the derivative of (y - t)**2 is 2 * (y - t)": lambda n: (
            n.dz / 2 * n.x,
            n.dz / 2,
        ),
        "the sign is wrong: dy is 2 * (y - t), not 2 * (t - y)": lambda n: (-n.dz * n.x, -n.dz),
        "the derivative of ReLU is missing: where z is not positive, dz is 0": lambda n: (
            n.dy * n.x,
            n.dy,
        ),
        "at z = 0 exactly the derivative of ReLU counts as 0: z > 0, not z >= 0": lambda n: (
            n.dy * (n.z >= 0) * n.x,
            n.dy * (n.z >= 0),
        ),
        "the ReLU is missing in the forward pass: y = max(z, 0)": lambda n: (
            2 * (n.z - n.t) * n.x,
            2 * (n.z - n.t),
        ),
        "the derivative of ReLU is 1 or 0, not its output y": lambda n: (
            n.dy * n.y * n.x,
            n.dy * n.y,
        ),
        "the derivative of z by w is x: dw is dz * x": lambda n: (n.dz, n.dz),
        "the derivative of z by w is x, not w": lambda n: (n.dz * n.w, n.dz),
        "the derivative of z by b is 1: db is dz alone, without x": lambda n: (
            n.dz * n.x,
            n.dz * n.x,
        ),
        "the derivative of z by b is 1: db is dz, not dz * b": lambda n: (n.dz * n.x, n.dz * n.b),
        "the two are in the wrong order: return dw, then db": lambda n: (n.dz, n.dz * n.x),
        "derivatives along the way are multiplied, not added": lambda n: (
            n.dy + (n.z > 0) + n.x,
            n.dy + (n.z > 0) + 1,
        ),
    },
    [
        lambda n: (int(n.dz * n.x), int(n.dz)),
        # A nudge.
        lambda n: (
            (n.loss(dw=1e-6) - n.loss()) / 1e-6,
            (n.loss(db=1e-6) - n.loss()) / 1e-6,
        ),
        # Of the absolute error.
        lambda n: (np.sign(n.dz) * n.x, np.sign(n.dz)),
        # On where x is positive, where w is, where the output is too small.
        lambda n: (n.dy * (n.x > 0) * n.x, n.dy * (n.x > 0)),
        lambda n: (n.dy * (n.w > 0) * n.x, n.dy * (n.w > 0)),
        lambda n: (n.dz * (n.dy < 0) * n.x, n.dz * (n.dy < 0)),
        lambda n: (n.loss() * n.dz * n.x, n.loss() * n.dz),
        # The numbers of the example.
        lambda n: (-4.0, -2.0),
    ],
    lambda formula: lambda w, b, x, t: formula(Neuron(w, b, x, t)),
)


def valley(point):
    """Of w**2 + 1.5 w b + 2.5 b**2 - w + 0.5 b."""
    return np.array([2 * point[0] + 1.5 * point[1] - 1, 1.5 * point[0] + 5 * point[1] + 0.5])


def bowl(point):
    """No quadratic: the gradient at the start tells nothing about the next one."""
    return np.tanh(3 * (point - 0.25))


def ways():
    yield valley, np.array([2.0, 1.0]), 0.125, 1
    yield valley, np.array([2.0, -1.5]), 0.1, 4
    yield bowl, np.array([1.0, -0.5, 0.75]), 0.05, 6
    yield bowl, np.array([0.5]), 0.5, 3
    yield valley, np.array([0.5, 0.25]), 0.1, 0
    yield valley, np.array([3, 1]), 0.1, 3  # integers: the points after the first are not


def follow(start, steps, move):
    path = [start]
    for _ in range(steps):
        path.append(move(path[-1]))
    return np.array(path)


@exercise(ways, tolerance=1e-9)
def descend(gradient, start, lr, steps):
    return follow(start, steps, lambda point: point - lr * gradient(point))


right_way = descend.reference

register(  # p is where a step begins, s the start, g the gradient
    descend,
    {
        "it goes uphill: the loss rises along the gradient, so subtract it": lambda p, s, g, lr: (
            p + lr * g(p)
        ),
        "the learning rate is missing": lambda p, s, g, lr: p - g(p),
        "the gradient is multiplied by lr, not divided by it": lambda p, s, g, lr: p - g(p) / lr,
        "lr multiplies the gradient alone, not the point too": lambda p, s, g, lr: lr * (p - g(p)),
        "lr multiplies the gradient, not the point at which it is taken": lambda p, s, g, lr: (
            p - g(lr * p)
        ),
        "each step needs the gradient where it begins, not that at start": lambda p, s, g, lr: (
            p - lr * g(s)
        ),
        "each step begins where the one before ended, not at start": lambda p, s, g, lr: (
            s - lr * g(p)
        ),
        "the point never moves on: every step begins at start": lambda p, s, g, lr: s - lr * g(s),
    },
    [
        lambda p, s, g, lr: p,
        lambda p, s, g, lr: p - lr * np.sign(g(p)),
        lambda p, s, g, lr: p - lr * g(p) / (np.linalg.norm(g(p)) + 1e-9),
        lambda p, s, g, lr: p - lr * g(p - lr * g(p)),  # the gradient after the step
        lambda p, s, g, lr: p - lr * abs(g(p)),
        lambda p, s, g, lr: p - lr * g(p).mean(),
        lambda p, s, g, lr: p - lr * g(p) * (np.arange(len(p)) == 0),  # the first number only
    ],
    lambda move: (
        lambda gradient, start, lr, steps: follow(
            start, steps, lambda point: move(point, start, gradient, lr)
        )
    ),
)

register(
    descend,
    {
        "all rows are the last point: point -= ... changes the one listed too": lambda *case: (
            np.repeat(right_way(*case)[-1:], case[-1] + 1, axis=0)
        ),
        "the start is missing, the first of steps + 1 points": lambda *case: right_way(*case)[1:],
        "the last point is missing: there are steps of them after the start": lambda *case: (
            right_way(*case)[:-1]
        ),
        "all points are to be returned, not the last one alone": lambda *case: right_way(*case)[-1],
        "each point is a row of the result, not a column": lambda *case: right_way(*case).T,
    },
    [
        lambda *case: right_way(*case).astype(int),
        lambda *case: right_way(*case[:-1], case[-1] + 1),
        lambda *case: right_way(*case)[::-1],
        lambda *case: right_way(*case) + 1e-6,
    ],
)


def moves():
    yield np.array([2.0, 0.0]), np.array([0.0, 0.0]), np.array([5.0, 2.0]), 0.1, 0.9
    yield np.array([1.5, -0.5]), np.array([-0.25, 0.75]), np.array([3.0, -1.5]), 0.02, 0.9
    yield np.array([0.5, -2.0, 1.0]), np.array([1.0, 0.5, -0.25]), np.full(3, 0.3), 0.5, 0.5
    yield np.array([[0.5], [-2.0]]), np.array([[1.0], [0.5]]), np.full((2, 1), 0.75), 0.5, 0.25
    yield np.array([0.75]), np.array([-0.4]), np.array([0.0]), 0.25, 0.8
    yield np.array([0.75]), np.array([-0.4]), np.array([1.25]), 0.25, 0.0


@exercise(moves, tolerance=1e-9, run=by_name("momentum_step", "point", "velocity"))
def momentum_step(point, velocity, gradient, lr, momentum):
    velocity = momentum * velocity - lr * gradient
    return point + velocity, velocity


def moved(point, velocity):
    return point + velocity, velocity


def in_place(p, v, g, lr, m):
    v *= m
    v -= lr * g
    p += v
    return p, v


register(
    momentum_step,
    {
        "the sign is wrong: the velocity gets - lr * gradient, downhill": lambda p, v, g, lr, m: (
            moved(p, m * v + lr * g)
        ),
        "the velocity is added to the point: its minus is in it already": lambda p, v, g, lr, m: (
            p - (m * v - lr * g),
            m * v - lr * g,
        ),
        "this velocity has the opposite sign: v gets - lr * gradient": lambda p, v, g, lr, m: (
            p - (m * v + lr * g),
            m * v + lr * g,
        ),
        "the point moves by the new velocity, not by the old one": lambda p, v, g, lr, m: (
            p + v,
            m * v - lr * g,
        ),
        "this is PyTorch's rule, whose velocity is without lr": lambda p, v, g, lr, m: (
            p - lr * (m * v + g),
            m * v + g,
        ),
        "lr belongs to the gradient, not to the velocity": lambda p, v, g, lr, m: (
            p + lr * (m * v - g),
            m * v - g,
        ),
        "lr counts once: the velocity is added to the point as it is": lambda p, v, g, lr, m: (
            p + lr * (m * v - lr * g),
            m * v - lr * g,
        ),
        "the learning rate is missing": lambda p, v, g, lr, m: moved(p, m * v - g),
        "the old velocity is multiplied by momentum, which slows it": lambda p, v, g, lr, m: moved(
            p, v - lr * g
        ),
        "the old velocity is lost: this is plain gradient descent": lambda p, v, g, lr, m: moved(
            p, -lr * g
        ),
        "momentum is the part that is kept, not the part that is lost": lambda p, v, g, lr, m: (
            moved(p, (1 - m) * v - lr * g)
        ),
        "the gradient counts in full, without a factor 1 - momentum": lambda p, v, g, lr, m: moved(
            p, m * v - (1 - m) * lr * g
        ),
        "momentum multiplies the old velocity, not the gradient": lambda p, v, g, lr, m: moved(
            p, m * (v - lr * g)
        ),
        "the gradient is in the velocity already: it moves the point once": lambda p, v, g, lr, m: (
            p + m * v - 2 * lr * g,
            m * v - lr * g,
        ),
        "the wrong order: return the point, then the velocity": lambda p, v, g, lr, m: moved(
            p, m * v - lr * g
        )[::-1],
    },
    [
        in_place,
        lambda p, v, g, lr, m: (p + m * (m * v - lr * g) - lr * g, m * v - lr * g),  # Nesterov's
        lambda p, v, g, lr, m: tuple(each.astype(int) for each in moved(p, m * v - lr * g)),
        lambda p, v, g, lr, m: moved(p, 0.9 * v - lr * g),
        lambda p, v, g, lr, m: (moved(p, m * v - lr * g)[0], v),
        lambda p, v, g, lr, m: (p, m * v - lr * g),
        lambda p, v, g, lr, m: (p - lr * g, m * v - lr * g),
        lambda p, v, g, lr, m: moved(p, m * v - lr * np.sign(g)),
    ],
)


class Rng(np.random.Generator):
    """A generator that is printed by how it was made."""

    def __repr__(self):
        return "np.random.default_rng(0)"


def epochs():
    for n, batch_size in [(100, 32), (96, 32), (60, 7), (50, 50), (40, 1), (30, 64)]:
        yield n, batch_size, Rng(np.random.PCG64(0))


def two_epochs(function, n, batch_size, rng):
    """What can be said about two epochs of any right answer, whose order is its own affair."""
    again = copy.deepcopy(rng)
    first = checked_batches(function(n, batch_size, rng))
    if first is None:
        return None
    second = checked_batches(function(n, batch_size, rng))
    repeated = checked_batches(function(n, batch_size, again))
    samples = [sample for batch in first for sample in batch]
    return {
        "sizes of the batches": [len(batch) for batch in first],
        "all numbers from 0 to n - 1": all(0 <= sample < n for sample in samples),
        "each sample once": len(samples) == len(set(samples)) == n,
        "samples are in random order, also within their batch": is_mixed(first, n),
        "another order in the next epoch": first != second,
        "the same rng gives the same batches": first == repeated,
    }


def checked_batches(batches):
    if batches is None:
        return None
    if not isinstance(batches, list | tuple):
        raise NotYet("mini_batches has to return a list, with an array for each batch")
    arrays = [np.asarray(batch) for batch in batches]
    if any(batch.ndim != 1 or batch.dtype.kind not in "iu" for batch in arrays):
        raise NotYet("each batch has to be an array of integers, the numbers of its samples")
    return [batch.tolist() for batch in arrays]


def is_mixed(batches, n):
    """Whether samples have other neighbours than in 0 ... n - 1, in their batch and in a row."""
    order = [sample for batch in batches for sample in batch]
    in_a_row = np.isin(abs(np.diff(order)), (1, n - 1))
    large = [batch for batch in batches if 1 < len(batch) < n]
    cut_only = [max(batch) - min(batch) == len(batch) - 1 for batch in large]
    return bool(in_a_row.sum() < n / 2 and not (large and all(cut_only)))


@exercise(epochs, run=two_epochs)
def mini_batches(n, batch_size, rng):
    return cut(rng.permutation(n), batch_size)


def cut(order, batch_size):
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def batches_in_random_order(n, size, rng):
    batches = cut(np.arange(n), size)
    if len(batches) == 1:
        return [rng.permutation(n)]
    return [batches[i] for i in rng.permutation(len(batches) - 1)] + batches[-1:]


def rest_in_the_last(n, size, rng):
    order, count = rng.permutation(n), max(n // size, 1)
    return [*cut(order[: (count - 1) * size], size), order[(count - 1) * size :]]


def rest_first(n, size, rng):
    order, rest = rng.permutation(n), n % size
    return cut(order[:rest], size) + cut(order[rest:], size)


register(
    mini_batches,
    {
        "the last batch is missing, which has what is left": lambda n, size, rng: cut(
            rng.permutation(n)[: n // size * size], size
        ),
        "the samples are not shuffled": lambda n, size, rng: cut(np.arange(n), size),
        "samples keep their neighbours: shuffle all n numbers first, then cut": (
            batches_in_random_order
        ),
        "shuffled inside of each batch only: shuffle first, then cut": lambda n, size, rng: [
            rng.permutation(batch) for batch in cut(np.arange(n), size)
        ],
        "drawn with replacement: some samples come twice, others never": lambda n, size, rng: cut(
            rng.integers(0, n, n), size
        ),
        "every epoch has the same order: use rng, no generator of your own": lambda n, size, rng: (
            cut(np.random.default_rng(0).permutation(n), size)
        ),
        "the order has to come from rng, not from np.random": lambda n, size, rng: cut(
            np.random.default_rng().permutation(n), size
        ),
        "batch_size counts the samples of a batch, not the batches": lambda n, size, rng: (
            np.array_split(rng.permutation(n), size)
        ),
        "all batches but the last have batch_size samples": lambda n, size, rng: np.array_split(
            rng.permutation(n), -(-n // size)
        ),
        "the last batch is empty if batch_size divides n": lambda n, size, rng: [
            order[i : i + size] for order in [rng.permutation(n)] for i in range(0, n + 1, size)
        ],
        "a batch begins where the one before ended, not one sample later": lambda n, size, rng: [
            order[i : i + size] for order in [rng.permutation(n)] for i in range(n)
        ],
        "samples are numbered from 0 to n - 1": lambda n, size, rng: cut(
            rng.permutation(n) + 1, size
        ),
        "this is one batch; an epoch uses every sample": lambda n, size, rng: [
            rng.permutation(n)[:size]
        ],
    },
    [
        rest_in_the_last,
        rest_first,
        # Drawn anew for each batch; rotated; in the opposite order; only the first batch shuffled.
        lambda n, size, rng: [
            rng.choice(n, len(batch), replace=False) for batch in cut(np.arange(n), size)
        ],
        lambda n, size, rng: cut(np.roll(np.arange(n), rng.integers(1, n)), size),
        lambda n, size, rng: cut(np.arange(n)[::-1], size),
        lambda n, size, rng: cut(np.append(rng.permutation(n // 4), np.arange(n // 4, n)), size),
        # The last batch filled up; no integers; no list; a mask for each batch.
        lambda n, size, rng: cut(np.resize(rng.permutation(n), -(-n // size) * size), size),
        lambda n, size, rng: cut(rng.permutation(n) * 1.0, size),
        lambda n, size, rng: rng.permutation(n),
        lambda n, size, rng: [
            np.isin(np.arange(n), batch) for batch in cut(rng.permutation(n), size)
        ],
    ],
)


SHORTCUTS = [(1.0, 0.0, 2.0, 1.0, 1.0, 5.0), (0.5, 1.0, 0.75, -0.25, 2.0, 1.0)]
SHORTCUTS += [(1.5, 0.5, -2.0, 1.0, 1.0, 3.0), (-1.0, 0.25, 2.0, 1.5, 2.0, 1.0)]
SHORTCUTS += [(0.5, 0.75, 1.25, 0.5, -1.0, -2.0), (-0.5, 0.2, 0.3, -0.4, 1.5, 0.6)]
SHORTCUTS += [(0.8, 0.1, -0.5, 1.7, 0.4, 1.1)]
# At z = 0 the derivative of ReLU is taken to be 0: in the second neuron, and in the first.
SHORTCUTS += [(1.0, 0.0, -1.0, 1.0, 1.0, 3.0), (1.0, -1.0, 0.5, 0.25, 1.0, 2.0)]


class Shortcut(NamedTuple):
    w1: float
    b1: float
    w2: float
    b2: float
    x: float
    t: float

    @property
    def first(self):
        return Neuron(self.w1, self.b1, self.x, self.t)

    @property
    def second(self):
        return Neuron(self.w2, self.b2, self.first.y, self.t)

    @property
    def dy(self):
        return 2 * (self.first.y + self.second.y - self.t)

    @property
    def dz2(self):
        return self.dy if self.second.z > 0 else 0.0

    def gradient(self, da, dz2=None):
        """All four, from what comes back to a and to the second neuron."""
        dz1 = da if self.first.z > 0 else 0.0
        dz2 = self.dz2 if dz2 is None else dz2
        return dz1 * self.x, dz1, dz2 * self.first.y, dz2

    @property
    def right(self):
        return self.gradient(self.dy + self.dz2 * self.w2)


names = ("dw1", "db1", "dw2", "db2")


@exercise(lambda: SHORTCUTS, tolerance=1e-9, run=by_name("shortcut_gradient", *names))
def shortcut_gradient(w1, b1, w2, b2, x, t):
    return Shortcut(w1, b1, w2, b2, x, t).right


def without_shortcut(s):
    return s.gradient(s.second.dz * s.w2, s.second.dz)


def first_always_on(s):
    dz1 = s.dy + s.dz2 * s.w2
    return dz1 * s.x, dz1, *s.right[2:]


register(
    shortcut_gradient,
    {
        "a acts on y in two ways: the backward pass forgets the shortcut": lambda s: s.gradient(
            s.dz2 * s.w2
        ),
        "a acts on y in two ways: the backward pass forgets the second neuron": lambda s: (
            s.gradient(s.dy)
        ),
        "z2 = w2 * a + b2: what comes back to a from there is dz2 * w2, not dz2": lambda s: (
            s.gradient(s.dy + s.dz2)
        ),
        "what comes back to a from the second neuron is dz2 * w2, not dz2 * w1": lambda s: (
            s.gradient(s.dy + s.dz2 * s.w1)
        ),
        "the derivative of the first ReLU is missing in dz1": (first_always_on),
        "the derivative of the second ReLU is missing in dz2": lambda s: s.gradient(
            s.dy + s.dy * s.w2, s.dy
        ),
        "the input of the second neuron is a: dw2 is dz2 * a, not dz2 * x": lambda s: (
            *s.right[:2],
            s.dz2 * s.x,
            s.dz2,
        ),
        "y is the sum of a and the second neuron's output: a is forgotten": without_shortcut,
        "the factor 2 of the squared error is missing": lambda s: tuple(d / 2 for d in s.right),
        "the sign is wrong: dy is 2 * (y - t)": lambda s: tuple(-d for d in s.right),
        "effects that come by two ways are added, not multiplied": lambda s: s.gradient(
            s.dy * s.dz2 * s.w2
        ),
        "the order is dw1, db1, dw2, db2: here the second neuron comes first": lambda s: (
            *s.right[2:],
            *s.right[:2],
        ),
    },
    [
        lambda s: s.gradient((s.dy + s.dz2 * s.w2) / 2),
        lambda s: s.gradient((s.dy + s.dz2) * s.w2),
        lambda s: s.gradient(s.dy - s.dz2 * s.w2),
        lambda s: tuple(int(d) for d in s.right),
        lambda s: (s.right[1], s.right[0], *s.right[2:]),
        lambda s: s.right if s.second.z > 0 else (0.0,) * 4,  # the second ReLU stops everything
        lambda s: (-6.0, -6.0, -2.0, -2.0),
    ],
    lambda formula: lambda w1, b1, w2, b2, x, t: formula(Shortcut(w1, b1, w2, b2, x, t)),
)


@shortcut_gradient.refused
def _(w1, b1, w2, b2, x, t):  # the derivative of ReLU at 0 is taken to be 1
    s = Shortcut(w1, b1, w2, b2, x, t)
    dz2 = s.dy if s.second.z >= 0 else 0.0
    dz1 = s.dy + dz2 * w2 if s.first.z >= 0 else 0.0
    return dz1 * x, dz1, dz2 * s.first.y, dz2


@shortcut_gradient.refused
def _(w1, b1, w2, b2, x, t):  # of the second neuron only
    s = Shortcut(w1, b1, w2, b2, x, t)
    dz2 = s.dy if s.second.z >= 0 else 0.0
    return s.gradient(s.dy + dz2 * w2, dz2)


@descend.refused
def _(gradient, start, lr, steps):  # cut to integers where the start has integers
    path = follow(start, steps, lambda point: point - lr * gradient(point))
    return path.astype(start.dtype)


@momentum_step.refused
def _(point, velocity, gradient, lr, momentum):  # the point alone
    return point + momentum * velocity - lr * gradient
