# %% [markdown]
# # 15 · Why is it slow, and how fast can it get?
#
# *25 minutes · needs lessons 2, 3 and 8*
#
# **You will build** the second convolution of the network as one matrix product; and then in a way that
# gets along with 64 products where the formula has 400, and that you can redo by hand.

# %%
import time

import numpy as np

import minicnn
from checks import check_15 as check
from minicnn import plots
from minicnn.checking.environment import machine
from minicnn.engine.blas import one_thread
from minicnn.engine.kernels import adam, direct, few_channels, im2col, winograd
from minicnn.engine.kernels.winograd_matrices import POINTS, matrices
from minicnn.engine.threads import USUAL_SHARD, cut, run
from minicnn.shapes import window_geometry

# %% [markdown]
# ## How slow is it?
#
# Lesson 1 counted where the work is: 92.4 % of all products of the network are those of its second
# convolution, 10,035,200 for an image. Here is that layer, with random numbers, in float32; and the
# naive code of lesson 2, for one filter of one image, on which zeros have been put all around.

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((64, 14, 14, 32), np.float32)  # 64 images
kernel = rng.standard_normal((5, 5, 32, 64), np.float32) / 28
bias = rng.standard_normal(64, np.float32)
geometry = window_geometry((14, 14), (5, 5), (1, 1), "same")
padded = np.pad(x[0], [(2, 2), (2, 2), (0, 0)])  # (18, 18, 32)


def python_loops(x, kernel, bias):
    """One filter: image x (h, w, c), kernel (kh, kw, c), a number as bias."""
    (h, w, c), (kh, kw, _) = x.shape, kernel.shape
    y = np.zeros((h - kh + 1, w - kw + 1))
    for i in range(h - kh + 1):
        for j in range(w - kw + 1):
            for ki in range(kh):
                for kj in range(kw):
                    for ch in range(c):
                        y[i, j] += x[i + ki, j + kj, ch] * kernel[ki, kj, ch]
    return y + bias


expected = direct.forward(x, kernel, bias, geometry)  # minicnn's compiled loops
loops = python_loops(padded, kernel[..., 0], bias[0])
assert np.allclose(loops, expected[0, :, :, 0], atol=1e-4)
assert 14 * 14 * 64 * kernel[..., 0].size == 10_035_200

# %% [markdown]
# Equal first, then the clock. It counts *processor time*, which other programs on the machine change
# less than the time on the wall; it takes the shortest of some calls, and the functions take turns, so that
# a machine that is slow for a while is slow for all. Only ratios are shown, with the machine they are
# from. On yours they will be others.


# %% tags=["varies"]
def in_turns(functions, rounds=5, clock=time.thread_time):
    """Seconds that a call takes: the shortest of some, by the functions' names."""
    times = {name: [] for name in functions}
    with one_thread:  # BLAS multiplies matrices on this thread, too
        for function in functions.values():
            function()  # whatever has to be compiled is compiled now
        for _ in range(rounds):
            for name, function in functions.items():
                start, wall, calls = clock(), time.perf_counter(), 0
                while time.perf_counter() - wall < 0.03:  # short calls are repeated
                    function()
                    calls += 1
                times[name].append((clock() - start) / calls)
    return {name: max(min(seconds), 1e-9) for name, seconds in times.items()}


def said(ratio):
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


functions = {
    "Python": lambda: python_loops(padded, kernel[..., 0], bias[0]),
    "compiled": lambda: direct.forward(x[:1], kernel, bias, geometry),
}
times = in_turns(functions)
ratio = 64 * times["Python"] / times["compiled"]  # the compiled loops make 64 filters
print(machine())
print(f"compiled loops: {said(ratio)} times as fast as Python's")
assert ratio > 20

# %% [markdown]
# The same products in the same order. For *each* of them, Python asks what kind of objects these are, looks
# up how to multiply such objects, makes a new object for the result, and checks four indices.
# A compiler asks once. And it sees that 64 filters stand side by side in memory, and uses *vector
# instructions*, which multiply and add 4, 8 or 16 numbers at a time.
#
# That was the large step, and it cost seconds of compiling. Three smaller ones are left: wait less for
# memory, multiply less, and use all cores.
#
# ## Wait less: one matrix product
#
# In those loops, every product comes with a walk to memory: a number of `kernel` is read, one of `y` read and
# written. A matrix product can do better. Take four rows of the one matrix and four columns of the other: 16
# outputs, kept in the processor's registers. Read 4 + 4 numbers, and make **16** products of them: half a read for a
# product. With $b \times b$ outputs it is $2b$ reads for $b^2$ products. Libraries called *BLAS* have been
# tuned for decades to do this; NumPy's `@` calls one.
#
# So write all windows as rows of a matrix `cols`, as in lesson 2; here is the whole of it:
#
# $$\underbrace{cols}_{oh \cdot ow\ \times\ kh \cdot kw \cdot c} \cdot \underbrace{kernel}_{kh \cdot kw
# \cdot c\ \times\ f} + bias = \underbrace{y}_{oh \cdot ow\ \times\ f}$$
#
# ## Exercise 1: a convolution as one product
#
# No loop over channels, filters or cells of the kernel, and one `@`. `reshape` reads and fills arrays in the order
# of their axes, the last one fastest, so a row of `cols` has to list its window in the order of the
# kernel's first three axes. (Windows come from two loops, or from
# `np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (0, 1))`, which is of shape $(oh, ow, c, kh, kw)$.)


