"""Lesson 9: central differences, a checker that has to catch bugs, and a search with few calls."""

import numpy as np

from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax

from .engine import NotYet, exercise


def cubes(a):
    return (a**3).sum()


def products(a):
    return np.prod(a + 2.5)


def wave(a):
    return (np.sin(a) * np.arange(1, a.size + 1).reshape(a.shape)).sum()


def functions():
    yield cubes, np.array([1.0]), 1
    yield cubes, np.array([1.0]), 0.1
    yield cubes, np.array([[1.0, 2], [-1, 0], [0.5, 3]]), 0.5
    yield products, np.array([0.5, -1, 2]), 0.25
    yield wave, np.linspace(-1, 2, 8).reshape(2, 1, 4), 0.1


@exercise(functions, tolerance=1e-9)
def numeric_gradient(f, a, h):
    return differences(f, a, lambda above, here, below: (above - below) / (2 * h), h)


def differences(f, a, quotient, h):
    """quotient(f(a + h), f(a), f(a - h)), entry by entry."""
    gradient = np.zeros(a.shape)
    for place in np.ndindex(a.shape):
        above, below = a.copy(), a.copy()
        above[place] += h
        below[place] -= h
        gradient[place] = quotient(f(above), f(a), f(below))
    return gradient


@numeric_gradient.mistake("this is the forward difference; go to both sides, a + h and a - h")
def _(f, a, h):
    return differences(f, a, lambda above, here, below: (above - here) / h, h)


@numeric_gradient.mistake("this is the backward difference; go to both sides, a + h and a - h")
def _(f, a, h):
    return differences(f, a, lambda above, here, below: (here - below) / h, h)


@numeric_gradient.mistake("from a - h to a + h it is 2 * h, not h")
def _(f, a, h):
    return differences(f, a, lambda above, here, below: (above - below) / h, h)


@numeric_gradient.mistake("the sign is wrong: f(a + h) - f(a - h)")
def _(f, a, h):
    return differences(f, a, lambda above, here, below: (below - above) / (2 * h), h)


@numeric_gradient.mistake("2 * h has to be in parentheses: ... / 2 * h multiplies by h")
def _(f, a, h):
    return differences(f, a, lambda above, here, below: (above - below) / 2 * h, h)


@numeric_gradient.mistake("the difference has to be in parentheses, before it is divided")
def _(f, a, h):
    return differences(f, a, lambda above, here, below: above - below / (2 * h), h)


@numeric_gradient.mistake("all entries are moved at once; move one at a time")
def _(f, a, h):
    return np.full(a.shape, (f(a + h) - f(a - h)) / (2 * h))


def left_where_they_are(f, a, h, last):
    a, gradient = a.copy(), np.zeros(a.shape)
    for place in np.ndindex(a.shape):
        old = a[place]
        a[place] = old + h
        above = f(a)
        a[place] = old - h
        gradient[place] = (above - f(a)) / (2 * h)
        a[place] = old + last * h
    return gradient


@numeric_gradient.mistake("each entry has to be put back before the next one is moved")
def _(f, a, h):
    return left_where_they_are(f, a, h, last=-1)


@numeric_gradient.mistake("after += h, it takes -= 2 * h to stand at a - h")
def _(f, a, h):
    return differences(f, a, lambda above, here, below: (above - here) / (2 * h), h)


@numeric_gradient.mistake("the step is h, whatever it is, and not one of your own")
def _(f, a, h):
    return numeric_gradient.reference(f, a, 1e-5)


@numeric_gradient.mistake("above and below are the same array: make two copies")
def _(f, a, h):
    return np.zeros(a.shape)


def claims():
    one = np.array([1.0, -2, 0, 4])
    yield one, one
    yield np.array([1.0, -2, 0, 3]), one
    yield np.array([1.0, -2, 0, 5]), one
    yield 1000 * one, 1000 * one + np.array([0, 0, 1.0, 0])
    yield np.array([[1.0, 3], [2, 0]]), np.array([[1.0, 3], [-2, 0]])
    yield np.zeros((2, 2)), np.zeros((2, 2))
    yield np.array([1.0, np.nan, 0, 4]), one
    yield np.array([-1e-3, 2e-3]), np.array([-1e-3, 1e-3])
    yield np.array([-3.0, 1]), np.array([-2.0, 1])
    yield np.zeros(3), np.ones(3)
    yield np.ones(3), np.zeros(3)
    yield np.array([[1.0, 2], [3, 4]]), np.array([[0.0, 0], [3, 4]])
    yield np.array([1.0, np.inf, 0, 4]), one
    yield np.array([1e-13, 0]), np.array([2e-13, 0])


