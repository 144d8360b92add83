"""Lesson 11: initial weights, a step of Adam, 200 steps of Keras, a hidden epsilon, AdamW."""

import numpy as np

from minicnn.initializers import GlorotUniform

from .engine import NotYet, exercise, returning


class Stream(np.random.Generator):
    """A generator that says in messages how to make it again."""

    def __init__(self, seed):
        super().__init__(np.random.PCG64(seed))
        self.seed = seed

    def __repr__(self):
        return f"np.random.default_rng({self.seed})"


def shapes():
    kernels = [(3, 2), (64, 10), (2, 2, 1, 3), (5, 5, 1, 32), (3, 2, 4, 6), (1, 1, 8, 2)]
    return [(shape, Stream(seed)) for seed, shape in enumerate(kernels)]


@exercise(shapes, tolerance=1e-12)
def glorot_uniform(shape, rng):
    return GlorotUniform()(shape, rng, "float64")


def fans(shape):
    *window, inputs, outputs = shape
    cells = np.prod(window, dtype=int)
    return cells * inputs, cells * outputs


def uniform(limit, shape, rng):
    return rng.uniform(-limit, limit, shape)


@glorot_uniform.mistake("the square root is missing")
def _(shape, rng):
    return uniform(6 / sum(fans(shape)), shape, rng)


@glorot_uniform.mistake(
    "sqrt(2 / (fan_in + fan_out)) is the root of the mean square, not the limit"
)
def _(shape, rng):
    return uniform(np.sqrt(2 / sum(fans(shape))), shape, rng)


@glorot_uniform.mistake("numbers are to be drawn between -limit and limit, not from 0")
def _(shape, rng):
    return rng.uniform(0, np.sqrt(6 / sum(fans(shape))), shape)


@glorot_uniform.mistake("this is a normal distribution; the limits of a uniform one are wanted")
def _(shape, rng):
    return rng.normal(0, np.sqrt(2 / sum(fans(shape))), shape)


@glorot_uniform.mistake(
    "these are rounded to single precision; leave them as rng.uniform draws them"
)
def _(shape, rng):
    return glorot_uniform.reference(shape, rng).astype(np.float32)


@glorot_uniform.mistake(
    "a uniform distribution of this width has the mean square limit**2 / 3: it is 6, not 3"
)
def _(shape, rng):
    return uniform(np.sqrt(3 / sum(fans(shape))), shape, rng)


@glorot_uniform.mistake("fan_out is left out: Glorot's rule uses the mean of both fans")
def _(shape, rng):
    return uniform(np.sqrt(3 / fans(shape)[0]), shape, rng)


@glorot_uniform.mistake(
    "an output is a sum of kh * kw * c products, so fan_in is kh * kw * c, not c"
)
def _(shape, rng):
    return uniform(np.sqrt(6 / (shape[-2] + fans(shape)[1])), shape, rng)


@glorot_uniform.mistake("draw from the generator that is handed over: rng.uniform")
def _(shape, rng):
    return uniform(np.sqrt(6 / sum(fans(shape))), shape, np.random.default_rng(0))


@glorot_uniform.mistake("fan_out is left out; sqrt(6 / fan_in) is He's rule")
def _(shape, rng):
    return uniform(np.sqrt(6 / fans(shape)[0]), shape, rng)


@glorot_uniform.mistake("the fans of a convolution are missing the kh * kw cells of its window")
def _(shape, rng):
    return uniform(np.sqrt(6 / (shape[-2] + shape[-1])), shape, rng)


@glorot_uniform.mistake("an input reaches kh * kw windows, so fan_out is kh * kw * f, not f")
def _(shape, rng):
    return uniform(np.sqrt(6 / (fans(shape)[0] + shape[-1])), shape, rng)


@glorot_uniform.mistake("this takes the first two numbers of a convolution's shape for its fans")
def _(shape, rng):
    return uniform(np.sqrt(6 / (shape[0] + shape[1])), shape, rng)