# %% tags=["exercise"]
def conv_by_product(x, kernel, bias):
    """One image x (h, w, c), kernel (kh, kw, c, f), bias (f,): y (oh, ow, f),
    without padding."""
    # solution
    kh, kw, c, f = kernel.shape
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (0, 1))
    oh, ow, *_ = windows.shape
    cols = windows.transpose(0, 1, 3, 4, 2).reshape(oh * ow, kh * kw * c)
    return (cols @ kernel.reshape(kh * kw * c, f) + bias).reshape(oh, ow, f)


# %%
check.conv_by_product(conv_by_product)

# %% [markdown]
# It was compared first. Now yours may be timed, on the layer above:

# %% tags=["varies"]
if check.conv_by_product.verdict(conv_by_product).passed:
    functions["yours"] = lambda: conv_by_product(padded, kernel, bias)
    times = in_turns(functions)
    print(machine())
    for name in ("Python", "compiled"):
        filters = 64 if name == "Python" else 1
        ratio = filters * times[name] / times["yours"]
        print(f"yours: {said(ratio)} times as fast as the loops, {name}")
else:
    print("Solve exercise 1, and this cell times what you wrote.")

# %% [markdown]
# The cost: `cols` is up to 25 times as large as the image. minicnn makes it for one image at a time, so that
# it stays in the processor's cache. For images of one channel, where a row of a window has but five numbers, there is
# the algorithm `few_channels`, whose forward pass multiplies without filling `cols`: all windows' first cells are the image itself, their
# second cells the image one pixel further on, and so forth.
#
# ## Multiply less: two polynomials
#
# A matrix product that runs at the full speed of the machine cannot be sped up. Unless one needs fewer
# products. What follows looks like a detour, but is one page long. Multiply
#
# $$(2 + 3t)(5 - t) = 10 + 13t - 3t^2.$$
#
# At school, that takes four products: $2\cdot5$, $2\cdot(-1)$, $3\cdot5$, $3\cdot(-1)$. But the
# result has only *three* unknown coefficients $c_0 + c_1t + c_2t^2$, and three of its values are enough to find
# them. Values are cheap: the value of a product is the product of the values.
#
# | point | first | second | product | which is |
# |---|---|---|---|---|
# | t = 0 | 2 | 5 | 2 · 5 = 10 | $c_0$ |
# | t = 1 | 2 + 3 = 5 | 5 - 1 = 4 | 5 · 4 = 20 | $c_0 {+} c_1 {+} c_2$ |
# | t = ∞ | 3 | -1 | 3 · (-1) = -3 | $c_2$ |
#
# ("At infinity" is a way of speaking: for large $t$ the highest power alone counts, so take its
# coefficient.) So $c_0 = 10$, $c_2 = -3$ and $c_1 = 20 - 10 + 3 = 13$. **Three products, not four.** The price:
# some additions.
#
# As matrices, with a row for each point: $V_2$ takes two coefficients to three values, $V_3$ takes three coefficients
# to three values, and its inverse takes the values back to the coefficients:
#
# $$V_2 = \begin{pmatrix}1&0\\1&1\\0&1\end{pmatrix} \quad
# V_3 = \begin{pmatrix}1&0&0\\1&1&1\\0&0&1\end{pmatrix} \quad
# V_3^{-1} = \begin{pmatrix}1&0&0\\-1&1&-1\\0&0&1\end{pmatrix} \quad
# c = V_3^{-1}\big[(V_2\,g) * (V_2\,a)\big]$$
#
# where $a$ and $g$ are the two lists of coefficients, and $*$ multiplies cell by cell, as in NumPy.

# %%
V2 = np.array([[1, 0], [1, 1], [0, 1]])
V3 = np.array([[1, 0, 0], [1, 1, 1], [0, 0, 1]])
inverse = np.array([[1, 0, 0], [-1, 1, -1], [0, 0, 1]])
assert (inverse @ V3 == np.eye(3)).all()

a, g = np.array([2, 3]), np.array([5, -1])
assert ((V2 @ g) * (V2 @ a)).tolist() == [10, 20, -3]
assert (inverse @ ((V2 @ g) * (V2 @ a))).tolist() == [10, 13, -3]

# %% [markdown]
# ## A convolution is the backward pass of that
#
# In a product of polynomials, $a_i g_k$ goes to the power $t^{i+k}$:
#
# $$c_j = \sum_{i + k = j} a_i\,g_k.$$
#
# Go back through it as in lesson 8. Let an error $d_j$ arrive at each $c_j$. The product $a_i g_k$ sends to
# $a_i$ the message $d_{i+k}\,g_k$, and messages add up: $a_i$ receives
#
# $$y_i = \sum_k d_{i+k}\,g_k.$$
#
# **That is lesson 2's convolution**, of a row of pixels $d$ with a kernel $g$: nobody said that an "error" may not
# be pixels. So whoever can multiply polynomials with few products needs only the backward pass of that. And this
# we know: back through a matrix goes the transposed matrix (lesson 8: $dcols = dy \cdot
# kernel^T$); through "times $V_2\,g$, cell by cell" it is the same multiplication again; and the steps come in
# reverse order. From $c = V_3^{-1}[(V_2\,g) * (V_2\,a)]$ comes, with ${}'$ for "transposed",
#
# $$y = V_2'\,\big[(V_2\,g) * (V_3^{-1\prime}\,d)\big].$$
#
# Done: this is Winograd's convolution. Once without matrices, so that you believe it:
#
# $$p_0 = g_0\,(d_0 - d_1), \quad p_1 = (g_0 + g_1)\,d_1, \quad p_2 = g_1\,(d_2 - d_1),$$
#
# $$y_0 = p_0 + p_1 = g_0 d_0 + g_1 d_1, \qquad y_1 = p_1 + p_2 = g_0 d_1 + g_1 d_2.$$
#
# For the first row of lesson 2's image, $d = (1, 2, 0)$, and its kernel's, $g = (1, -1)$: the products
# are $1\cdot(-1) = -1$, $0\cdot2 = 0$, $-1\cdot(-2) = 2$, and $y = (-1, 2)$. And indeed $1 - 2 = -1$, $2 - 0 = 2$.