@exercise(claims, tolerance=1e-9)
def relative_error(claimed, measured):
    if not np.isfinite(claimed).all():
        return np.inf
    return worst(claimed, measured)


def worst(claimed, measured, size=lambda claimed, measured: np.maximum(claimed, measured).max()):
    largest = size(abs(claimed), abs(measured))
    return 0.0 if largest == 0 else abs(claimed - measured).max() / largest


@relative_error.mistake("for NaN it has to be infinity: nan > TOLERANCE is false, and would pass")
def _(claimed, measured):
    return worst(claimed, measured)


@relative_error.mistake("only if *both* arrays are all zeros is there nothing to compare")
def _(claimed, measured):
    return relative_error.reference(claimed, measured) if claimed.any() and measured.any() else 0.0


@relative_error.mistake("for an infinity it has to be infinity too: use np.isfinite, not np.isnan")
def _(claimed, measured):
    return np.inf if np.isnan(claimed).any() else worst(claimed, measured)


@relative_error.mistake("also divide by sizes below 1: gradients may be tiny as a whole")
def _(claimed, measured):
    return finite(worst(claimed, measured, lambda c, m: max(c.max(), m.max(), 1)), claimed)


@relative_error.mistake(
    "the entry that is off most counts, not the length (norm) of the difference"
)
def _(claimed, measured):
    length = max(np.linalg.norm(claimed), np.linalg.norm(measured))
    return finite(np.linalg.norm(claimed - measured) / length if length else 0.0, claimed)


@relative_error.refused
def _(claimed, measured):  # tiny gradients are taken for zeros
    if np.isfinite(claimed).all() and max(abs(claimed).max(), abs(measured).max()) < 1e-12:
        return 0.0
    return relative_error.reference(claimed, measured)


@relative_error.mistake("NaN is not to be left out: a gradient with a NaN in it is wrong")
def _(claimed, measured):
    known = np.isfinite(claimed)
    return worst(claimed[known], measured[known])


@relative_error.mistake("the size |...| of the difference counts, also where it is negative: abs")
def _(claimed, measured):
    if not np.isfinite(claimed).all():
        return np.inf
    largest = max(abs(claimed).max(), abs(measured).max())
    return (claimed - measured).max() / largest if largest else 0.0


@relative_error.mistake("the size |...| of the difference counts, also where it is positive: abs")
def _(claimed, measured):
    if not np.isfinite(claimed).all():
        return np.inf
    largest = max(abs(claimed).max(), abs(measured).max())
    return (measured - claimed).max() / largest if largest else 0.0


@relative_error.mistake(
    "it is not divided by a size: gradients of 1000 may differ by more than of 1"
)
def _(claimed, measured):
    return abs(claimed - measured).max() if np.isfinite(claimed).all() else np.inf


@relative_error.mistake("divide by the largest entry of both arrays, not of `measured` alone")
def _(claimed, measured):
    return finite(worst(claimed, measured, lambda claimed, measured: measured.max()), claimed)


@relative_error.mistake("divide by the largest entry of both arrays, not of `claimed` alone")
def _(claimed, measured):
    return finite(worst(claimed, measured, lambda claimed, measured: claimed.max()), claimed)


@relative_error.mistake("divide by the largest size |...|, not by the largest entry: abs")
def _(claimed, measured):
    if not np.isfinite(claimed).all():
        return np.inf
    largest = max(claimed.max(), measured.max())
    return abs(claimed - measured).max() / largest if largest else 0.0


@relative_error.mistake("the worst entry counts, not the mean of all")
def _(claimed, measured):
    largest = max(abs(claimed).max(), abs(measured).max())
    return finite(abs(claimed - measured).mean() / largest if largest else 0.0, claimed)


@relative_error.mistake("divide by the largest of all entries, not each entry by its own size")
def _(claimed, measured):
    size = np.maximum(abs(claimed), abs(measured))
    quotients = abs(claimed - measured) / np.where(size > 0, size, 1)
    return finite(quotients.max(), claimed)


