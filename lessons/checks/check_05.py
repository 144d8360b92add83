"""Lesson 5: max pooling and its winners, its backward pass, the rule that shares among ties."""

import itertools

import numpy as np

from .engine import exercise, returning

TINY = np.array([[1.0, 2, 0, 0], [0, 1, 0, 0], [2, 0, 3, 1], [0, 1, 1, 3]])


def few_values(seed, *shape):
    """Whole numbers from -2 to 2, among which ties are the rule."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(float)


def images():
    """Images (h, w, c) with pairs pool_size and strides: easy ones first."""
    yield TINY[..., None], (2, 2), (2, 2)
    yield -1 - TINY[..., None], (2, 2), (2, 2)
    sizes = [(4, 6, 2, (2, 3), (2, 3)), (5, 5, 2, (2, 2), (2, 2)), (4, 4, 1, (2, 2), (1, 1))]
    sizes += [(7, 6, 2, (3, 2), (2, 1)), (6, 9, 3, (2, 3), (3, 4)), (9, 7, 1, (2, 3), (3, 2))]
    sizes += [(7, 8, 2, (3, 3), (2, 2)), (4, 7, 2, (1, 3), (3, 3))]
    for seed, (h, w, c, pool_size, strides) in enumerate(sizes):
        yield few_values(seed, h, w, c), pool_size, strides
    yield few_values(9, 4, 4, 2) / 4, (2, 2), (2, 2)  # fractions
    yield 1 + few_values(10, 6, 6, 1) * 1e-9, (2, 2), (2, 2)  # close to each other, not tied
    yield few_values(11, 4, 6, 1) - 1e6, (2, 2), (2, 2)  # below any finite start


def cells_of(x, pool_size, strides):
    """The cells of every window in a row: (oh, ow, c, kh*kw)."""
    (kh, kw), (sh, sw) = pool_size, strides
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (0, 1))[::sh, ::sw]
    return windows.reshape(*windows.shape[:3], kh * kw)


@exercise(images, run=returning("y", "winner"))
def max_pool(x, pool_size, strides):
    cells = cells_of(x, pool_size, strides)
    return cells.max(-1), cells.argmax(-1)


right = max_pool.reference


@max_pool.mistake("among equals the first one wins, not the last: write > for >=")
def _(x, pool_size, strides):
    cells = cells_of(x, pool_size, strides)
    return cells.max(-1), cells.shape[-1] - 1 - cells[..., ::-1].argmax(-1)


@max_pool.mistake("the largest of negative numbers is negative: do not start from 0")
def _(x, pool_size, strides):
    y, winner = right(x, pool_size, strides)
    return np.maximum(y, 0), np.where(y > 0, winner, 0)


@max_pool.mistake("a row of the window has kw cells: its cell has the number ki * kw + kj")
def _(x, pool_size, strides):
    y, winner = right(x, pool_size, strides)
    kh, kw = pool_size
    return y, winner // kw * kh + winner % kw


@max_pool.mistake("cells are numbered row by row, not column by column")
def _(x, pool_size, strides):
    y, winner = right(x, pool_size, strides)
    kh, kw = pool_size
    return y, winner % kw * kh + winner // kw


@max_pool.mistake("windows are searched row by row; column by column another maximum comes first")
def _(x, pool_size, strides):
    kh, kw = pool_size
    y, winner = right(x.transpose(1, 0, 2), (kw, kh), strides[::-1])
    return y.transpose(1, 0, 2), (winner % kh * kw + winner // kh).transpose(1, 0, 2)


@max_pool.mistake("cells are counted in their window, from 0 to kh * kw - 1, not in the image")
def _(x, pool_size, strides):
    y, winner = right(x, pool_size, strides)
    (_, kw), (sh, sw) = pool_size, strides
    i, j, _ = np.indices(winner.shape)
    return y, (i * sh + winner // kw) * x.shape[1] + j * sw + winner % kw


@max_pool.mistake("windows move on by the strides, not by their own size")
def _(x, pool_size, strides):
    return right(x, pool_size, pool_size)


@max_pool.mistake("windows move on by the strides, not by one cell")
def _(x, pool_size, strides):
    return right(x, pool_size, (1, 1))


@max_pool.mistake("the strides are swapped: sh goes down, sw across")
def _(x, pool_size, strides):
    return right(x, pool_size, strides[::-1])


@max_pool.mistake("every channel has winners of its own")
def _(x, pool_size, strides):
    y, winner = right(x, pool_size, strides)
    return y, np.repeat(winner[..., :1], y.shape[-1], axis=-1)


@max_pool.mistake("a last window that does not fit is dropped")
def _(x, pool_size, strides):
    pairs = zip(x.shape, pool_size, strides, strict=False)
    after = [(0, max(-(-(n - k) // s) * s + k - n, 0)) for n, k, s in pairs]
    return right(np.pad(x, [*after, (0, 0)], constant_values=-np.inf), pool_size, strides)


@max_pool.mistake("windows go row by row in both: the search and the numbers of the cells")
def _(x, pool_size, strides):
    kh, kw = pool_size
    y, winner = right(x.transpose(1, 0, 2), (kw, kh), strides[::-1])
    return y.transpose(1, 0, 2), winner.transpose(1, 0, 2)


@max_pool.mistake("the window's sides are swapped: kh goes down, kw across")
def _(x, pool_size, strides):
    return right(x, pool_size[::-1], strides)


@max_pool.mistake("sh is the stride down, sw the stride across: sh is used for both")
def _(x, pool_size, strides):
    return right(x, pool_size, (strides[0], strides[0]))


@max_pool.mistake("each channel is pooled separately; channel 0 is used for all")
def _(x, pool_size, strides):
    return right(np.repeat(x[..., :1], x.shape[-1], axis=-1), pool_size, strides)


@max_pool.mistake("y comes first: return y, winner")
def _(x, pool_size, strides):
    return right(x, pool_size, strides)[::-1]


@max_pool.refused
def _(x, pool_size, strides):  # starts from a number that is not low enough
    y, winner = right(x, pool_size, strides)
    return np.maximum(y, -1000), np.where(y > -1000, winner, 0)


@max_pool.refused
def _(x, pool_size, strides):  # nearly equal ones are taken for ties
    cells = cells_of(x, pool_size, strides)
    return cells.max(-1), np.isclose(cells, cells.max(-1, keepdims=True), atol=1e-3).argmax(-1)


@max_pool.refused
def _(x, pool_size, strides):  # half precision
    y, winner = right(x, pool_size, strides)
    with np.errstate(over="ignore"):
        return y.astype(np.float16), winner


@max_pool.refused
def _(x, pool_size, strides):  # windows of at most six cells
    y, winner = right(x, pool_size, strides)
    return y, winner % 6


@max_pool.refused
def _(x, pool_size, strides):  # a window is taken to be as large as its stride
    sizes = zip(x.shape, pool_size, strides, strict=False)
    oh, ow = (max((n - max(k, s)) // s + 1, 1) for n, k, s in sizes)
    return tuple(each[:oh, :ow] for each in right(x, pool_size, strides))


@max_pool.refused
def _(x, pool_size, strides):  # np.zeros(..., int)
    y, winner = right(x, pool_size, strides)
    return y.astype(int), winner


@max_pool.refused
def _(x, pool_size, strides):  # the smallest wins
    y, winner = right(-x, pool_size, strides)
    return -y, winner


@max_pool.refused
def _(x, pool_size, strides):  # the mean
    return cells_of(x, pool_size, strides).mean(-1), right(x, pool_size, strides)[1]


@max_pool.refused
def _(x, pool_size, strides):  # all winners in the first cell
    y, winner = right(x, pool_size, strides)
    return y, 0 * winner


def backward_cases():
    for seed, (x, pool_size, strides) in enumerate(images()):
        winner = right(x, pool_size, strides)[1]
        # All different and none zero, so that no two of them can be taken for each other.
        dy = np.random.default_rng(seed).permutation(winner.size) + 1.5 - winner.size // 2
        yield dy.reshape(winner.shape), winner, x.shape, pool_size, strides


def scatter(dy, winner, x_shape, strides, cell, add=True):
    """Each dy to cell(number) = (ki, kj) of its window."""
    dx = np.zeros(x_shape)
    for i, j, ch in np.ndindex(dy.shape):
        ki, kj = cell(winner[i, j, ch])
        place = i * strides[0] + ki, j * strides[1] + kj, ch
        dx[place] = dy[i, j, ch] + add * dx[place]
    return dx


@exercise(backward_cases)
def max_pool_backward(dy, winner, x_shape, pool_size, strides):
    return scatter(dy, winner, x_shape, strides, lambda cell: divmod(cell, pool_size[1]))


@max_pool_backward.mistake("a cell that wins several windows gets the sum: write += for =")
def _(dy, winner, x_shape, pool_size, strides):
    return scatter(dy, winner, x_shape, strides, lambda cell: divmod(cell, pool_size[1]), add=False)


@max_pool_backward.mistake("a row of the window has kw cells: divide the winner by kw, not by kh")
def _(dy, winner, x_shape, pool_size, strides):
    return scatter(dy, winner, x_shape, strides, lambda cell: divmod(cell, pool_size[0]))


@max_pool_backward.mistake("winner // kw is the row in the window, winner % kw the column")
def _(dy, winner, x_shape, pool_size, strides):
    return scatter(dy, winner, x_shape, strides, lambda cell: divmod(cell, pool_size[1])[::-1])


@max_pool_backward.mistake("it goes to the winner, not to the first cell of the window")
def _(dy, winner, x_shape, pool_size, strides):
    return scatter(dy, winner, x_shape, strides, lambda cell: (0, 0))


@max_pool_backward.mistake("window (i, j) starts at i * sh, j * sw, not at i * kh, j * kw")
def _(dy, winner, x_shape, pool_size, strides):
    return scatter(dy, winner, x_shape, pool_size, lambda cell: divmod(cell, pool_size[1]))


@max_pool_backward.mistake("window (i, j) starts at i * sh, j * sw: the strides are forgotten")
def _(dy, winner, x_shape, pool_size, strides):
    return scatter(dy, winner, x_shape, (1, 1), lambda cell: divmod(cell, pool_size[1]))


@max_pool_backward.mistake("the winner gets its window's dy, not 1")
def _(dy, winner, x_shape, pool_size, strides):
    return max_pool_backward.reference(np.ones_like(dy), winner, x_shape, pool_size, strides)


@max_pool_backward.mistake("every cell gets a share: this is the backward pass of the mean")
def _(dy, winner, x_shape, pool_size, strides):
    every = itertools.product(*map(range, pool_size))
    ways = [scatter(dy, winner, x_shape, strides, lambda _, to=to: to) for to in every]
    return sum(ways) / len(ways)


@max_pool_backward.mistake("each channel has winners of its own; the others' get nothing")
def _(dy, winner, x_shape, pool_size, strides):
    dx = max_pool_backward.reference(dy, winner, x_shape, pool_size, strides)
    return np.zeros(x_shape) + dx.sum(-1, keepdims=True)


@max_pool_backward.mistake("the strides are swapped: sh goes down, sw across")
def _(dy, winner, x_shape, pool_size, strides):
    return max_pool_backward.reference(dy, winner, x_shape, pool_size, strides[::-1])


@max_pool_backward.mistake("sh is the stride down, sw the stride across: sh is used for both")
def _(dy, winner, x_shape, pool_size, strides):
    return max_pool_backward.reference(dy, winner, x_shape, pool_size, (strides[0], strides[0]))


@max_pool_backward.mistake("the winner gets dy, not minus dy")
def _(dy, winner, x_shape, pool_size, strides):
    return max_pool_backward.reference(-dy, winner, x_shape, pool_size, strides)


@max_pool_backward.mistake("dy may be negative: pass it on with its sign")
def _(dy, winner, x_shape, pool_size, strides):
    return max_pool_backward.reference(np.abs(dy), winner, x_shape, pool_size, strides)


@max_pool_backward.mistake(
    "each channel has winners of its own; those of channel 0 are used for all"
)
def _(dy, winner, x_shape, pool_size, strides):
    first = np.repeat(winner[..., :1], winner.shape[-1], axis=-1)
    return max_pool_backward.reference(dy, first, x_shape, pool_size, strides)


@max_pool_backward.refused
def _(dy, winner, x_shape, pool_size, strides):  # negative gradients are dropped
    return max_pool_backward.reference(np.maximum(dy, 0), winner, x_shape, pool_size, strides)


@max_pool_backward.refused
def _(dy, winner, x_shape, pool_size, strides):  # np.zeros(..., int)
    return max_pool_backward.reference(dy, winner, x_shape, pool_size, strides).astype(int)


@max_pool_backward.refused
def _(dy, winner, x_shape, pool_size, strides):  # of the sign of dy only
    return max_pool_backward.reference(np.sign(dy), winner, x_shape, pool_size, strides)


@max_pool_backward.refused
def _(dy, winner, x_shape, pool_size, strides):  # nothing at all
    return np.zeros(x_shape)


def ties():
    yield TINY, np.array([[1.0, 2], [3, 4]])
    yield TINY.astype(int), np.array([[1, 2], [3, 4]])  # as in the notebook
    for seed, (h, w) in enumerate([(2, 4), (6, 4), (4, 8)]):
        dy = (np.random.default_rng(seed).permutation(h * w // 4) + 1.0).reshape(h // 2, w // 2)
        yield few_values(seed, h, w), dy
        yield few_values(seed, h, w) - 3, -dy  # all of them below 0
        yield 1 + few_values(seed, h, w) * 1e-9, dy  # close to each other, not tied


def blocks(x):
    """(h/2, w/2, 4), row by row."""
    h, w = x.shape
    return x.reshape(h // 2, 2, w // 2, 2).transpose(0, 2, 1, 3).reshape(h // 2, w // 2, 4)


def unblocks(cells):
    oh, ow, _ = cells.shape
    return cells.reshape(oh, ow, 2, 2).transpose(0, 2, 1, 3).reshape(2 * oh, 2 * ow)


def tied_cells(x):
    cells = blocks(x)
    return cells == cells.max(-1, keepdims=True)


@exercise(ties, tolerance=1e-9)
def equal_shares(x, dy):
    tied = tied_cells(x)
    return unblocks(tied * dy[..., None] / tied.sum(-1, keepdims=True))


@equal_shares.mistake("a window pays out more than it got: divide by the number of its tied cells")
def _(x, dy):
    return unblocks(tied_cells(x) * dy[..., None])


@equal_shares.mistake("the first takes all: this is the rule of exercise 2")
def _(x, dy):
    return unblocks((blocks(x).argmax(-1)[..., None] == np.arange(4)) * dy[..., None])


@equal_shares.mistake("tied cells get a share each; cells below the maximum get nothing")
def _(x, dy):
    return unblocks(np.repeat(dy[..., None] / 4, 4, axis=-1))


@equal_shares.mistake("shared among the tied cells only, which need not be four")
def _(x, dy):
    return unblocks(tied_cells(x) * dy[..., None] / 4)


@equal_shares.mistake("tied cells are counted window by window, not in the whole image")
def _(x, dy):
    tied = tied_cells(x)
    return unblocks(tied * dy[..., None] / tied.sum())


@equal_shares.mistake("divide by the number of tied cells, which may be three or four")
def _(x, dy):
    tied = tied_cells(x)
    return unblocks(tied * dy[..., None] / np.minimum(tied.sum(-1, keepdims=True), 2))


@equal_shares.mistake("zeros can be a maximum too")
def _(x, dy):
    return np.where(x == 0, 0, equal_shares.reference(x, dy))


@equal_shares.mistake("a window has two rows; four cells in a row of the image are none")
def _(x, dy):
    cells = x.reshape(*dy.shape, 4)
    tied = cells == cells.max(-1, keepdims=True)
    return (tied * dy[..., None] / tied.sum(-1, keepdims=True)).reshape(x.shape)


@equal_shares.mistake("each window has its own maximum; that of the whole image is another one")
def _(x, dy):
    tied = blocks(x) == x.max()
    return unblocks(tied * dy[..., None] / np.maximum(tied.sum(-1, keepdims=True), 1))


@equal_shares.mistake("x may hold integers, but shares do not: make dx with np.zeros(x.shape)")
def _(x, dy):
    return equal_shares.reference(x, dy).astype(x.dtype)


@equal_shares.mistake("dy may be negative: pass it on with its sign")
def _(x, dy):
    return equal_shares.reference(x, np.abs(dy))


@equal_shares.refused
def _(x, dy):  # the maximum starts from 0
    tied = blocks(x) == np.maximum(blocks(x).max(-1, keepdims=True), 0)
    with np.errstate(invalid="ignore"):
        return unblocks(tied * dy[..., None] / tied.sum(-1, keepdims=True))


@equal_shares.refused
def _(x, dy):  # in single precision, where more of them are equal
    return equal_shares.reference(x.astype(np.float32), dy)


@equal_shares.refused
def _(x, dy):  # nearly equal ones are taken for ties
    tied = np.isclose(blocks(x), blocks(x).max(-1, keepdims=True), atol=1e-3)
    return unblocks(tied * dy[..., None] / tied.sum(-1, keepdims=True))


@equal_shares.refused
def _(x, dy):  # negative gradients are dropped
    return equal_shares.reference(x, np.maximum(dy, 0))


@equal_shares.refused
def _(x, dy):  # np.zeros(..., int)
    return equal_shares.reference(x, dy).astype(int)


@equal_shares.refused
def _(x, dy):  # rounded
    return equal_shares.reference(x, dy).round()


def padded_cases():
    for seed, (h, w, c, pool_size, strides) in enumerate(
        [
            (4, 4, 1, (2, 2), (2, 2)),
            (5, 7, 2, (2, 2), (2, 2)),
            (7, 6, 2, (3, 2), (2, 1)),
            (8, 9, 1, (3, 5), (3, 2)),
            (6, 5, 3, (1, 3), (2, 1)),
            (6, 6, 1, (1, 1), (3, 3)),  # strides leave cells out, so nothing has to be added
            (1, 1, 1, (3, 3), (1, 1)),  # a window that reaches over both edges
            (2, 3, 2, (5, 4), (1, 2)),
        ]
    ):
        shape = -(-h // strides[0]), -(-w // strides[1]), c
        dy = np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape) / 4 - 1.1
        yield dy, (h, w, c), pool_size, strides
        if seed == 0:  # integers, of which the shares are none
            yield np.arange(1, 5).reshape(shape), (h, w, c), pool_size, strides


def before(n, k, s):
    return max((-(-n // s) - 1) * s + k - n, 0) // 2


def spread_mean(dy, x_shape, pool_size, strides, before=before, share=lambda real, all_: 1 / real):
    """Each dy times share(cells that exist, cells of a window) to all cells of its window."""
    sizes = list(zip(x_shape, pool_size, strides, strict=False))
    top, left = (before(*size) for size in sizes)
    dx = np.zeros(x_shape)
    for i, j in np.ndindex(dy.shape[:2]):
        r, c = i * strides[0] - top, j * strides[1] - left
        window = dx[max(r, 0) : r + pool_size[0], max(c, 0) : c + pool_size[1]]
        real = window.shape[0] * window.shape[1]
        window += dy[i, j] * (share(real, pool_size[0] * pool_size[1]) if real else 0)
    return dx


@exercise(padded_cases, tolerance=1e-9)
def average_pool_backward(dy, x_shape, pool_size, strides):
    return spread_mean(dy, x_shape, pool_size, strides)


@average_pool_backward.mistake("cells of padding do not count: divide by the cells that exist")
def _(dy, x_shape, pool_size, strides):
    return spread_mean(dy, x_shape, pool_size, strides, share=lambda real, all_: 1 / all_)


@average_pool_backward.mistake("a mean divides: each cell gets a share of dy, not all of it")
def _(dy, x_shape, pool_size, strides):
    return spread_mean(dy, x_shape, pool_size, strides, share=lambda real, all_: 1)


@average_pool_backward.mistake("all windows begin inside the image: the padding is forgotten")
def _(dy, x_shape, pool_size, strides):
    return spread_mean(dy, x_shape, pool_size, strides, before=lambda n, k, s: 0)


@average_pool_backward.mistake("of an odd padding the larger half is at the end (lesson 3)")
def _(dy, x_shape, pool_size, strides):
    def larger_first(n, k, s):
        missing = max((-(-n // s) - 1) * s + k - n, 0)
        return -(-missing // 2)

    return spread_mean(dy, x_shape, pool_size, strides, before=larger_first)


@average_pool_backward.mistake("this is PyTorch's symmetric padding, k // 2 on each side")
def _(dy, x_shape, pool_size, strides):
    return spread_mean(dy, x_shape, pool_size, strides, before=lambda n, k, s: k // 2)


@average_pool_backward.mistake("the strides are swapped: sh goes down, sw across")
def _(dy, x_shape, pool_size, strides):
    return spread_mean(dy, x_shape, pool_size, strides[::-1])


@average_pool_backward.mistake(
    "this padding is half of the window; half of what is missing is right"
)
def _(dy, x_shape, pool_size, strides):
    return spread_mean(dy, x_shape, pool_size, strides, before=lambda n, k, s: (k - 1) // 2)


@average_pool_backward.mistake("no padding is below 0: take max(..., 0) of what is missing")
def _(dy, x_shape, pool_size, strides):
    def signed(n, k, s):
        return ((-(-n // s) - 1) * s + k - n) // 2

    return spread_mean(dy, x_shape, pool_size, strides, before=signed)


@average_pool_backward.mistake(
    "the padding above is used on the left too; the columns have their own"
)
def _(dy, x_shape, pool_size, strides):
    top = before(x_shape[0], pool_size[0], strides[0])
    return spread_mean(dy, x_shape, pool_size, strides, before=lambda n, k, s: top)


@average_pool_backward.mistake(
    "a window that begins above the image ends in row r + kh all the same"
)
def _(dy, x_shape, pool_size, strides):
    top, left = map(before, x_shape[:2], pool_size, strides)
    dx = np.zeros(x_shape)
    for i, j in np.ndindex(dy.shape[:2]):
        r, c = max(i * strides[0] - top, 0), max(j * strides[1] - left, 0)
        window = dx[r : r + pool_size[0], c : c + pool_size[1]]
        window += dy[i, j] / (window.shape[0] * window.shape[1])
    return dx


@average_pool_backward.mistake("dy may be negative: pass it on with its sign")
def _(dy, x_shape, pool_size, strides):
    return spread_mean(np.abs(dy), x_shape, pool_size, strides)


@average_pool_backward.mistake("a cell in several windows gets the sum of its shares: write +=")
def _(dy, x_shape, pool_size, strides):
    (top, left), dx = map(before, x_shape[:2], pool_size, strides), np.zeros(x_shape)
    for i, j in np.ndindex(dy.shape[:2]):
        r, c = i * strides[0] - top, j * strides[1] - left
        window = dx[max(r, 0) : r + pool_size[0], max(c, 0) : c + pool_size[1]]
        window[...] = dy[i, j] / (window.shape[0] * window.shape[1])
    return dx


@average_pool_backward.refused
def _(dy, x_shape, pool_size, strides):  # counts the cells beyond one edge only
    (top, left), (h, w, _) = map(before, x_shape[:2], pool_size, strides), x_shape
    dx = np.zeros(x_shape)
    for i, j in np.ndindex(dy.shape[:2]):
        r, c = i * strides[0] - top, j * strides[1] - left
        rows = pool_size[0] + r if r < 0 else min(pool_size[0], h - r)
        columns = pool_size[1] + c if c < 0 else min(pool_size[1], w - c)
        dx[max(r, 0) : r + pool_size[0], max(c, 0) : c + pool_size[1]] += dy[i, j] / rows / columns
    return dx


@average_pool_backward.refused
def _(dy, x_shape, pool_size, strides):  # int(... / 2) of a negative number is rounded up
    def rounded_to_zero(n, k, s):
        return int(((-(-n // s) - 1) * s + k - n) / 2)

    return spread_mean(dy, x_shape, pool_size, strides, before=rounded_to_zero)


@average_pool_backward.refused
def _(dy, x_shape, pool_size, strides):  # np.zeros(x_shape, dy.dtype)
    return spread_mean(dy, x_shape, pool_size, strides).astype(dy.dtype)


@average_pool_backward.refused
def _(dy, x_shape, pool_size, strides):  # np.zeros(..., int)
    return spread_mean(dy, x_shape, pool_size, strides).astype(int)


@average_pool_backward.refused
def _(dy, x_shape, pool_size, strides):  # one channel
    return spread_mean(dy, x_shape, pool_size, strides)[..., :1] + np.zeros(x_shape)