@glorot_uniform.mistake("this reads the shape in PyTorch's order, (f, c, kh, kw)")
def _(shape, rng):
    return uniform(np.sqrt(6 / (np.prod(shape[2:], dtype=int) * (shape[0] + shape[1]))), shape, rng)


def single_steps():
    by_hand = {"learning_rate": 1.0, "beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.5}
    for t, (w, g, m, v) in enumerate([(10, 4, 0, 0), (9.2, 1, 2, 4), (8.6, -2, 1.5, 3.25)], 1):
        yield *(np.array([float(number)]) for number in (w, g, m, v)), t, *by_hand.values()
    g = np.array([-1e-6, 1e-4, -1.0, 300.0])
    m = np.array([3e-6, 2e-4, -0.5, -100.0])
    v = np.array([2e-12, 5e-8, 0.3, 2e4])
    for t in (1, 2, 50, 1000):
        remembers = t > 1
        w = np.array([0.5, -0.25, 0.0, 2.0])
        yield w, g, m * remembers, v * remembers, t, 0.25, 0.9, 0.999, 1e-7
    # A gradient of 0 moves a weight too, by what m remembers; arrays have any number of axes.
    two_rows = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
    yield (
        two_rows,
        np.array([[0.0, 2000, -5], [0, 1e-9, -3e4]]),
        two_rows,
        two_rows**2,
        2,
        0.5,
        0.8,
        0.9,
        1e-3,
    )


def new_moments(g, m, v, beta_1, beta_2):
    return m + (g - m) * (1 - beta_1), v + (g * g - v) * (1 - beta_2)


def corrections(t, beta_1, beta_2):
    return np.sqrt(1 - beta_2**t), 1 - beta_1**t


def moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """The weights after a step with these moments."""
    root, first = corrections(t, beta_1, beta_2)
    return w - learning_rate * root / first * m / (np.sqrt(v) + epsilon)


def require_step(t):
    if t < 1:
        raise ValueError(f"t = {t}, but the first step has t = 1")


@exercise(single_steps, tolerance=1e-12, run=returning("w", "m", "v"))
def adam_step(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    require_step(t)
    m, v = new_moments(g, m, v, beta_1, beta_2)
    return moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon), m, v


right = adam_step.reference


@adam_step.mistake("epsilon stands inside the root: sqrt(v + epsilon)")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = new_moments(g, m, v, beta_1, beta_2)
    root, first = corrections(t, beta_1, beta_2)
    return w - learning_rate * root / first * m / np.sqrt(v + epsilon), m, v


@adam_step.mistake("the learning rate is missing in alpha")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    return right(w, g, m, v, t, 1.0, beta_1, beta_2, epsilon)


@adam_step.mistake("w comes first: return w, m, v")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    w, m, v = right(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon)
    return m, v, w


@adam_step.mistake("each beta is raised to the power of t: 1 - beta**t")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = new_moments(g, m, v, beta_1, beta_2)
    return moved(w, m, v, 1, learning_rate, beta_1, beta_2, epsilon), m, v


@adam_step.mistake("beta_1 and beta_2 are swapped in alpha")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = new_moments(g, m, v, beta_1, beta_2)
    return moved(w, m, v, t, learning_rate, beta_2, beta_1, epsilon), m, v


@adam_step.mistake("m takes up (1 - beta_1) of g - m; here it takes up all of g")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    v, m = new_moments(g, m, v, beta_1, beta_2)[1], beta_1 * m + g
    return moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon), m, v


@adam_step.mistake("v takes up (1 - beta_2) of g * g - v; here it takes up all of g * g")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = new_moments(g, m, v, beta_1, beta_2)[0], beta_2 * v + g * g
    return moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon), m, v