@relative_error.mistake("divide by the largest of both, not by their sum")
def _(claimed, measured):
    return finite(
        worst(claimed, measured, lambda claimed, measured: (claimed + measured).max()), claimed
    )


def finite(error, claimed):
    return error if np.isfinite(claimed).all() else np.inf


class Planted:
    """A layer with something wrong in its backward pass, or nothing."""

    def __init__(self, layer, name="", spoil=None):
        self.layer, self.name, self.spoil = layer, name, spoil

    @property
    def params(self):
        return self.layer.params

    def forward(self, x):
        y, cache = self.layer.forward(x)
        return y, (x.copy(), y, cache)

    def branches(self, cache):
        return self.layer.branches(cache[2])

    def backward(self, dy, cache):
        x, y, inner = cache
        dx, grads = self.layer.backward(dy, inner)
        if self.spoil:
            dx, grads = self.spoil(self.layer, x, y, dy, dx, grads)
        return dx, grads

    def __repr__(self):
        kind = type(self.layer).__name__
        return f"{kind} with {self.name}" if self.spoil else f"right {kind}{self.name}"


def built(layer, *shape, seed=0):
    rng = np.random.default_rng(seed)
    layer.build(shape, rng, "float64")
    if "bias" in layer.params:
        layer.params["bias"][:] = rng.uniform(-1, 1, layer.params["bias"].shape)
    return layer


def dense(**options):
    return built(Dense(3, name="dense", **options), 4)


def conv(**options):
    return built(Conv2D(2, 2, name="conv", **options), 4, 5, 2)


