"""Lesson 15: a convolution as one matrix product, and as 64 with fewer products in all."""

import numpy as np

from . import check_02
from .engine import exercise, returning

SEVEN = [0.0, 1, -1, 2, -2, 0.5, -0.5]


def product_cases():
    yield from check_02.conv_cases()
    rng = np.random.default_rng(15)  # numbers that half precision cannot hold
    yield tuple(rng.normal(size=shape) for shape in [(6, 5, 3), (3, 2, 3, 2), (2,)])


@exercise(product_cases, tolerance=1e-9)
def conv_by_product(x, kernel, bias):
    return check_02.conv_valid.reference(x, kernel, bias)


def windows_of(x, kernel):
    """(oh, ow, kh, kw, c), the cells of each window in the order of the kernel's."""
    views = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (0, 1))
    return np.moveaxis(views, 2, 4)


def product(windows, kernel, bias):
    oh, ow, *_ = windows.shape
    return windows.reshape(oh * ow, -1) @ kernel.reshape(-1, kernel.shape[3]) + bias


@conv_by_product.mistake(
    "sliding_window_view gives a window as (c, kh, kw), but a filter lies as (kh, kw, c); transpose"
)
def _(x, kernel, bias):
    windows = windows_of(x, kernel)
    oh, ow, *_ = windows.shape
    return product(np.moveaxis(windows, 4, 2), kernel, bias).reshape(oh, ow, -1)


@conv_by_product.mistake(
    "the kernel is (..., f): reshape(f, ...) cuts the filters to pieces; let f stay the last axis"
)
def _(x, kernel, bias):
    windows = windows_of(x, kernel)
    oh, ow, *_ = windows.shape
    f = kernel.shape[3]
    return (windows.reshape(oh * ow, -1) @ kernel.reshape(f, -1).T + bias).reshape(oh, ow, f)


@conv_by_product.mistake("the bias is missing")
def _(x, kernel, bias):
    return conv_by_product.reference(x, kernel, 0 * bias)


@conv_by_product.mistake("the bias is added to every product, not once an output")
def _(x, kernel, bias):
    return conv_by_product.reference(x, kernel, bias * kernel[..., 0].size)


@conv_by_product.mistake("each filter has its own bias; this adds the first one to all")
def _(x, kernel, bias):
    return conv_by_product.reference(x, kernel, np.full_like(bias, bias[0]))


@conv_by_product.mistake("a window's products are added up; this is their mean")
def _(x, kernel, bias):
    return conv_by_product.reference(x, kernel / kernel[..., 0].size, bias)


@conv_by_product.mistake("height and width of the output are swapped")
def _(x, kernel, bias):
    windows = windows_of(x, kernel)
    oh, ow, *_ = windows.shape
    return product(windows, kernel, bias).reshape(ow, oh, -1)


@conv_by_product.mistake(
    "the product is (oh * ow, f): the filters are its last axis, not its first"
)
def _(x, kernel, bias):
    windows = windows_of(x, kernel)
    oh, ow, *_ = windows.shape
    return product(windows, kernel, bias).reshape(-1, oh, ow).transpose(1, 2, 0)


@conv_by_product.mistake("in cols the windows stand column by column; row by row is expected")
def _(x, kernel, bias):
    windows = windows_of(x, kernel)
    oh, ow, *_ = windows.shape
    return product(windows.swapaxes(0, 1), kernel, bias).reshape(oh, ow, -1)


@conv_by_product.mistake("the kernel is turned by half a turn; lesson 2 slides it as it is")
def _(x, kernel, bias):
    return conv_by_product.reference(x, np.ascontiguousarray(kernel[::-1, ::-1]), bias)


@conv_by_product.refused
def _(x, kernel, bias):  # half precision
    half = (array.astype(np.float16) for array in (x, kernel, bias))
    return conv_by_product.reference(*half).astype(float)