@adam_step.mistake("the weight moves by the old m; the new one belongs there")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    new_m, v = new_moments(g, m, v, beta_1, beta_2)
    return moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon), new_m, v


@adam_step.mistake("the weight moves by the old v; the new one belongs there")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, new_v = new_moments(g, m, v, beta_1, beta_2)
    return moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon), m, new_v


@adam_step.mistake(
    "m and v are returned with their corrections; return them as they are remembered"
)
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = new_moments(g, m, v, beta_1, beta_2)
    root, first = corrections(t, beta_1, beta_2)
    m, v = m / first, v / root**2
    return w - learning_rate * m / (np.sqrt(v) + epsilon), m, v


@adam_step.mistake("a weight whose gradient is 0 moves on, by what m remembers")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    new_w, m, v = right(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon)
    return np.where(g == 0, w, new_w), m, v


@adam_step.refused
def _(w, g, m, v, t, *settings):  # large gradients are clipped
    return right(w, np.clip(g, -1000, 1000), m, v, t, *settings)


@adam_step.refused
def _(w, g, m, v, t, *settings):  # flat
    return tuple(array.ravel() for array in right(w, g, m, v, t, *settings))


@adam_step.mistake("epsilon is missing")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    return right(w, g, m, v, t, learning_rate, beta_1, beta_2, 0)


@adam_step.mistake("epsilon is corrected for bias, as in the paper's algorithm 1 and in PyTorch")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    root, _ = corrections(t, beta_1, beta_2)
    return right(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon * root)


def scaled_by(factor):
    """Adam with another factor in the place of sqrt(1 - beta_2^t) / (1 - beta_1^t)."""

    def wrong(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
        m, v = new_moments(g, m, v, beta_1, beta_2)
        alpha = learning_rate * factor(*corrections(t, beta_1, beta_2))
        return w - alpha * m / (np.sqrt(v) + epsilon), m, v

    return wrong


for sentence, factor in {
    "the bias correction is left out": lambda root, first: 1,
    "the bias corrections are multiplied; (1 - beta_1^t) divides": lambda root, first: root * first,
    "the bias correction is upside down": lambda root, first: first / root,
    "only m is corrected for its bias": lambda root, first: 1 / first,
    "only v is corrected for its bias": lambda root, first: root,
    "the root of 1 - beta_2^t is missing": lambda root, first: root**2 / first,
}.items():
    adam_step.mistake(sentence)(scaled_by(factor))


@adam_step.mistake("the first step has t = 1 already, there is no need to add 1")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    return right(w, g, m, v, t + 1, learning_rate, beta_1, beta_2, epsilon)


@adam_step.mistake("the corrections need beta to the power of t, not times t")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    if t > 1:
        raise ValueError  # the root of a negative number
    return right(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon)


@adam_step.mistake("beta_1 and beta_2 are swapped")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    return right(w, g, m, v, t, learning_rate, beta_2, beta_1, epsilon)


@adam_step.mistake("beta and 1 - beta are swapped: the new gradient gets the small share")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = new_moments(g, m, v, 1 - beta_1, 1 - beta_2)
    return moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon), m, v


@adam_step.mistake("m takes up 1 - beta_1 of g - m, not beta_1 of it")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = m + (g - m) * beta_1, v + (g * g - v) * (1 - beta_2)
    return moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon), m, v


@adam_step.mistake("v takes up 1 - beta_2 of g * g - v, not beta_2 of it")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = m + (g - m) * (1 - beta_1), v + (g * g - v) * beta_2
    return moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon), m, v


@adam_step.mistake("v is to remember the squares of gradients")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = m + (g - m) * (1 - beta_1), v + (abs(g) - v) * (1 - beta_2)
    return moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon), m, v


@adam_step.mistake("the root of v is missing")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = new_moments(g, m, v, beta_1, beta_2)
    root, first = corrections(t, beta_1, beta_2)
    return w - learning_rate * root / first * m / (v + epsilon), m, v