# %%
d, g = np.array([1, 2, 0]), np.array([1, -1])
assert (inverse.T @ d).tolist() == [-1, 2, -2]
assert (V2 @ g).tolist() == [1, 0, -1]
assert (V2.T @ ((V2 @ g) * (inverse.T @ d))).tolist() == [-1, 2]

# %% [markdown]
# A convolution with three products instead of four. In general, `m` outputs of a kernel of `r` cells (these are Winograd's
# letters) see $m + r - 1$ pixels, and the polynomial has as many coefficients. So take $m + r - 1$ points:
# $m + r - 2$ different numbers, and infinity. Call $V_k$ the matrix with a row $1, p, p^2, \dots, p^{k-1}$ for each
# number $p$, and the row $0, \dots, 0, 1$ for infinity. The three matrices got names:
#
# $$y = A'\,\big[(G\,g) * (B'\,d)\big], \qquad A = V_m, \quad G = V_r, \quad B = V_{m+r-1}^{-1}.$$
#
# $m + r - 1$ products instead of $m \cdot r$, and Winograd proved that one cannot do with fewer. This is
# called F(m, r); what we did was F(2, 2).
#
# ## Exercise 2: the matrices
#
# `points` holds the numbers; infinity comes as the last row. Mind that `0.0 ** 0` is 1, as it should be. The
# inverse is `np.linalg.inv`.


# %% tags=["exercise"]
def transforms(points, m, r):
    """A (m + r - 1, m), B (m + r - 1, m + r - 1), G (m + r - 1, r), in this
    order."""

    # solution
    def powers(count):
        rows = [[p**k for k in range(count)] for p in points]
        return np.array([*rows, [0] * (count - 1) + [1]])

    return powers(m), np.linalg.inv(powers(m + r - 1)), powers(r)


# %%
check.transforms(transforms)

# %% [markdown]
# ## In two dimensions: nine products for sixteen
#
# Rows and columns, one after the other. $B'\,d$ transforms the columns of an image, $(B'\,d)\,B$ then its rows; kernel and
# outputs likewise:
#
# $$Y = A'\,\big[\underbrace{(G\,g\,G')}_{U} * \underbrace{(B'\,d\,B)}_{V}\big]\,A.$$
#
# All numbers, for image and kernel of lesson 2 (without the bias), with the matrices of above. You can do it on
# paper: with those, $B'$ means "first minus second, second, third minus second", $G$ "first, sum, second", and
# $A'$ "first plus second, second plus third".

# %% tags=["cover", "fold"]
A, B, G = V2, inverse, V2
d = np.array([[1, 2, 0], [0, 1, 3], [2, 0, 1]])
g = np.array([[1, -1], [2, 0]])
U, V = G @ g @ G.T, B.T @ d @ B
Y = A.T @ (U * V) @ A
KERAS = [[0, 5], [4, -1]]  # Keras 3.15.1, lesson 2: there is a bias of 1
assert (Y + 1).tolist() == KERAS

figure = plots.new_figure(4.6, "Nine products instead of sixteen: F(2 x 2, 2 x 2)")
(one, two, three, four), (five, six, seven, eight) = figure.subplots(2, 4)
plots.number_grid(one, d, "image d")
plots.number_grid(two, B.T @ d, "B'd: columns")
plots.number_grid(three, V, "V = B'd B: rows, too", plots.SKY)
plots.number_grid(four, U * V, "U * V: 9 products", plots.GREEN)
plots.number_grid(five, g, "kernel g")
plots.number_grid(six, G @ g, "G g")
plots.number_grid(seven, U, "U = G g G'", plots.YELLOW)
plots.number_grid(eight, Y, "Y = A'(U * V) A")
figure

# %% [markdown]
# The transforms are additions here; with more points, also products with constants. If they had to be paid for every
# product, nothing would be gained. How they are paid once for many is the matter of "Channels", below.
#
# ## Tiles
#
# A whole image is cut into tiles of $m + r - 1$ by $m + r - 1$ cells, `m` apart, so that they overlap by $r - 1$. Every tile gives
# $m \times m$ outputs. The last ones may stick out: what they compute there is thrown away. minicnn uses 8 points,
# for kernels of 5 x 5 with $m = 4$, F(4 x 4, 5 x 5):

# %% tags=["fold"]
from matplotlib.patches import Rectangle

NUMBERS = [0, 1, -1, 2, -2, 1 / 2, -1 / 2, 4, -4, 1 / 4, -1 / 4]
single = np.float32