@conv_by_product.refused
def _(x, kernel, bias):  # np.zeros(..., int)
    return conv_by_product.reference(x, kernel, bias).astype(int)


def point_cases():
    for points, m, r in [([0, 1], 2, 2), ([0, 1, -1], 2, 3), ([0, 1, -1], 3, 2)]:
        yield np.array(points, float), m, r
    yield np.array([0, 1, -1, 2, -2.0]), 4, 3
    yield np.array([0, 2, -1, 0.5]), 3, 3
    yield np.array(SEVEN), 4, 5


def powers(points, count, at_infinity=-1):
    """A row for each point, and one for infinity."""
    rows = np.zeros((len(points) + 1, count))
    rows[:-1] = points[:, None] ** np.arange(count)
    rows[-1, at_infinity] = 1
    return rows


@exercise(point_cases, tolerance=1e-9, run=returning("A", "B", "G"))
def transforms(points, m, r):
    inverse = np.linalg.inv(powers(points, m + r - 1))
    return powers(points, m), inverse, powers(points, r)


@transforms.mistake("B takes values back to coefficients: it is the inverse of the powers")
def _(points, m, r):
    return powers(points, m), powers(points, m + r - 1), powers(points, r)


@transforms.mistake("this is B', the transpose of B; the formula transposes it")
def _(points, m, r):
    a, b, g = transforms.reference(points, m, r)
    return a, b.T, g


@transforms.mistake("A belongs to the m outputs, G to the r cells of the kernel")
def _(points, m, r):
    a, b, g = transforms.reference(points, m, r)
    return g, b, a


@transforms.mistake("at infinity the highest power alone counts: the row is 0, ..., 0, 1")
def _(points, m, r):
    b = np.linalg.inv(powers(points, m + r - 1))
    return powers(points, m, 0), b, powers(points, r, 0)


@transforms.mistake("the powers go up: 1, p, p ** 2, ...; np.vander needs increasing=True")
def _(points, m, r):
    inverse = np.linalg.inv(powers(points, m + r - 1)[:, ::-1])
    return powers(points, m)[:, ::-1], inverse, powers(points, r)[:, ::-1]


@transforms.mistake("A and G have a row for each point, not a column")
def _(points, m, r):
    a, b, g = transforms.reference(points, m, r)
    return a.T, b, g.T


@transforms.mistake("the row of infinity is the last one, not the first")
def _(points, m, r):
    a, b, g = transforms.reference(points, m, r)
    return np.roll(a, 1, 0), np.roll(b, 1, 1), np.roll(g, 1, 0)


@transforms.mistake("the three are expected in the order A, B, G")
def _(points, m, r):
    a, b, g = transforms.reference(points, m, r)
    return a, g, b


def sizes():
    telling = [(4, 3, 2), (14, 5, 4), (14, 5, 2), (7, 3, 6)]
    every = [(n, r, m) for n in range(1, 33) for r in (2, 3, 5, 7) for m in range(1, 9)]
    return telling + [case for case in every if case not in telling]