@adam_step.mistake("the weight goes against the gradient: w - ..., not w + ...")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    new_w, m, v = right(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon)
    return 2 * w - new_w, m, v


@adam_step.mistake("the weight moves by g; it is m that belongs there")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    m, v = new_moments(g, m, v, beta_1, beta_2)
    root, first = corrections(t, beta_1, beta_2)
    return w - learning_rate * root / first * g / (np.sqrt(v) + epsilon), m, v


@adam_step.mistake("the weight moves by the old m and v; the new ones belong there")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    new_w = moved(w, m, v, t, learning_rate, beta_1, beta_2, epsilon)
    return new_w, *new_moments(g, m, v, beta_1, beta_2)


@adam_step.mistake("m and v are remembered uncorrected; the correction is for this step alone")
def _(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    new_w, m, v = right(w, g, m, v, t, learning_rate, beta_1, beta_2, epsilon)
    root, first = corrections(t, beta_1, beta_2)
    return new_w, m / first, v / root**2


# What keras.optimizers.Adam made of four weights that start at 0 and get GRADIENTS, in double
# precision: Keras 3.15.1, TensorFlow 2.21. Its default numbers were handed to it as NumPy's, since
# it passes Python's own floats through single precision.
GRADIENTS = np.array([1e-6, 1e-3, 1.0, 1e3]) * (
    0.5 + np.sin(np.arange(1, 201)[:, None] * np.array([1, 2, 3, 4]))
)
KERAS = {  # by the number of the step, counted from 1
    1: (-0.000297856539197463, -0.00099776115548633, -0.000999995067597294, 0.000999999987685954),
    2: (-0.000679085478219455, -0.00152233070871428, -0.00187576983806258, 0.000380472986435607),
    3: (-0.0010464789918647, -0.00202020511377655, -0.00279224607088966, -8.28207565107341e-05),
    10: (-0.00292565577051594, -0.00614470788570989, -0.00743385635418253, -0.00389150347968732),
    30: (-0.00922028211864757, -0.0176013190576254, -0.0188286389741872, -0.0153731588605185),
    100: (-0.0363640381061383, -0.0576812495080549, -0.0590269841949239, -0.05568427556215),
    200: (-0.0802177897073729, -0.115285569604053, -0.116684528241172, -0.113448042025984),
}


def step(w, g, m, v, t):
    """`adam_step` with Keras' default numbers."""
    return right(w, g, m, v, t, 0.001, 0.9, 0.999, 1e-7)


def at_kept_steps(function, gradients, step):
    path = function(gradients, step)
    if path is None:
        return None
    path = np.asarray(path)
    if path.shape != gradients.shape:
        raise NotYet(
            f"expected the weights after each of {len(gradients)} steps, an array of shape "
            f"{gradients.shape}, got one of shape {path.shape}"
        )
    return {f"step {number}": path[number - 1] for number in KERAS if number <= len(path)}


def paths():
    return [(GRADIENTS[:3], step), (GRADIENTS[:10, :2], step), (GRADIENTS, step)]


@exercise(paths, tolerance=1e-12, run=at_kept_steps)
def adam(gradients, step):
    path = np.full(gradients.shape, np.nan)
    for number in KERAS:
        path[number - 1 : number] = KERAS[number][: gradients.shape[1]]
    return path


def wrong_path(gradients, step, t=lambda number: number, forget=()):
    """The weights after each step, if `t` counts steps and `forget` says what starts over."""
    state = {name: np.zeros(gradients.shape[1]) for name in "wmv"}
    path = []
    for number, g in enumerate(gradients, 1):
        state |= {name: np.zeros_like(g) for name in forget}
        state = dict(
            zip("wmv", step(state["w"], g, state["m"], state["v"], t(number)), strict=True)
        )
        path.append(state["w"])
    return np.array(path)


@adam.mistake("t stays 1: count the steps")
def _(gradients, step):
    return wrong_path(gradients, step, t=lambda number: 1)


@adam.mistake("the first step has t = 1, yours begins with 2")
def _(gradients, step):
    return wrong_path(gradients, step, t=lambda number: number + 1)


@adam.mistake("t counts steps, not weights: all weights of a step share one t")
def _(gradients, step):
    size = gradients.shape[1]
    return np.hstack(
        [
            wrong_path(column[:, None], step, t=lambda number, i=i: (number - 1) * size + i + 1)
            for i, column in enumerate(gradients.T)
        ]
    )


@adam.mistake("m and v start over in each step; hand them on")
def _(gradients, step):
    return wrong_path(gradients, step, forget="mv")


@adam.mistake("m starts over in each step; hand it on")
def _(gradients, step):
    return wrong_path(gradients, step, forget="m")


@adam.mistake("v starts over in each step; hand it on")
def _(gradients, step):
    return wrong_path(gradients, step, forget="v")


@adam.mistake("step returns w, m, v in this order; m and v are swapped")
def _(gradients, step):
    def swapped(w, g, m, v, t):
        w, v, m = step(w, g, m, v, t)
        return w, m, v

    return wrong_path(gradients, swapped)


@adam.refused
def _(gradients, step):  # four weights, always
    w, m, v = np.zeros((3, 4))
    path = []
    for t, g in enumerate(gradients, start=1):
        w, m, v = step(w, g, m, v, t)
        path.append(w)
    return np.array(path)


@adam.mistake("m, v and t start over in each step; hand them on")
def _(gradients, step):
    return wrong_path(gradients, step, t=lambda number: 1, forget="mv")


@adam.mistake("w starts over in each step: these are single moves, not the weights after them")
def _(gradients, step):
    return wrong_path(gradients, step, forget="w")


@adam.mistake("these are the weights before each step; those after it are wanted")
def _(gradients, step):
    return np.vstack([0 * gradients[:1], wrong_path(gradients, step)[:-1]])


class Box:
    """The first move of an Adam that hides its epsilon from the student."""

    def __init__(self, epsilon):
        self.epsilon = epsilon

    def __call__(self, g):
        g = np.asarray(g, float)
        moved, _, _ = right(0 * g, g, 0 * g, 0 * g, 1, 0.001, 0.9, 0.999, self.epsilon)
        return moved


@exercise(lambda: [(Box(epsilon),) for epsilon in (1e-7, 1e-8, 1e-3, 0.25)], tolerance=1e-10)
def epsilon_of(first_move):
    return first_move.epsilon


@epsilon_of.mistake("this is how it acts, 31.6 times larger than in the program")
def _(first_move):
    return first_move.epsilon / np.sqrt(0.001)


@epsilon_of.mistake(
    "it acts larger than it is: multiply by sqrt(1 - beta_2) = 0.0316, do not divide"
)
def _(first_move):
    return first_move.epsilon / 0.001


@epsilon_of.mistake("31.6 is rounded: multiply by np.sqrt(1 - 0.999) instead of dividing by it")
def _(first_move):
    return first_move.epsilon / np.sqrt(0.001) / 31.6


@epsilon_of.mistake("the factor is sqrt(1 - beta_2); the root is missing")
def _(first_move):
    return first_move.epsilon * np.sqrt(0.001)


@epsilon_of.mistake("the factor is that of beta_2, not of beta_1")
def _(first_move):
    return first_move.epsilon / np.sqrt(0.001) * np.sqrt(0.1)


@epsilon_of.mistake("the sign is wrong: a positive gradient moves the weight down")
def _(first_move):
    return -first_move.epsilon - 2 * np.sqrt(0.001)


def decays():
    by_hand = np.array([[4.0], [1.0], [-2.0]])
    yield np.array([10.0]), by_hand, 0.5, 0.5, 0.75, 0.5, 0.25
    rng = np.random.default_rng(0)
    for steps, decay in [(5, 0.1), (20, 0.004), (3, 0.0)]:
        gradients = rng.normal(size=(steps, 4)) * [1e-6, 0.01, 1, 300]
        gradients[1, 2] = 0  # the weight moves and decays all the same
        yield rng.normal(size=4), gradients, 0.01, 0.9, 0.999, 1e-7, decay


@exercise(decays, tolerance=1e-12)
def adamw(w, gradients, learning_rate, beta_1, beta_2, epsilon, decay):
    settings = learning_rate, beta_1, beta_2, epsilon
    return steps_of(w, gradients, settings, lambda w: w - learning_rate * decay * w)


def steps_of(w, gradients, settings, before=None, after=None, more=None):
    """Adam, with something done to the weights before or after it, or to the gradients."""
    m, v, path = np.zeros_like(w), np.zeros_like(w), []
    for t, g in enumerate(gradients, start=1):
        old = w
        w = before(w) if before else w
        w, m, v = right(w, g + more(w) if more else g, m, v, t, *settings)
        w = after(w, old) if after else w
        path.append(w)
    return np.array(path)


def decayed(**how):
    """A wrong `adamw`: each of `how` is called with the arrays, the learning rate and decay."""

    def wrong(w, gradients, learning_rate, beta_1, beta_2, epsilon, decay):
        settings = learning_rate, beta_1, beta_2, epsilon
        given = {
            name: lambda *arrays, each=each: each(*arrays, learning_rate, decay)
            for name, each in how.items()
        }
        return steps_of(w, gradients, settings, **given)

    return wrong


for sentence, how in {
    "the decay is in the gradient, and so in m and v; AdamW keeps it out of them": {
        "more": lambda w, lr, decay: decay * w
    },
    "the decay is in the gradient with its factor 2, and so in m and v": {
        "more": lambda w, lr, decay: 2 * decay * w
    },
    "the decay has to be multiplied by the learning rate, too": {
        "before": lambda w, lr, decay: w - decay * w
    },
    "the weights decay before the step; here they do so after it": {
        "after": lambda w, old, lr, decay: w - lr * decay * w
    },
    "weights have to shrink: the decay is subtracted": {
        "before": lambda w, lr, decay: w + lr * decay * w
    },
    "the decay is missing: this is Adam": {"before": lambda w, lr, decay: w},
    "the same amount is taken off all weights; the share of each is the same": {
        "before": lambda w, lr, decay: w - lr * decay
    },
    "the sign alone decays: the amount has to be in proportion to the weight": {
        "before": lambda w, lr, decay: w - lr * decay * np.sign(w)
    },
}.items():
    adamw.mistake(sentence)(decayed(**how))


@adamw.mistake("a weight whose gradient is 0 decays and moves on all the same")
def _(w, gradients, learning_rate, beta_1, beta_2, epsilon, decay):
    m, v, path = np.zeros_like(w), np.zeros_like(w), []
    for t, g in enumerate(gradients, start=1):
        lower = w - learning_rate * decay * w
        new_w, m, v = right(lower, g, m, v, t, learning_rate, beta_1, beta_2, epsilon)
        w = np.where(g == 0, w, new_w)
        path.append(w)
    return np.array(path)


@adamw.mistake("each step takes its share of the weight as it is then, not of the initial one")
def _(w, gradients, learning_rate, beta_1, beta_2, epsilon, decay):
    start, settings = w, (learning_rate, beta_1, beta_2, epsilon)
    return steps_of(w, gradients, settings, lambda w: w - learning_rate * decay * start)


@adamw.refused
def _(w, gradients, *settings):  # the last weights alone
    return adamw.reference(w, gradients, *settings)[-1]


@adamw.refused
def _(w, gradients, *settings):  # the start, and all but the last
    return np.vstack([w, adamw.reference(w, gradients, *settings)[:-1]])