def rounding_error(m, r=5, tiles=40, c=32):
    """Of F(m x m, r x r) in float32, and of the formula; in units of the outputs."""
    points = np.array(NUMBERS[: m + r - 2])
    V_all, G, A = (
        np.vstack([np.vander(points, k, increasing=True), np.eye(k)[-1]])
        for k in (m + r - 1, r, m)
    )
    # A factor may move from a row of G to a column of B. This one gives B small whole numbers.
    factor = [np.prod([p - q for q in points if q != p]) for p in points] + [1]
    B, G = np.linalg.inv(V_all) * factor, G / np.array(factor)[:, None]
    rng = np.random.default_rng(0)
    d = rng.standard_normal((tiles, c, m + r - 1, m + r - 1))
    g = rng.standard_normal((c, r, r))
    exact = A.T @ ((G @ g @ G.T) * (B.T @ d @ B)).sum(1) @ A
    d, g, A, B, G = (array.astype(single) for array in (d, g, A, B, G))
    Y = A.T @ ((G @ g @ G.T) * (B.T @ d @ B)).sum(1) @ A
    windows = np.lib.stride_tricks.sliding_window_view(d, (r, r), (2, 3))
    slid = np.einsum("tcijkl,ckl->tij", windows, g)
    return [np.sqrt(((y - exact) ** 2).mean() / (exact**2).mean()) for y in (Y, slid)]


figure = plots.new_figure(4.2)
tiling, saving = figure.subplots(1, 2, width_ratios=[1, 1.2])
tiling.add_patch(Rectangle((0, 0), 14, 14, color="#dddddd", label="image"))
for corner, colour in {(0, 0): plots.BLUE, (4, 8): plots.ORANGE}.items():
    i, j = corner
    tiling.add_patch(Rectangle((j - 2, i - 2), 8, 8, fill=False, ec=colour, lw=3))
    tiling.add_patch(Rectangle((j, i), 4, 4, color=colour, alpha=0.5))
tiling.set(xlim=(-2.5, 18.5), ylim=(18.5, -2.5), xlabel="column", ylabel="row")
tiling.set(xticks=range(0, 17, 4), yticks=range(0, 17, 4), aspect=1)
tiling.grid(color="#999999", linewidth=0.6)
tiling.set_title("14 x 14: two of 16 tiles, and their outputs", fontsize=11)

sizes = np.arange(2, 9)
errors, of_formula = np.array([rounding_error(m) for m in sizes]).T
products = ((sizes + 4) / sizes) ** 2
saving.plot(sizes, products, "o-", color=plots.BLUE, label="products an output (of 25)")
saving.set(xlabel="m", ylabel="products an output", ylim=(0, 12))
losing = saving.twinx()
losing.semilogy(sizes, errors, "s--", color=plots.ORANGE, label="error in float32")
losing.semilogy(sizes, of_formula, ":", color=plots.GREY, label="error of the formula")
losing.set_ylim(1e-7, 3e-3)
losing.set_ylabel("error, in units of the outputs")
lines = saving.get_lines() + losing.get_lines()
saving.legend(handles=lines, loc="upper center", frameon=False)
saving.set_title("F(m x m, 5 x 5): fewer products, larger errors", fontsize=11)
figure

# %% [markdown]
# On the left, tiles are the frames of 8 x 8, filled where their outputs are; padding needs no code of its own, since a
# tile that reaches over the edge reads zeros there. On the right, why tiles are not larger: more points bring larger
# powers, up to $4^{11}$, whose sums have to cancel. With $m = 4$ one product in six is left, and the error is about ten times
# that of the formula: one digit of seven is lost. With $m = 6$ it would be one product in nine, and hundreds of times the error.
# (Other points than these may do better; it is an art to choose them.)

# %%
error = dict(zip(sizes.tolist(), errors / of_formula, strict=True))
assert round(25 / products[sizes == 4].item(), 2) == 6.25
assert round(25 / products[sizes == 6].item()) == 9
assert 4 < error[4] < 30
assert 200 < error[6] < 3000

# %% [markdown]
# ## Exercise 3: how many products?
#
# An image of `n` x `n` pixels, one channel, one filter of `r` x `r`, "same" padding, stride 1. How many
# products does F(m x m, r x r) take, the last tiles included?