@exercise(sizes)
def products_of(n, r, m):
    return (-(-n // m)) ** 2 * (m + r - 1) ** 2


@products_of.mistake("a tile that is needed in part is needed: round n / m up")
def _(n, r, m):
    return (n // m) ** 2 * (m + r - 1) ** 2


@products_of.mistake("tiles stand in rows and in columns: round up n / m for each, then square")
def _(n, r, m):
    return -(-n * n // m**2) * (m + r - 1) ** 2


@products_of.mistake("if n / m is a whole number, n // m + 1 is one tile too many: round up")
def _(n, r, m):
    return (n // m + 1) ** 2 * (m + r - 1) ** 2


@products_of.mistake("tiles stand in rows and in columns: their number has to be squared")
def _(n, r, m):
    return -(-n // m) * (m + r - 1) ** 2


@products_of.mistake('with "same" padding there are n outputs in a row, not n - r + 1')
def _(n, r, m):
    return (-(-(n - r + 1) // m)) ** 2 * (m + r - 1) ** 2


@products_of.mistake("there is no part of a tile: n / m has to be rounded up")
def _(n, r, m):
    return (n / m) ** 2 * (m + r - 1) ** 2


@products_of.mistake("this is one dimension; rows and columns need a square each")
def _(n, r, m):
    return -(-n // m) * (m + r - 1)


@products_of.mistake("these are the products of the formula, r * r for each output")
def _(n, r, m):
    return n * n * r * r


@products_of.mistake(
    "this is the formula, also for the outputs of the last tiles that fall outside"
)
def _(n, r, m):
    return (-(-n // m)) ** 2 * m * m * r * r


@products_of.mistake("a tile has m + r - 1 points in each direction, not m + r")
def _(n, r, m):
    return (-(-n // m)) ** 2 * (m + r) ** 2


@products_of.mistake(
    "a tile has (m + r - 1) squared products; m squared is how many outputs it has"
)
def _(n, r, m):
    return (-(-n // m)) ** 2 * m * m


@products_of.mistake("this counts one tile; how many are there?")
def _(n, r, m):
    return (m + r - 1) ** 2


@products_of.mistake("tiles overlap: they stand m apart, not m + r - 1")
def _(n, r, m):
    return (-(-n // (m + r - 1))) ** 2 * (m + r - 1) ** 2


def tile_cases():
    tiny = np.array([[1.0, 2, 0], [0, 1, 3], [2, 0, 1]]), np.array([[1.0, -1], [2, 0]])
    yield tiny[0][..., None], tiny[1][..., None, None], *transforms.reference(np.arange(2.0), 2, 2)
    for seed, (points, r, c, f) in enumerate(
        [(SEVEN, 5, 1, 1), (SEVEN, 5, 3, 2), (SEVEN, 3, 2, 3)]
    ):
        size = len(points) + 1
        matrices = transforms.reference(np.array(points), size + 1 - r, r)
        yield *tile(seed, size, r, c, f), *matrices
    whole_tile, halves = tiny[0].astype(int)[..., None], tiny[1][..., None, None] / 2
    yield whole_tile, halves, *transforms.reference(np.arange(2.0), 2, 2)
    # Matrices that compute nothing in particular: who slides the kernel instead is found out.
    yield *tile(9, 4, 3, 2, 2), *(check_02.whole(i, 4, k) for i, k in enumerate([2, 4, 3]))


def tile(seed, size, r, c, f):
    return check_02.whole(seed, size, size, c), check_02.whole(seed + 50, r, r, c, f)


@exercise(tile_cases, tolerance=1e-9)
def tile_outputs(d, g, A, B, G):
    return by_steps(d, g, A, B, G)


def by_steps(d, g, a, b, gg):
    u = np.einsum("pi,qj,ijcf->pqcf", gg, gg, g)
    v = np.einsum("ip,jq,ijc->pqc", b, b, d)
    return back(np.einsum("pqc,pqcf->pqf", v, u), a)


def back(product, a):
    return np.einsum("pi,qj,pqf->ijf", a, a, product)


@tile_outputs.mistake("the tile is transformed with B.T first: B.T @ d @ B")
def _(d, g, A, B, G):
    return by_steps(d, g, A, B.T, G)


@tile_outputs.mistake("U and V are multiplied cell by cell, with *, not as matrices")
def _(d, g, A, B, G):
    u = np.einsum("pi,qj,ijcf->pqcf", G, G, g)
    v = np.einsum("ip,jq,ijc->pqc", B, B, d)
    return back(np.einsum("pkcf,kqc->pqf", u, v), A)


@tile_outputs.mistake("U and V are multiplied cell by cell, with *, not as matrices (V @ U)")
def _(d, g, A, B, G):
    u = np.einsum("pi,qj,ijcf->pqcf", G, G, g)
    v = np.einsum("ip,jq,ijc->pqc", B, B, d)
    return back(np.einsum("pkc,kqcf->pqf", v, u), A)


@tile_outputs.mistake("the tile is not transformed")
def _(d, g, A, B, G):
    u = np.einsum("pi,qj,ijcf->pqcf", G, G, g)
    return back(np.einsum("pqc,pqcf->pqf", d, u), A)


@tile_outputs.mistake("only the last channel arrives: write += for =")
def _(d, g, A, B, G):
    return by_steps(d[..., -1:], np.ascontiguousarray(g[:, :, -1:]), A, B, G)


@tile_outputs.mistake("only the first channel arrives: add up U * V over the channels")
def _(d, g, A, B, G):
    return by_steps(d[..., :1], np.ascontiguousarray(g[:, :, :1]), A, B, G)


@tile_outputs.mistake("U * V is added up over the channels; this is the mean")
def _(d, g, A, B, G):
    return by_steps(d, g, A, B, G) / d.shape[2]


@tile_outputs.mistake("the sum over the channels starts at 0 again for each filter")
def _(d, g, A, B, G):
    return by_steps(d, g, A, B, G).cumsum(axis=2)


@tile_outputs.mistake("rows and columns of the kernel are exchanged")
def _(d, g, A, B, G):
    return by_steps(d, g.swapaxes(0, 1), A, B, G)


@tile_outputs.mistake("all filters get the outputs of the first one")
def _(d, g, A, B, G):
    return by_steps(d, np.repeat(g[..., :1], g.shape[3], 3), A, B, G)


@tile_outputs.mistake(
    "this slides the kernel over the tile, product by product, and A, B and G go unused"
)
def _(d, g, A, B, G):
    return conv_by_product.reference(d, g, np.zeros(g.shape[3]))


@tile_outputs.refused
def _(d, g, A, B, G):  # np.zeros(..., d.dtype)
    return by_steps(d, g, A, B, G).astype(d.dtype)


@tile_outputs.refused
def _(d, g, A, B, G):  # np.zeros(..., int)
    return by_steps(d, g, A, B, G).astype(int)


@tile_outputs.refused
def _(d, g, A, B, G):  # A on one side only
    u = np.einsum("pi,qj,ijcf->pqcf", G, G, g)
    v = np.einsum("ip,jq,ijc->pqc", B, B, d)
    return np.einsum("pi,pqf->iqf", A, np.einsum("pqc,pqcf->pqf", v, u))


def layer_cases():
    """Tiles that fit and tiles that do not, and matrices that compute nothing in particular."""
    points = [(SEVEN, 5, 12, 8, 1, 1), (SEVEN, 5, 10, 9, 3, 2), (SEVEN, 3, 8, 15, 2, 3)]
    points += [([0.0, 1], 2, 5, 4, 2, 1), ([0.0, 1, -1], 2, 4, 8, 1, 2)]
    for seed, (numbers, r, h, w, c, f) in enumerate(points):
        matrices = transforms.reference(np.array(numbers), len(numbers) + 2 - r, r)
        yield *layer(seed, h, w, c, r, f), *matrices
    yield *layer(9, 6, 9, 2, 2, 2), *(check_02.whole(i, 4, k) for i, k in enumerate([3, 4, 2]))


def layer(seed, h, w, c, r, f):
    image, kernel = check_02.whole(seed, h, w, c), check_02.whole(seed + 50, r, r, c, f)
    return image / 2, kernel / 2, check_02.whole(seed + 90, f) / 4


@exercise(layer_cases, tolerance=1e-9)
def conv_by_tiles(x, kernel, bias, A, B, G):
    return in_tiles(x, kernel, bias, A, B, G)


def in_tiles(x, kernel, bias, A, B, G, distance=None, place=None, whole=False):
    """Tile by tile; `distance` is how far apart tiles start, `place` puts a tile's outputs."""
    (h, w, _), (r, _, _, f), (p, m) = x.shape, kernel.shape, A.shape
    oh, ow, apart = h - r + 1, w - r + 1, distance or m
    y = np.zeros((oh + 2 * p, ow + 2 * p, f))
    padded = np.pad(x, [(0, 2 * p), (0, 2 * p), (0, 0)])
    fits = [n // m if whole else -(-n // m) for n in (oh, ow)]
    for i, j in np.ndindex(*fits):
        tile = padded[i * apart : i * apart + p, j * apart : j * apart + p]
        outputs = by_steps(tile, kernel, A, B, G)
        outputs = place(outputs) if place else outputs
        y[i * m : i * m + m, j * m : j * m + m] = outputs
    return y[:oh, :ow] + bias


@conv_by_tiles.mistake("the bias is missing")
def _(x, kernel, bias, A, B, G):
    return in_tiles(x, kernel, 0 * bias, A, B, G)


@conv_by_tiles.mistake("tiles that are needed in part are left out: round the number of tiles up")
def _(x, kernel, bias, A, B, G):
    return in_tiles(x, kernel, bias, A, B, G, whole=True)


@conv_by_tiles.mistake("tiles overlap: they start m cells apart, not m + r - 1")
def _(x, kernel, bias, A, B, G):
    return in_tiles(x, kernel, bias, A, B, G, distance=len(A))


@conv_by_tiles.mistake("the outputs of each tile are transposed")
def _(x, kernel, bias, A, B, G):
    return in_tiles(x, kernel, bias, A, B, G, place=lambda outputs: outputs.swapaxes(0, 1))


@conv_by_tiles.mistake(
    "outputs of a tile belong side by side: reorder to rows, m, columns, m, f before you reshape"
)
def _(x, kernel, bias, A, B, G):
    (h, w, _), (r, _, _, f), m = x.shape, kernel.shape, A.shape[1]
    rows, columns = -(-(h - r + 1) // m), -(-(w - r + 1) // m)
    y = in_tiles(np.pad(x, [(0, m), (0, m), (0, 0)]), kernel, 0 * bias, A, B, G)
    y = y[: rows * m, : columns * m].reshape(rows, m, columns, m, f).swapaxes(1, 2)
    return y.reshape(rows * m, columns * m, f)[: h - r + 1, : w - r + 1] + bias


@conv_by_tiles.mistake("V = B.T @ d @ B: the tiles are transformed with B @ d @ B.T")
def _(x, kernel, bias, A, B, G):
    return in_tiles(x, kernel, bias, A, B.T, G)


@conv_by_tiles.mistake("this slides the kernel over the image, and A, B and G go unused")
def _(x, kernel, bias, A, B, G):
    return conv_by_product.reference(x, kernel, bias)


@conv_by_tiles.mistake("outputs beyond the image are not dropped: (h - r + 1, w - r + 1, f) is due")
def _(x, kernel, bias, A, B, G):
    (h, w, _), r, m = x.shape, len(kernel), A.shape[1]
    more = [(0, -(h - r + 1) % m), (0, -(w - r + 1) % m), (0, 0)]
    return in_tiles(np.pad(x, more), kernel, bias, A, B, G)


@conv_by_tiles.refused
def _(x, kernel, bias, A, B, G):  # np.zeros(..., int)
    return in_tiles(x, kernel, bias, A, B, G).astype(int)


@conv_by_tiles.refused
def _(x, kernel, bias, A, B, G):  # one channel
    return in_tiles(x[..., :1], kernel[:, :, :1], bias, A, B, G)


@conv_by_tiles.refused
def _(x, kernel, bias, A, B, G):  # rows and columns of the kernel exchanged
    return in_tiles(x, kernel.swapaxes(0, 1), bias, A, B, G)


@conv_by_tiles.refused
def _(x, kernel, bias, A, B, G):  # a square image is expected
    return in_tiles(x[: len(x[0])], kernel, bias, A, B, G)