def random(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def on_weights(**spoilt):
    """Replace gradients of weights by what the functions make of them."""

    def spoil(layer, x, y, dy, dx, grads):
        return dx, grads | {key: change(grads[key]) for key, change in spoilt.items()}

    return spoil


def last_lower(gradient):
    gradient = gradient.copy()
    gradient[(-1,) * gradient.ndim] -= 0.1
    return gradient


def last_higher(gradient):
    gradient = gradient.copy()
    gradient[(-1,) * gradient.ndim] += 0.1
    return gradient


def first_missing(gradient):
    gradient = gradient.copy()
    gradient[0, 0] = np.nan
    return gradient


def turned(layer, x, y, dy, dx, grads):
    turned = conv()
    turned.params["kernel"] = layer.params["kernel"][::-1, ::-1]
    return turned.backward(dy, turned.forward(x)[1])[0], grads


def last_window_alone(layer, x, y, dy, dx, grads):
    dx = np.zeros_like(x)
    for i, j in np.ndindex(dy.shape[1:3]):
        stamp = np.einsum("nf,abcf->nabc", dy[:, i, j], layer.params["kernel"])
        dx[:, i : i + 2, j : j + 2] = stamp
    return dx, grads


def layers():
    close = random(3, 6)
    close[:, 1] = [4e-6, -3e-6, 1e-6]  # a step of 1e-5 goes over the kink
    tied = np.random.default_rng(4).permutation(32).reshape(1, 4, 4, 2) / 8.0
    tied[0, 0, 0] = tied[0, 0, 1] + 5e-6
    yield Planted(dense()), random(5, 4)
    yield Planted(built(Softmax(name="softmax"), 4)), random(2, 4)
    yield Planted(dense(), "a backward pass of twice the size", doubled), random(5, 4)
    yield Planted(built(ReLU(name="relu"), 6), " close to its kink"), close
    yield Planted(built(MaxPooling2D(2, name="pool"), 4, 4, 2), " close to a tie"), tied
    # Nothing is left to compare, and the bug sits after the kink, in another sample.
    yield Planted(built(ReLU(name="relu"), 2), " on its kink everywhere"), np.full((2, 2), 1e-6)
    late = Planted(built(ReLU(name="relu"), 6), "dx let through after a kink", last_let_through)
    yield late, np.concatenate([close[:, 1:2].repeat(6, 1)[:1], random(2, 6)])
    first = Planted(built(ReLU(name="relu"), 6), "the first sample's dx zero", first_zero)
    yield first, np.concatenate([close[:1], random(2, 6)])
    yield Planted(on_kinks_of_biases(), " whose biases are close to a kink"), random(4, 4) * NO_INK
    yield Planted(built(Flatten(name="flatten"), 2, 3, 2)), random(2, 2, 3, 2)
    yield Planted(dense(activation="relu")), random(5, 4)
    yield Planted(conv(activation="relu")), random(2, 4, 5, 2)
    yield Planted(dense(), "the sign of dx wrong", negative), random(5, 4)
    yield Planted(dense(), "dx in half precision", halved_precision), random(5, 4)
    yield Planted(dense(), "dbias a mean", on_weights(bias=lambda g: g / 5)), random(5, 4)
    yield (
        Planted(dense(), "dbias in the wrong order", on_weights(bias=lambda g: g[::-1])),
        random(5, 4),
    )
    yield Planted(dense(), "dx of a kernel reshaped, not transposed", reshaped), random(5, 4)
    yield Planted(dense(activation="relu"), "an activation skipped", skipped), random(5, 4)
    yield Planted(built(Softmax(name="softmax"), 4), "dx of zeros", zeros), random(2, 4)
    softmax = built(Softmax(name="softmax"), 4)
    yield Planted(softmax, "dx cell by cell", cell_by_cell), random(2, 4)
    yield Planted(built(ReLU(name="relu"), 6), "dx let through", let_through), random(3, 6)
    yield Planted(conv(), "a turned kernel in dx", turned), random(2, 4, 5, 2)
    yield Planted(conv(), "windows that overwrite", last_window_alone), random(2, 4, 5, 2)
    for name, change in [("too low", last_lower), ("too high", last_higher)]:
        spoil = on_weights(kernel=change)
        yield Planted(conv(), f"the last dkernel {name}", spoil), random(2, 4, 5, 2)
    spoil = on_weights(kernel=first_missing)
    yield Planted(dense(), "NaN in dkernel", spoil), random(5, 4)
    spoil = on_weights(bias=lambda g: g[None])
    yield Planted(dense(), "dbias of shape (1, 3)", spoil), random(5, 4)


def doubled(layer, x, y, dy, dx, grads):
    return 2 * dx, {key: 2 * gradient for key, gradient in grads.items()}


NO_INK = np.array([[1.0], [0], [1], [1]])  # of four samples, one is all zeros


def on_kinks_of_biases():
    """Its inputs of zero give the biases, two of which a step of 1e-5 carries over the kink."""
    layer = dense(activation="relu")
    layer.params["bias"][:] = [1e-6, 2e-6, 0.5]
    return layer


def first_zero(layer, x, y, dy, dx, grads):
    dx = dx.copy()
    dx[0] = 0
    return dx, grads


def negative(layer, x, y, dy, dx, grads):
    return -dx, grads


def halved_precision(layer, x, y, dy, dx, grads):
    return dx.astype(np.float16).astype(float), grads


def reshaped(layer, x, y, dy, dx, grads):
    return dy @ layer.params["kernel"].reshape(3, 4), grads


def skipped(layer, x, y, dy, dx, grads):
    return dy @ layer.params["kernel"].T, {"kernel": x.T @ dy, "bias": dy.sum(0)}


def last_let_through(layer, x, y, dy, dx, grads):
    return np.concatenate([dx[:-1], dy[-1:]]), grads


def zeros(layer, x, y, dy, dx, grads):
    return 0 * dx, grads


def cell_by_cell(layer, x, y, dy, dx, grads):
    return y * (1 - y) * dy, grads


def let_through(layer, x, y, dy, dx, grads):
    return dy, grads


STEP, TOLERANCE = 1e-5, 1e-7


@exercise(layers)
def gradients_right(layer, x):
    return judge(layer, x)


def judge(
    layer, x, draw=None, which=None, skip=True, two_sided=True, agree=None, at_kink=None, some=None
):
    """Whether all gradients are right, in the right way unless told otherwise."""
    draw = draw or np.random.default_rng(0).standard_normal
    agree = agree or all_close
    y, cache = layer.forward(x)
    y, sides = y.copy(), layer.branches(cache)
    dy = draw(y.shape)
    dx, grads = layer.backward(dy, cache)
    claims = [(x, dx)] + [(layer.params[key], grads[key]) for key in layer.params]
    for array, claimed in claims[which] if which else claims:
        measured, smooth = np.zeros(array.shape), np.ones(array.shape, bool)
        for place in np.ndindex(array.shape):
            above, sides_above = moved(layer, x, array, place, STEP)
            below, sides_below = moved(layer, x, array, place, -STEP)
            step = 2 * STEP if two_sided else STEP
            measured[place] = (dy * (above - (below if two_sided else y))).sum() / step
            same = zip(sides + sides, sides_above + sides_below, strict=True)
            looked_at = some is None or some(array is x, place)
            crosses = not all((one == other).all() for one, other in same)
            skipped = crosses and (skip is True or (skip == "in x" and array is x))
            smooth[place] = looked_at and not skipped
            if not smooth[place] and at_kink == "pass":
                return True
            if not smooth[place] and at_kink == "stop":
                break
        if at_kink == "stop":
            smooth[list(np.ndindex(array.shape)).index(place) :] = False
        if claimed.shape == array.shape:
            claimed, measured = claimed[smooth], measured[smooth]
        if not agree(claimed, measured):
            return False
    return True


def moved(layer, x, array, place, step):
    old = array[place]
    array[place] = old + step
    y, cache = layer.forward(x)
    y, sides = y.copy(), [side.copy() for side in layer.branches(cache)]
    array[place] = old
    return y, sides


def all_close(claimed, measured):
    if claimed.shape != measured.shape:
        return False
    return bool(abs(claimed - measured).max(initial=0) <= allowed(measured))


def allowed(measured):
    # Where the whole gradient is zero, as that of softmax' sum, there is only rounding.
    return TOLERANCE * abs(measured).max(initial=1e-3)


@gradients_right.mistake("the sum of a softmax never changes: give every output a random dy")
def _(layer, x):
    return judge(layer, x, draw=np.ones)


@gradients_right.mistake(
    "dy of 1 makes the gradient of softmax nothing but rounding: draw it at random"
)
def _(layer, x):
    return judge(layer, x, draw=np.ones, agree=relatively_close)


def relatively_close(claimed, measured):
    if claimed.shape != measured.shape:
        return False
    return claimed.size == 0 or relative_error.reference(claimed, measured) <= TOLERANCE


@gradients_right.mistake("where every step crosses a kink, nothing is known to be wrong: go on")
def _(layer, x):
    return judge(layer, x, agree=lambda *pair: pair[0].size > 0 and all_close(*pair))


@gradients_right.mistake("weights have kinks too: leave out their entries whose step crosses one")
def _(layer, x):
    return judge(layer, x, skip="in x")


@gradients_right.mistake("a wrong sign passes: compare the gradients, not their sizes |...|")
def _(layer, x):
    return judge(layer, x, agree=lambda *pair: all_close(*map(np.abs, pair)))


@gradients_right.mistake("only the first sample is checked; bugs may be in any")
def _(layer, x):
    return judge(layer, x, some=lambda in_x, place: not in_x or place[0] == 0)


@gradients_right.mistake("only the last sample is checked; bugs may be in any")
def _(layer, x):
    return judge(layer, x, some=lambda in_x, place: not in_x or place[0] == len(x) - 1)


@gradients_right.refused
def _(layer, x):  # a tolerance that half precision meets
    def agree(claimed, measured):
        return claimed.shape == measured.shape and np.allclose(claimed, measured, 1e-3, 1e-3)

    return judge(layer, x, agree=agree)


@gradients_right.mistake("only dx is checked, not the gradients of the weights")
def _(layer, x):
    return judge(layer, x, which=slice(1))


@gradients_right.mistake("only the gradients of the weights are checked, not dx")
def _(layer, x):
    return judge(layer, x, which=slice(1, None))


@gradients_right.mistake("dx and dkernel are checked, but not dbias")
def _(layer, x):
    return judge(layer, x, which=slice(2))


@gradients_right.mistake("a step over a kink is a false alarm; leave such entries out")
def _(layer, x):
    return judge(layer, x, skip=False)


@gradients_right.mistake("forward differences are too coarse for curves such as softmax")
def _(layer, x):
    return judge(layer, x, two_sided=False)


@gradients_right.mistake("means are compared, not entries: lesson 8's turned kernel passes")
def _(layer, x):
    return judge(layer, x, agree=same_mean)


def same_mean(claimed, measured):
    return claimed.shape == measured.shape and (
        claimed.size == 0 or all_close(claimed.mean(), measured.mean())
    )


@gradients_right.mistake("only the first entry of each gradient is compared")
def _(layer, x):
    return judge(layer, x, agree=same_first)


def same_first(claimed, measured):
    if claimed.shape != measured.shape:
        return False
    return all_close(claimed.reshape(-1)[:1], measured.reshape(-1)[:1])


@gradients_right.mistake("NaN passes: no comparison with NaN is true, so it is never too large")
def _(layer, x):
    return judge(layer, x, agree=never_too_large)


def never_too_large(claimed, measured):
    if claimed.shape != measured.shape:
        return False
    return not abs(claimed - measured).max(initial=0) > allowed(measured)


@gradients_right.mistake("a gradient that is too low passes: abs is missing")
def _(layer, x):
    return judge(layer, x, agree=not_too_high)


def not_too_high(claimed, measured):
    if claimed.shape != measured.shape:
        return False
    return bool((claimed - measured).max(initial=-np.inf) <= allowed(measured))


@gradients_right.mistake("a gradient that is too high passes: abs is missing")
def _(layer, x):
    return judge(layer, x, agree=not_too_low)


def not_too_low(claimed, measured):
    if claimed.shape != measured.shape:
        return False
    return bool((measured - claimed).max(initial=-np.inf) <= allowed(measured))


@gradients_right.mistake("shapes are not compared: (1, 3) and (3,) look alike to NumPy")
def _(layer, x):
    return judge(layer, x, agree=broadcast_close)


def broadcast_close(claimed, measured):
    return bool(abs(claimed - measured).max(initial=-np.inf) <= allowed(measured))


@gradients_right.mistake("one entry on a kink says nothing of the others: skip it, and go on")
def _(layer, x):
    return judge(layer, x, at_kink="pass")


@gradients_right.refused
def _(layer, x):  # the first kink ends the loop over the entries
    return judge(layer, x, at_kink="stop")


@gradients_right.refused
def _(layer, x):  # the first sample only
    return judge(layer, x[:1])


@gradients_right.refused
def _(layer, x):  # a tolerance that lets everything pass
    return judge(layer, x, agree=lambda claimed, measured: claimed.shape == measured.shape)


@gradients_right.mistake("not a single bug is caught: it never gets to `return False`")
def _(layer, x):
    return True


@gradients_right.mistake("even right layers are said to be wrong")
def _(layer, x):
    return False


CALLS = 50


def squares(a):
    """Products of neighbours: the derivative with respect to an entry depends on others."""
    line = a.reshape(-1)
    return (line**2).sum() / 2 - (line[1:] * line[:-1]).sum() / 4


def bend(a):
    """n log2(mean of exp(a)): each derivative depends on all entries."""
    return a.size * np.log2(np.exp(a).mean())


def with_one_wrong():
    def claim(f, a, place=None, off=0.0):
        gradient = numeric_gradient.reference(f, a, STEP).round(6)
        if place is not None:
            gradient[place] += off
        return f, a, gradient

    yield claim(squares, np.array([[0.5, -1.5], [2, 0.25]]), (1, 0), 0.5)
    yield claim(squares, np.array([[0.5, -1.5], [2, 0.25]]))
    yield claim(wave, random(3, 5), (0, 0), -0.25)
    yield claim(bend, random(2, 3, 2), (1, 2, 1), 0.0625)
    yield claim(squares, random(1), (0,), -0.125)
    yield claim(squares, random(40, 50), (21, 17), 0.015)
    yield claim(squares, random(50, 40, seed=2), (49, 39), -0.015)
    yield claim(bend, random(7, 11, 13), (3, 0, 12), 1.5)
    yield claim(bend, random(40, 50, seed=3))


def with_few_calls(function, f, a, claimed):
    calls = 0

    def counted(a):
        nonlocal calls
        calls += 1
        return f(a)

    found = function(counted, a, claimed)
    if calls > CALLS:
        raise NotYet(
            f"f was called {calls:,} times for {a.size:,} entries; at most {CALLS} are allowed"
        )
    return found


@exercise(with_one_wrong, run=with_few_calls)
def wrong_entry(f, a, claimed):
    return halved(f, a, claimed)


def all_along(claimed, v):
    return (claimed * v).sum()


def halved(
    f, a, claimed, expected=all_along, wide=2 * STEP, is_off=abs, may_be_right=True, least=0.005
):
    """The wrong entry by halving the suspects, in the right way unless told otherwise."""

    def off(v):
        slope = (f(a + STEP * v) - f(a - STEP * v)) / wide
        return is_off(slope - expected(claimed, v)) > least

    if may_be_right and not off(np.ones(a.shape)):
        return None
    first, last = 0, a.size
    while last - first > 1:
        middle = (first + last) // 2
        v = np.zeros(a.size)
        v[first:middle] = 1
        first, last = (first, middle) if off(v.reshape(a.shape)) else (middle, last)
    return tuple(int(i) for i in np.unravel_index(first, a.shape))


@wrong_entry.mistake("each entry is measured by itself; a direction can ask about many at once")
def _(f, a, claimed):
    off = abs(numeric_gradient.reference(f, a, STEP) - claimed)
    if off.max() < 0.005:
        return None
    return tuple(int(i) for i in np.unravel_index(off.argmax(), a.shape))


@wrong_entry.mistake("the slope along v belongs to (claimed * v).sum(), not to claimed.sum()")
def _(f, a, claimed):
    return halved(f, a, claimed, expected=lambda claimed, v: claimed.sum())


@wrong_entry.mistake("from a - h v to a + h v it is 2 * h, not h")
def _(f, a, claimed):
    return halved(f, a, claimed, wide=STEP)


@wrong_entry.mistake("an entry that is claimed too high is missed: abs")
def _(f, a, claimed):
    return halved(f, a, claimed, is_off=lambda error: error)


@wrong_entry.mistake("an entry that is claimed too low is missed: abs")
def _(f, a, claimed):
    return halved(f, a, claimed, is_off=lambda error: -error)


@wrong_entry.mistake("where nothing is wrong, None is expected; ask about all entries first")
def _(f, a, claimed):
    return halved(f, a, claimed, may_be_right=False)


@wrong_entry.mistake("this place counts the entries; np.unravel_index makes a tuple of it")
def _(f, a, claimed):
    place = halved(f, a, claimed)
    return None if place is None else int(np.ravel_multi_index(place, a.shape))


@wrong_entry.mistake("an entry that is off by 0.01 is wrong: take a lower threshold, as 0.005")
def _(f, a, claimed):
    return halved(f, a, claimed, least=0.05)


@wrong_entry.mistake("the others are rounded, not wrong: take a higher threshold, as 0.005")
def _(f, a, claimed):
    return halved(f, a, claimed, least=1e-6)


@wrong_entry.mistake("an entry that is rounded is not wrong: take a higher threshold, as 0.005")
def _(f, a, claimed):
    return halved(f, a, claimed, least=1e-5)


@wrong_entry.refused
def _(f, a, claimed):  # four calls, as if all other entries were exact
    def off(v):
        return (f(a + STEP * v) - f(a - STEP * v)) / (2 * STEP) - (claimed * v).sum()

    error = off(np.ones(a.shape))
    if abs(error) < 0.005:
        return None
    ramp = (np.arange(a.size) / a.size).reshape(a.shape)
    place = round(off(ramp) / error * a.size)
    return np.unravel_index(min(max(place, 0), a.size - 1), a.shape)


@wrong_entry.mistake('entries are counted row by row: np.unravel_index without order="F"')
def _(f, a, claimed):
    place = halved(f, a, claimed)
    if place is None:
        return None
    return np.unravel_index(np.ravel_multi_index(place, a.shape), a.shape, order="F")


@wrong_entry.refused
def _(f, a, claimed):  # nothing is ever wrong
    return None


@wrong_entry.refused
def _(f, a, claimed):  # the largest entry
    return np.unravel_index(abs(claimed).argmax(), a.shape)


@wrong_entry.refused
def _(f, a, claimed):  # a list of places
    place = halved(f, a, claimed)
    return [] if place is None else [place]


@wrong_entry.refused
def _(f, a, claimed):  # a is changed in place
    place = halved(f, a, claimed)
    a += STEP
    return place