# %% tags=["exercise"]
def products_of(n, r, m):
    """Products cell by cell, over all tiles of an image; an integer."""
    # solution
    tiles = (-(-n // m)) ** 2
    return tiles * (m + r - 1) ** 2


# %%
check.products_of(products_of)

# %% [markdown]
# For our layer, `n=14, r=5, m=4`, you should find 1,024, for the formula's $14^2 \cdot 5^2 = 4{,}900$: 4.8 times
# fewer; with tiles that fit, it would be 6.25 times fewer.

# %%
assert round(14**2 * 5**2 / 1024, 1) == 4.8
assert 400 / 64 == 6.25

# %% [markdown]
# ## Channels: matrix products again
#
# With `c` channels and `f` filters, an output is a sum over channels. Sums may be taken *before* the transform $A'(\dots)A$,
# which is a weighted sum itself, so that it is paid once a filter, not once a channel and filter:
#
# $$Y_o = A'\,\Big[\sum_{ch} U_{ch,\,o} * V_{ch}\Big]\,A.$$
#
# Now look at *one* of the 64 cells. There, each tile has `c` numbers of $V$, each pair of channel and filter has a
# number of $U$, and the sum over channels is nothing but a matrix product: tiles x `c` times `c` x `f`. So
# **Winograd's convolution is 64 matrix products**, and BLAS does them. Transforms: a tile once for each *channel*, for
# all 64 filters; the kernel once a step, for all tiles of all images.
#
# ## Exercise 4: one tile
#
# A tile `d` with channels, a kernel `g` with channels and filters, no bias. You are also tried with matrices that belong to no
# points and compute nothing in particular: follow the formula, do not slide. (`g[:, :, ch, o]` is a
# matrix.)


# %% tags=["exercise"]
def tile_outputs(d, g, A, B, G):
    """Y (m, m, f) of tile d (p, p, c) and kernel g (r, r, c, f); A (p, m), B
    (p, p), G (p, r)."""
    # solution
    _, _, c, f = g.shape
    Y = np.zeros((A.shape[1], A.shape[1], f))
    for o in range(f):
        product = 0
        for ch in range(c):
            U = G @ g[:, :, ch, o] @ G.T
            V = B.T @ d[:, :, ch] @ B
            product = product + U * V
        Y[:, :, o] = A.T @ product @ A
    return Y


# %%
check.tile_outputs(tile_outputs)

# %% [markdown]
# minicnn's own matrices are the exact fractions of your `transforms`, for the points below, but for factors that
# are moved from $G$ to $B$, where they leave simple numbers. This is its $B'$ for kernels of 5 x 5, and of 3 x 3,
# since the same 8 points give 6 outputs there:

# %%
A, B, G = matrices(5)
print("points:", *POINTS, "and infinity")
for row in B.T:
    print(*(f"{cell!s:>6}" for cell in row))
assert (matrices(3)[1] == B).all()

d, g = rng.standard_normal(8), rng.standard_normal(5)
A, B, G = (matrix.astype(float) for matrix in (A, B, G))
assert np.allclose(A.T @ ((G @ g) * (B.T @ d)), [d[i : i + 5] @ g for i in range(4)])

# %% [markdown]
# ## The backward pass is the forward pass, transposed
#
# Training needs two gradients for a given $dy$ (lesson 8): $dg$ of the kernel, $dd$ of the tile. No new idea is needed: every
# step of $Y = A'[U * V]A$ is walked back, the last one first.
#
# $$Z = A\,dy\,A', \qquad dU = V * Z, \quad dg = G'\,dU\,G, \qquad dV = U * Z, \quad dd = B\,dV\,B'.$$
#
# With lesson 8's numbers:

# %%
A, B, G = V2, inverse, V2
d = np.array([[1, 2, 0], [0, 1, 3], [2, 0, 1]])
dy = np.array([[1, 2], [-1, 3]])
Z = A @ dy @ A.T
dg = G.T @ (V * Z) @ G
dd = B @ (U * Z) @ B.T
print(f"dg\n{dg}\n\ndd\n{dd}")
assert dg[0, 0] == dd[1, 1] == 8  # as by hand in lesson 8

one_image = [array[None, ..., None].astype(float) for array in (d, dy)]
weights = np.array([[1.0, -1], [2, 0]])[..., None, None]
small = window_geometry((3, 3), (2, 2), (1, 1), "valid")
dx = direct.grad_input(one_image[1], weights, small)
dkernel = direct.grad_kernel(*one_image, small)
assert (dx[0, :, :, 0] == dd).all()
assert (dkernel[:, :, 0, 0] == dg).all()

# %% [markdown]
# $dy$ is transformed once for both gradients, $U$ is kept from the forward pass, and no kernel has to be turned.
#
# **What Winograd costs.** It needs stride 1, and matrices for each size of kernel. Transforms are work, too, and for few
# channels more than is saved. The transformed kernel is larger, 64 numbers for 25. And it is less exact, as you saw; on our
# layer, compared with float64:

# %%
exact = direct.forward(
    x.astype(float), kernel.astype(float), bias.astype(float), geometry
)
prepared = winograd.prepare(kernel)  # U, for all channels and filters
lost = {
    "compiled loops": abs(expected - exact).max(),
    "Winograd": abs(winograd.forward(x, prepared, bias, geometry) - exact).max(),
}
assert prepared.u.shape == (64, 32, 64)
assert lost["compiled loops"] < lost["Winograd"] < 1e-4
assert 3 < abs(exact).max() < 10

# %% [markdown]
# ## Use all cores
#
# Images of a batch do not know of each other. So in training a batch of 32 is cut into four *shards* of 8, and each goes
# through *all* layers, forward and backward, on whichever thread is free; then the shards' gradients are added up. (In
# inference, where there are none, and in larger batches, shards have 16 images.) Two rules keep that honest. **How a
# batch is cut depends on its size alone**, never on the number of threads, and sums are taken in the order of the
# shards: as floating-point sums depend on their order, only so are the results the same to the bit. And **BLAS is held
# to one thread** meanwhile, or its threads and ours fight for the same cores.


# %%
def in_shards():
    def of_shard(shard):
        return winograd.forward(x[shard], prepared, bias, geometry)

    return np.concatenate(run(of_shard, cut(len(x), USUAL_SHARD)))


threads = minicnn.get_num_threads()  # as many as there are cores
results = []
for count in (1, 2, 3, threads):
    minicnn.set_num_threads(count)
    results.append(in_shards())
assert all((y == results[0]).all() for y in results)
assert [shard.stop - shard.start for shard in cut(32)] == [8] * 4
assert len(cut(64, USUAL_SHARD)) == 4

# %% [markdown]
# ## The ladder
#
# All of it, for the second convolution, each rung compared with the formula's numbers before the clock starts.
# The scale is logarithmic: each grid line is ten times the one before.


# %% tags=["varies", "fold"]
def ladder_rung(function, images, filters=64):
    y = function()
    wanted = expected[:images, ..., :filters].reshape(y.shape)
    assert np.allclose(y, wanted, atol=1e-4)  # equal first
    return function, 64 * 64 / (images * filters)  # calls for 64 images of 64 filters


rungs = {
    "Python loops": ladder_rung(functions["Python"], 1, 1),
    "compiled loops": ladder_rung(functions["compiled"], 1),
    "im2col and BLAS": ladder_rung(
        lambda: im2col.forward(x[:16], kernel, bias, geometry), 16
    ),
    "Winograd": ladder_rung(
        lambda: winograd.forward(x[:16], prepared, bias, geometry), 16
    ),
}
times = in_turns({name: function for name, (function, _) in rungs.items()})
batch = {name: times[name] * calls for name, (_, calls) in rungs.items()}


def all_images_on(count):
    def forward():
        minicnn.set_num_threads(count)
        return in_shards()

    return forward


# Threads share the work, not the processor time: this ratio is one of the clock on the wall.
walls = in_turns(
    {count: all_images_on(count) for count in {1, threads}}, 9, time.perf_counter
)
minicnn.set_num_threads(threads)
name = f"... on {threads} thread{'s' * (threads > 1)}"
batch[name] = batch["Winograd"] * walls[threads] / walls[1]
speeds = {name: batch["Python loops"] / seconds for name, seconds in batch.items()}

figure = plots.new_figure(3.6, "How many times as fast as Python's loops")
axes = figure.subplots()
colours = [plots.GREY, plots.SKY, plots.BLUE, plots.GREEN, plots.ORANGE]
axes.barh(list(speeds), speeds.values(), color=colours)
before = None
for row, (name, speed) in enumerate(speeds.items()):
    step = f"  (x {said(speed / before)})" if before else ""
    axes.text(speed * 1.15, row, f"{speed:,.0f}{step}", va="center", fontsize=10)
    before = speed
axes.set(xscale="log", xlim=(0.5, 5e6), xlabel=f"times as fast; {machine()}")
axes.invert_yaxis()
axes.grid(axis="x", color="#dddddd")
axes.set_axisbelow(True)
axes.spines[["top", "right"]].set_visible(False)
by_rung = list(speeds.values())
assert min(by_rung[1:]) > 20
assert max(by_rung[i + 1] / by_rung[i] for i in range(4)) == by_rung[1]
figure

# %% [markdown]
# In brackets, how many times as fast as the rung above. The largest step by far is the one where nothing clever was done:
# compile the formula as it stands. Winograd's step is not exactly 4.8, the factor by which it saves products: transforms take
# time, on the other hand im2col has to write `cols`. And on one core the last rung adds nothing.
#
# ## What is left to do in a step?
#
# minicnn's own step of training, on 32 images and one thread, with a clock in each layer. Grey is the share of the
# multiply-adds, forward and backward (lesson 8: three times those of the forward pass, twice in the first layer). A
# convolution's clock includes the pooling after it, since minicnn's engine computes the two together
# (`PooledConvolution` in [minicnn/engine/operations.py](../minicnn/engine/operations.py)). The gradient of a dense kernel
# counts in "Adam, rest": it is made once for the whole batch, part by part, and Adam uses each part while it is in the cache
# (`Product` in [minicnn/engine/updates.py](../minicnn/engine/updates.py)).

# %% tags=["varies", "fold"]
from collections import Counter

from minicnn.engine import Plan
from minicnn.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import Adam


def put_clocks(operation, clock):
    """Let the clock add up the processor time of all that an operation does."""

    def timed(method):
        def clocked(*arguments):
            start = time.thread_time()
            result = method(*arguments)
            clock[operation.layer.name] += time.thread_time() - start
            return result

        return clocked

    for name in ("prepare", "forward", "backward", "weight_gradients"):
        setattr(operation, name, timed(getattr(operation, name)))


def step_profile(algorithm, steps=12):
    """Processor time of each layer, with this algorithm in the second convolution."""
    minicnn.clear_session()
    same = {"kernel_size": 5, "padding": "same", "activation": "relu"}
    stack = [Input((28, 28, 1)), Conv2D(32, **same), MaxPooling2D(2)]
    stack += [Conv2D(64, **same, algorithm=algorithm), MaxPooling2D(2), Flatten()]
    stack += [Dense(64, activation="relu"), Dense(10, activation="softmax")]
    layers = minicnn.Sequential(stack).layers
    plan = Plan(layers, SparseCategoricalCrossentropy())  # how the engine runs them
    clock, optimizer = Counter(), Adam()
    for segment in plan.segments:
        for (
            operation
        ) in segment.operations:  # a layer, or a convolution and its pooling
            put_clocks(operation, clock)
    images = rng.random((32, 28, 28, 1), np.float32)
    labels = rng.integers(0, 10, 32)
    for number in range(steps + 2):
        if number == 2:  # by now all is compiled
            clock.clear()
            start = time.thread_time()
        plan.train(optimizer, images, labels, seed=(0, number))
    clock["Adam, rest"] = time.thread_time() - start - clock.total()
    return clock


minicnn.set_num_threads(1)
profiles = {name: step_profile(name) for name in ("im2col", "winograd")}
minicnn.set_num_threads(threads)

products = {"conv2d": 2 * 627_200, "conv2d_1": 3 * 10_035_200}
products |= {"dense": 2 * 200_704, "dense_1": 2 * 640, "Adam, rest": 200_704 + 640}
assert round(100 * products["conv2d_1"] / sum(products.values()), 1) == 94.2
names = list(profiles["winograd"])
bars = {
    "multiply-adds": (products, plots.GREY),
    "time, conv2d_1 by im2col": (profiles["im2col"], plots.SKY),
    "time, conv2d_1 by Winograd": (profiles["winograd"], plots.BLUE),
}
figure = plots.new_figure(4, "Where a step of training spends its time")
axes = figure.subplots()
for number, (label, (amounts, colour)) in enumerate(bars.items()):
    shares = [100 * amounts.get(name, 0) / sum(amounts.values()) for name in names]
    place = np.arange(len(names)) + 0.27 * (number - 1)
    axes.bar(place, shares, 0.27, color=colour, label=label)
    for left, share in zip(place, shares, strict=True):
        if share >= 0.5:
            axes.text(left, share + 1, f"{share:.0f}", ha="center", fontsize=8.5)
axes.set(ylabel="share in %", ylim=(0, 108), xlabel=machine())
axes.set_xticks(range(len(names)), names)
axes.tick_params(axis="x", labelsize=8.5, length=0)
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
figure

# %% [markdown]
# In both profiles the backward pass is the same, and neither im2col nor Winograd: of each pooling window one cell has a gradient, the
# winner, and where ReLU is at 0 not even that (lesson 5). So five of six products there have a factor of 0, and
# [minicnn/engine/kernels/pooled_gradients.py](../minicnn/engine/kernels/pooled_gradients.py) leaves them out. That saves more than Winograd does, and rounds less.
#
# The faster the largest part gets, the more the others count: Adam has no multiply-adds worth mentioning, and yet
# takes its time, since it reads and writes many numbers. Whoever makes a part that takes half of the time ten
# times as fast gets a whole that is $1 / (0.5 + 0.05) = 1.8$ times as fast (*Amdahl's law*).
#
# ## How fast can it get? The roofline
#
# Two things limit a program. The **arithmetic** the processor can do: take what BLAS reaches with one large matrix product. And
# the **memory**: how many bytes a second can be copied. That depends on where the bytes are: the solid slope below is measured with
# arrays of 64 MB, which lie in main memory; the dashed one, much steeper, with arrays of 128 KB, which stay in the processor's **cache**.
# Which limit applies depends on how many operations a layer does for each byte that it has to move at least (inputs, weights
# and outputs once each). Plotted against that, the limits make a roof, and every layer a point.
#
# **Guess before you run:** Adam reads and writes 7 MB in each step. Below which of the two slopes will it be?

# %% tags=["varies", "fold"]
from scipy.linalg.blas import sgemm

large = [np.asfortranarray(rng.random((1024, 1024), np.float32)) for _ in range(2)]
source, target = np.ones(1 << 24, np.float32), np.zeros(1 << 24, np.float32)
x1 = rng.random((16, 28, 28, 1), np.float32)
first = window_geometry((28, 28), (5, 5), (1, 1), "same")
kernel1, bias1 = kernel[:, :, :1, :32].copy(), bias[:32].copy()
x3, kernel3 = rng.random((32, 3136), np.float32), rng.random((3136, 64), np.float32)
adam_arrays = [np.ones(253_514, np.float32) for _ in range(4)]
adam_numbers = [single(number) for number in (0.001, 0.1, 0.001, 1e-7, 1e-38)]

# What runs, its operations (a multiply-add is two), and the numbers it has to move, 4 bytes each.
own = 2 * 16 * 64 * 16 * 32 * 64  # of Winograd: images, points, tiles, c, f
formula = 2 * 16 * 10_035_200
moved = 16 * 14 * 14 * (32 + 64) + kernel.size
layers = {
    "conv2d, few_channels": (
        lambda: few_channels.forward(x1, kernel1, bias1, first),
        2 * 16 * 627_200,
        16 * 28 * 28 * (1 + 32),
    ),
    "conv2d_1, im2col": (rungs["im2col and BLAS"][0], formula, moved),
    "conv2d_1, Winograd": (rungs["Winograd"][0], formula, moved),
    "dense": (lambda: x3 @ kernel3, 2 * 32 * 200_704, 32 * 3200 + 200_704),
    "Adam": (
        lambda: adam.adam(*adam_arrays, *adam_numbers),
        12 * 253_514,  # counted in its source
        7 * 253_514,  # four arrays read, three written
    ),
}
work = {name: function for name, (function, _, _) in layers.items()}
cached, cached_copy = np.ones(1 << 15, np.float32), np.zeros(1 << 15, np.float32)


def copy_in_cache():
    for _ in range(512):  # as many bytes as "copy"
        np.copyto(cached_copy, cached)


work |= {
    "peak": lambda: sgemm(1, *large),
    "copy": lambda: np.copyto(target, source),
    "copy in the cache": copy_in_cache,
}
times = in_turns(work)
peak = 2 * 1024**3 / times["peak"]
bandwidth = 2 * source.nbytes / times["copy"]
in_cache = 2 * source.nbytes / times["copy in the cache"]
assert 512 * cached.nbytes == source.nbytes
assert in_cache > bandwidth

figure = plots.new_figure(4.4, "The roofline, one core")
axes = figure.subplots()
intensity = np.geomspace(0.2, 1000, 200)
roof = np.minimum(peak, intensity * bandwidth)
axes.loglog(intensity, 100 * roof / peak, color="black", label="main memory")
roof = np.minimum(peak, intensity * in_cache)
axes.loglog(intensity, 100 * roof / peak, "--", color="black", label="cache")
axes.legend(frameon=False, loc="lower right")
white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
beside = {"textcoords": "offset points", "fontsize": 9, "bbox": white}
for name, (_, operations, numbers) in layers.items():
    at, height = operations / (4 * numbers), 100 * operations / times[name] / peak
    axes.plot(at, height, "o", color=plots.BLUE)
    # These two lie side by side below the roof: one text to the left, one to the right.
    offsets = {"dense": (-8, -14), "conv2d, few_channels": (8, -14)}
    left, lower = offsets.get(name, (8, -4))
    side = {"ha": "right" if left < 0 else "left"}
    axes.annotate(
        f"{name}: {height:.0f} %", (at, height), (left, lower), **beside, **side
    )
    if name == "conv2d_1, Winograd":
        counted = height * own / formula
        axes.plot([at, at], [height, counted], ":", color=plots.BLUE)
        axes.plot(at, counted, "o", color=plots.BLUE, markerfacecolor="white")
        text = f"Winograd, its own products: {counted:.0f} %"
        axes.annotate(text, (at, counted), (8, -12), **beside)
axes.set(xlim=(0.2, 4000), ylim=(0.3, 900), ylabel="% of the peak of BLAS")
axes.set_xlabel(f"operations for each byte moved; {machine()}")
axes.set_yticks([1, 10, 100], ["1", "10", "100"])
axes.grid(color="#dddddd")
figure

# %% [markdown]
# - The points near the flat part can hardly be sped up, unless by doing less. That is how Winograd's filled point can be *above* the
#   roof: counted in the products of the formula, of which it does not do most. The hollow point counts those that it does.
# - Far left, memory decides: Adam does 12 operations for 28 bytes, and can use but a small part of the arithmetic, however
#   clever its code. Its four arrays, 4 MB together, lie partly in the cache, so that its point can be above the slope of main memory;
#   the limit that holds for it is the one of the cache.
# - The gap between hollow point and roof is what the transforms take, and what is left to gain.
#
# ## The fact
#
# What is all of that worth? `benchmarks/compare.py` trains this network with minicnn and with others, in turns, every run in a
# process of its own, all with the same number of threads; and this cell reads what it has written:

# %% tags=["fold"]
import json
from pathlib import Path
from statistics import median

results = Path(check.__file__).parents[2] / "benchmarks" / "results" / "compare.json"
content = json.loads(results.read_text(encoding="utf-8"))
runs = content["runs"] if "runs" in content else content["networks"]["tutorial"]["runs"]


def ratios(peer, measure):
    """Time of a peer in units of minicnn's, run by run."""
    pairs = zip(runs[peer], runs["minicnn"], strict=True)
    return [theirs[measure] / ours[measure] for theirs, ours in pairs]


print(f"{content['machine']}\ntime / minicnn's: median (lowest to highest)")
for measure in runs["keras"][0]:
    if measure in ("accuracy", "memory"):
        continue
    for peer in runs:
        if peer != "minicnn" and measure in runs[peer][0]:
            each = ratios(peer, measure)
            spread = f"({min(each):.2f} to {max(each):.2f})"
            print(f"{measure:20} {peer:18} {median(each):5.2f} {spread}")
    if measure.startswith(("training", "inference")):
        assert median(ratios("keras", measure)) > 1

# %% [markdown]
# > **On the same cores, Keras takes longer than minicnn, in training and in inference: the ratios to Keras are those printed above.** The
# > libraries it runs on are written in C++ by many people. What sets minicnn apart is 64 products in the place of 400 in the
# > forward pass, and in the backward pass none with a factor of 0.
#
# ## In minicnn
#
# - `Conv2D.forward` in [minicnn/layers.py](../minicnn/layers.py): your `conv_by_product`, for a whole batch at once.
#
# What makes it fast is in `minicnn/engine/`:
#
# - `forward` in [minicnn/engine/kernels/im2col.py](../minicnn/engine/kernels/im2col.py): the same, image by image; in
#   [minicnn/engine/kernels/few_channels.py](../minicnn/engine/kernels/few_channels.py) without copies.
# - `matrices` in [minicnn/engine/kernels/winograd_matrices.py](../minicnn/engine/kernels/winograd_matrices.py): your `transforms`,
#   in exact fractions.
# - `forward` and `gradients` in [minicnn/engine/kernels/winograd.py](../minicnn/engine/kernels/winograd.py): your `tile_outputs`, for all
#   images. The loops over tiles are in [minicnn/engine/kernels/winograd_tiles.py](../minicnn/engine/kernels/winograd_tiles.py), those of a
#   tile's transform in [minicnn/engine/kernels/winograd_transforms.py](../minicnn/engine/kernels/winograd_transforms.py).
# - `gradients` in [minicnn/engine/kernels/pooled_gradients.py](../minicnn/engine/kernels/pooled_gradients.py): the backward pass
#   without its zeros.
# - `cut` and `run` in [minicnn/engine/threads.py](../minicnn/engine/threads.py), `Plan.train` in
#   [minicnn/engine/plan.py](../minicnn/engine/plan.py): shards and threads.
# - `choose_algorithm` in [minicnn/engine/algorithms.py](../minicnn/engine/algorithms.py): which algorithm a layer gets.
# - [benchmarks/README.md](../benchmarks/README.md): what was tried on the way, and did not help.
#   [benchmarks/kernels.py](../benchmarks/kernels.py): the ladder as a command.
