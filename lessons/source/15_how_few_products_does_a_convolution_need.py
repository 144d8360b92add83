# %% [markdown]
# # 15 · How few products does a convolution need?
#
# *25 minutes · needs lessons 2, 3 and 8*
#
# **You will build** the second convolution of the network as one matrix product, and then with 64 products where the
# formula has 400. You will time both against minicnn.

# %%
import time
from fractions import Fraction

import numba
import numpy as np

from checks import check_15 as check
from minicnn import plots
from minicnn.checking.environment import machine
from minicnn.engine.blas import one_thread
from minicnn.engine.kernels import direct, im2col, winograd
from minicnn.engine.kernels.winograd_matrices import POINTS, error_growth, matrices
from minicnn.shapes import window_geometry

# %% [markdown]
# ## How slow is it?
#
# Lesson 1 counted the work: the second convolution does 92.4 % of all products of the network, 10,035,200 for one image.
# Here is that layer, with random numbers in float32, and the naive code of lesson 2. It computes one filter for one image
# that has been padded with zeros.

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((16, 14, 14, 32), np.float32)  # 16 images
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
# The results are compared first, and timed afterwards. The clock counts *processor time*, which other programs on the
# machine change less than they change real time. Of several calls the shortest counts, and the functions take turns, so
# that a slow moment of the machine affects all of them. Only ratios are shown, together with the machine. On yours they
# will be different.
#
# **Guess before you run:** a compiler translates the same loops to machine code. How many times as fast are they then?


# %% tags=["varies"]
def in_turns(functions, rounds=5):
    """Seconds that a call takes: the shortest of some, by the functions' names."""
    times = {name: [] for name in functions}
    with one_thread:  # BLAS multiplies matrices on this thread, too
        for function in functions.values():
            function()  # whatever has to be compiled is compiled now
        for _ in range(rounds):
            for name, function in functions.items():
                start, wall, calls = time.thread_time(), time.perf_counter(), 0
                while time.perf_counter() - wall < 0.03:  # short calls are repeated
                    function()
                    calls += 1
                times[name].append((time.thread_time() - start) / calls)
    return {name: max(min(seconds), 1e-9) for name, seconds in times.items()}


def said(ratio):
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


compiled_loops = numba.njit(python_loops)
functions = {
    "Python": lambda: python_loops(padded, kernel[..., 0], bias[0]),
    "compiled": lambda: compiled_loops(padded, kernel[..., 0], bias[0]),
    "minicnn": lambda: direct.forward(x[:1], kernel, bias, geometry),
}
times = in_turns(functions)
print(machine())
for name, filters in {"compiled": 1, "minicnn": 64}.items():
    ratio = filters * times["Python"] / times[name]
    print(f"loops, {name}: {said(ratio)} times as fast as in Python")
    assert ratio > 20

# %% [markdown]
# The compiled loops do the same products in the same order. For *each* of them, Python looks up the types of the two numbers,
# finds the function that multiplies such types, creates an object for the result, and checks eight indices. A compiler does this
# once, before the program runs. minicnn's loops compute all filters, and the innermost loop runs over them: their numbers are
# neighbours in memory, and the processor multiplies several of them with one instruction.
#
# Two more steps are in this lesson: write the convolution as a matrix product, and then do fewer products. Lesson 16 is about
# what the processor does with them.
#
# ## One matrix product
#
# NumPy's `@` calls a library (*BLAS*) that has been tuned for decades. To use it, write every window as a row of a matrix
# `cols`, as in lesson 2. This is called **im2col**:
#
# $$\underbrace{cols}_{oh \cdot ow\ \times\ kh \cdot kw \cdot c} \cdot \underbrace{kernel}_{kh \cdot kw
# \cdot c\ \times\ f} + bias = \underbrace{y}_{oh \cdot ow\ \times\ f}$$
#
# ## Exercise 1: a convolution as one product
#
# Use one `@`, and no loop over channels, filters or cells of the kernel. `reshape` takes the numbers of an array in the
# order of its axes, the last axis fastest. So a row of `cols` has to list its window in the order of the kernel's first three
# axes.


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
# <details><summary>Hint 1</summary>Windows come from two loops over <code>i</code> and <code>j</code>, or, without loops, from
# <code>np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (0, 1))</code>, which has the shape (oh, ow, c, kh, kw).</details>
# <details><summary>Hint 2</summary>Bring its axes into the order oh, ow, kh, kw, c before you reshape it to
# (oh * ow, kh * kw * c).</details>
# <details><summary>Hint 3</summary><code>kernel.reshape(kh * kw * c, f)</code> needs no transpose: f is its last axis already.</details>
#
# Now time yours, on the layer above. **Guess before you run:** how does it compare with minicnn's compiled loops?

# %% tags=["varies"]
if check.conv_by_product.verdict(conv_by_product).passed:
    functions["yours"] = lambda: conv_by_product(padded, kernel, bias)
    times = in_turns(functions)
    print(machine())
    for name, filters in {"Python": 64, "compiled": 64, "minicnn": 1}.items():
        ratio = filters * times[name] / times["yours"]
        print(f"yours: {said(ratio)} times as fast as the loops, {name}")
else:
    print("Solve exercise 1, and this cell times what you wrote.")

# %% [markdown]
# The cost: `cols` is up to 25 times as large as the image. minicnn fills it for one image at a time, so that it stays in the
# processor's cache.
#
# ## Fewer products: two polynomials
#
# A matrix product that runs at the full speed of the machine cannot be made faster. What remains is to do fewer products.
# The idea comes from polynomials. Multiply
#
# $$(2 + 3t)(5 - t) = 10 + 13t - 3t^2.$$
#
# The method from school takes four products: $2\cdot5$, $2\cdot(-1)$, $3\cdot5$, $3\cdot(-1)$. But the
# result has only *three* coefficients, $c_0 + c_1t + c_2t^2$, and three of its values are enough to find
# them. Each value costs one product, because the value of a product is the product of the values.
#
# | point | first | second | product | which is |
# |---|---|---|---|---|
# | t = 0 | 2 | 5 | 2 · 5 = 10 | $c_0$ |
# | t = 1 | 2 + 3 = 5 | 5 - 1 = 4 | 5 · 4 = 20 | $c_0 {+} c_1 {+} c_2$ |
# | t = ∞ | 3 | -1 | 3 · (-1) = -3 | $c_2$ |
#
# ("The value at infinity" means the coefficient of the highest power: for large $t$ it alone matters.) So $c_0 = 10$,
# $c_2 = -3$ and $c_1 = 20 - 10 + 3 = 13$. **Three products instead of four.** The price is some additions.
#
# The same with matrices, one row for each point: $V_2$ turns two coefficients into three values, $V_3$ turns three
# coefficients into three values, and the inverse of $V_3$ turns values back into coefficients:
#
# $$V_2 = \begin{pmatrix}1&0\\1&1\\0&1\end{pmatrix} \quad
# V_3 = \begin{pmatrix}1&0&0\\1&1&1\\0&0&1\end{pmatrix} \quad
# V_3^{-1} = \begin{pmatrix}1&0&0\\-1&1&-1\\0&0&1\end{pmatrix}$$
#
# $$coefficients = V_3^{-1}\big[(V_2\,g) * (V_2\,a)\big]$$
#
# Here $a$ and $g$ are the two lists of coefficients, and $*$ multiplies cell by cell, as in NumPy.

# %%
V2 = np.array([[1, 0], [1, 1], [0, 1]])
V3 = np.array([[1, 0, 0], [1, 1, 1], [0, 0, 1]])
inverse = np.array([[1, 0, 0], [-1, 1, -1], [0, 0, 1]])
assert (inverse @ V3 == np.eye(3)).all()

a, g = np.array([2, 3]), np.array([5, -1])
assert ((V2 @ g) * (V2 @ a)).tolist() == [10, 20, -3]
assert (inverse @ ((V2 @ g) * (V2 @ a))).tolist() == [10, 13, -3]

# %% [markdown]
# ## A convolution is the backward pass of a polynomial product
#
# In a product of polynomials, $a_i g_k$ is added to the coefficient of $t^{i+k}$:
#
# $$\text{coefficient}_j = \sum_{i + k = j} a_i\,g_k.$$
#
# Compute its backward pass, as in lesson 8. Let $d_j$ be the gradient that arrives at coefficient $j$. By the chain rule the
# product $a_i g_k$ contributes $d_{i+k}\,g_k$ to the gradient of $a_i$, and the contributions add up:
#
# $$y_i = \sum_k d_{i+k}\,g_k.$$
#
# **This is lesson 2's convolution** of a row of pixels $d$ with a kernel $g$. It does not matter that $d$ was a gradient: the
# formula is the same. So from here on $d$ is the image, $g$ the kernel and $y$ the output, and $a$ is not needed any more. So a fast way to multiply polynomials gives a fast convolution: its backward pass.
# The rules for that are known. The backward pass of a matrix is its transpose (lesson 7: $dx = dy \cdot kernel^T$); the backward
# pass of "times $V_2\,g$, cell by cell" is the same multiplication; and the steps are taken in reverse order. With ${}'$ for
# "transposed", $V_3^{-1}[(V_2\,g) * (V_2\,a)]$ becomes
#
# $$y = V_2'\,\big[(V_2\,g) * (V_3^{-1\prime}\,d)\big].$$
#
# This is **Winograd's convolution**. Written out without matrices, it can be checked by hand:
#
# $$p_0 = g_0\,(d_0 - d_1), \quad p_1 = (g_0 + g_1)\,d_1, \quad p_2 = g_1\,(d_2 - d_1),$$
#
# $$y_0 = p_0 + p_1 = g_0 d_0 + g_1 d_1, \quad y_1 = p_1 + p_2 = g_0 d_1 + g_1 d_2.$$
#
# For the first row of lesson 2's image, $d = (1, 2, 0)$, and its kernel's, $g = (1, -1)$: the products
# are $1\cdot(-1) = -1$, $0\cdot2 = 0$, $-1\cdot(-2) = 2$, and $y = (-1, 2)$. And indeed $1 - 2 = -1$, $2 - 0 = 2$.

# %%
d, g = np.array([1, 2, 0]), np.array([1, -1])
assert (inverse.T @ d).tolist() == [-1, 2, -2]
assert (V2 @ g).tolist() == [1, 0, -1]
assert (V2.T @ ((V2 @ g) * (inverse.T @ d))).tolist() == [-1, 2]

# %% [markdown]
# A convolution with three products instead of four. In general, `m` outputs of a kernel of `r` cells (Winograd's letters) use
# $m + r - 1$ pixels, so the polynomial has $m + r - 1$ coefficients. Take as many points: $m + r - 2$ different numbers, and
# infinity. Let $V_k$ be the matrix with a row $1, p, p^2, \dots, p^{k-1}$ for each number $p$, and a last row
# $0, \dots, 0, 1$ for infinity. The three matrices have names:
#
# $$y = A'\,\big[(G\,g) * (B'\,d)\big]$$
#
# $$A = V_m, \quad G = V_r, \quad B = V_{m+r-1}^{-1}.$$
#
# This takes $m + r - 1$ products instead of $m \cdot r$, and Winograd proved that fewer are not possible. It is
# called F(m, r); the example above was F(2, 2).
#
# ## Exercise 2: the matrices
#
# `points` holds the numbers; infinity is the last row. The inverse is `np.linalg.inv`.


# %% tags=["exercise"]
def transforms(points, m, r):
    """A (m + r - 1, m), B (m + r - 1, m + r - 1), G (m + r - 1, r), in this
    order. points is an array of m + r - 2 numbers."""

    # solution
    def powers(count):
        rows = [[p**k for k in range(count)] for p in points]
        return np.array([*rows, [0] * (count - 1) + [1]])

    return powers(m), np.linalg.inv(powers(m + r - 1)), powers(r)


# %%
check.transforms(transforms)

# %% [markdown]
# <details><summary>Hint 1</summary>Write a function <code>powers(k)</code> that returns the matrix V with k columns, and call it
# three times.</details>
# <details><summary>Hint 2</summary>A row is <code>[p**j for j in range(k)]</code>; in Python <code>0.0 ** 0</code> is 1, as it
# should be.</details>
# <details><summary>Hint 3</summary>The last row is <code>[0] * (k - 1) + [1]</code>.</details>
#
# ## In two dimensions: nine products instead of sixteen
#
# Transform rows and columns, one after the other: $B'\,d$ transforms the columns of an image, and $(B'\,d)\,B$ then its rows. The
# same holds for the kernel and the outputs:
#
# $$Y = A'\,\big[\underbrace{(G\,g\,G')}_{U} * \underbrace{(B'\,d\,B)}_{V}\big]\,A.$$
#
# Here are all numbers for the image and the kernel of lesson 2 (without the bias). You can follow them on paper: $B'$ means "first
# minus second, second, third minus second", $G$ means "first, sum, second", and $A'$ means "first plus second, second plus third".

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
# The transforms are additions here; with more points they also multiply by constants. They would cost more than they save if they
# were needed for every product. The section "Channels" shows how one transform serves many products.
#
# ## Tiles
#
# A whole image is cut into tiles of $m + r - 1$ by $m + r - 1$ cells. They start `m` cells apart, so they overlap by $r - 1$. Every
# tile gives $m \times m$ outputs. The last tiles may reach beyond the image; the outputs there are dropped. With 8 points, $m = 4$ for
# kernels of 5 x 5, which is F(4 x 4, 5 x 5):

# %% tags=["fold"]
from matplotlib.patches import Rectangle

NUMBERS = [0, 1, -1, 2, -2, 1 / 2, -1 / 2, 4, -4, 1 / 4, -1 / 4]
single = np.float32


def rounding_error(m, r=5, tiles=40, c=32):
    """Of F(m x m, r x r) in float32, and of the formula: root mean square, relative."""
    points = np.array(NUMBERS[: m + r - 2])
    V_all, G, A = (
        np.vstack([np.vander(points, k, increasing=True), np.eye(k)[-1]])
        for k in (m + r - 1, r, m)
    )
    # A factor may move from a row of G to a column of B. This one gives B simple numbers.
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
losing.set_ylabel("relative error, root mean square")
lines = saving.get_lines() + losing.get_lines()
saving.legend(handles=lines, loc="upper center", frameon=False)
saving.set_title("F(m x m, 5 x 5): fewer products, larger errors", fontsize=11)
figure

# %% [markdown]
# On the left, the frames of 8 x 8 are tiles, and the filled squares are their outputs. In minicnn, images are not padded: a tile that
# reaches over the edge reads zeros there. The right picture shows why tiles are not larger. More points bring larger powers, up to
# $4^{11}$, and sums of large numbers that cancel lose digits. With $m = 4$ one product in six is left, and the error is about ten
# times that of the formula: one of seven digits is lost. With $m = 6$ one product in nine would be left, at hundreds of times the
# error. (Other points do better: see "Which points?" below.)

# %%
error = dict(zip(sizes.tolist(), errors / of_formula, strict=True))
assert round(25 / products[sizes == 4].item(), 2) == 6.25
assert round(25 / products[sizes == 6].item()) == 9
assert 4 < error[4] < 30
assert 200 < error[6] < 3000

# %% [markdown]
# ## Exercise 3: how many products?
#
# An image has `n` x `n` pixels and one channel; there is one filter of `r` x `r`, "same" padding and stride 1. How many
# products does F(m x m, r x r) take, including those of tiles that reach beyond the image?


# %% tags=["exercise"]
def products_of(n, r, m):
    """Products cell by cell, over all tiles of an image; an integer."""
    # solution
    tiles = (-(-n // m)) ** 2
    return tiles * (m + r - 1) ** 2


# %%
check.products_of(products_of)

# %% [markdown]
# <details><summary>Hint 1</summary>How many tiles cover one row of n outputs? Each of them gives m.</details>
# <details><summary>Hint 2</summary>Each tile takes one product for each of its (m + r - 1) squared cells.</details>
#
# For our layer, `n=14, r=5, m=4`, this is 1,024, where the formula has $14^2 \cdot 5^2 = 4{,}900$: 4.8 times
# as many. If the tiles fitted exactly, the ratio would be 6.25.

# %%
assert round(14**2 * 5**2 / 1024, 1) == 4.8
assert 400 / 64 == 6.25

# %% [markdown]
# ## Channels: matrix products again
#
# With `c` channels and `f` filters, an output is a sum over channels. The sum can be taken *before* the transform $A'(\dots)A$, because
# this transform is linear. It is then needed once for each filter, not once for each pair of channel and filter:
#
# $$Y_o = A'\,\Big[\sum_{ch} U_{ch,\,o} * V_{ch}\Big]\,A.$$
#
# Now look at *one* of the 8 x 8 cells of a tile. For this cell, each tile has `c` numbers of $V$, each pair of channel and filter has
# one number of $U$, and the sum over channels is a matrix product, (tiles x `c`) times (`c` x `f`). So
# **Winograd's convolution is 64 matrix products**, one for each cell, and BLAS does them. Each tile is transformed once for each channel, for
# all 64 filters; the kernel is transformed once, for all tiles of all images.
#
# ## Exercise 4: one tile
#
# A tile `d` with channels, a kernel `g` with channels and filters, no bias. The check also uses matrices that belong to no
# points, so follow the formula; sliding the kernel over the tile is not the same there.


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
# <details><summary>Hint 1</summary>Two loops, over filters and channels; <code>g[:, :, ch, o]</code> and <code>d[:, :, ch]</code>
# are matrices.</details>
# <details><summary>Hint 2</summary>Add up <code>U * V</code> over the channels first, and transform the sum with
# <code>A.T @ ... @ A</code>.</details>
#
# `matrices` in minicnn computes the same as your `transforms`, in exact fractions, except that factors are moved from $G$ to $B$ so
# that $B$ has simple numbers. This is $B'$ for the 8 points of the picture, for kernels of 5 x 5, and also for 3 x 3, where these points
# give 6 x 6 outputs:

# %%
EIGHT = tuple(map(Fraction, ["0", "1", "-1", "2", "-2", "1/2", "-1/2"]))
A, B, G = matrices(5, EIGHT)
print("points:", *EIGHT, "and infinity")
for row in B.T:
    print(*(f"{cell!s:>6}" for cell in row))
assert (matrices(3, EIGHT)[1] == B).all()

d, g = rng.standard_normal(8), rng.standard_normal(5)
A, B, G = (matrix.astype(float) for matrix in (A, B, G))
assert np.allclose(A.T @ ((G @ g) * (B.T @ d)), [d[i : i + 5] @ g for i in range(4)])

# %% [markdown]
# ## Which points?
#
# How much rounding costs can be computed from the matrices alone. The sum over the channels at point $p$ is as large as row $p$ of $G\,g$
# times row $p$ of $B'\,d$. It is rounded in proportion to its size, and this error reaches the outputs by row $p$ of $A$. For numbers
# $g$ and $d$ that have nothing to do with each other, the squares of these errors add up, so that the error is that of the formula times
#
# $$\sqrt{\frac{1}{m\,r} \sum_p |A_p|^2\,|G_p|^2\,|B'_p|^2}$$
#
# in one dimension, and the square of this number in two. Here $|A_p|^2$ is the sum of the squares in row $p$. minicnn's points are those
# with the smallest sum, found by trying, and rounded to fractions that float32 holds exactly.
#
# **Guess before you run:** by how much does the error shrink with seven points instead of eight?

# %% tags=["fold"]
for r, points in [(5, EIGHT), (5, tuple(POINTS[5])), (3, EIGHT), (3, tuple(POINTS[3]))]:
    n = len(points) + 1
    m = n + 1 - r
    pairs = ", ".join(f"±{p}" if p else "0" for p in points if p >= 0)
    print(f"F({m} x {m}, {r} x {r}) with {pairs} and infinity")
    print(
        f"   {n**2 / m**2:.2f} products an output, "
        f"errors {error_growth(r, points) ** 2:.1f} times as large"
    )
assert round(error_growth(5, EIGHT) ** 2 / error_growth(5) ** 2) == 2
assert round(error_growth(3, EIGHT) ** 2 / error_growth(3) ** 2) == 4
assert 5**2 * 7**2 == 1225  # 5 x 5 tiles of 3 x 3 outputs for 14 x 14

# %% [markdown]
# Each point more saves products and doubles the error. Keras computes such layers by the formula, and training can only follow it closely
# if rounding errors are about as small. So minicnn takes 7 points for kernels of 5 x 5, which is F(3 x 3, 5 x 5), and 6 for 3 x 3, F(4 x 4, 3 x 3).
# Our layer then takes 25 tiles with 49 products each, 1,225 instead of 1,024. Besides, it adds up the channels in groups of 16, which rounds
# less than one long sum.
#
# ## The backward pass
#
# Training needs two gradients for a given $dy$ (lesson 8): $dg$ of the kernel and $dd$ of the tile. Apply the chain rule to
# $Y = A'[U * V]A$, one step at a time, from the last to the first:
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
# $dy$ is transformed once for both gradients, $U$ is kept from the forward pass, and no kernel has to be rotated.
#
# **What Winograd costs.** It needs stride 1, and its own matrices for each size of kernel. The transforms are work, too; with few
# channels they cost more than is saved. The transformed kernel is larger, 49 numbers instead of 25. And it is less exact. On our
# layer, compared with float64:

# %% tags=["fold", "varies"]
exact = direct.forward(
    x.astype(float), kernel.astype(float), bias.astype(float), geometry
)
prepared = winograd.prepare(kernel)  # U, for all channels and filters
outputs = {
    "one product": im2col.forward(x, kernel, bias, geometry),
    "compiled loops": expected,
    "Winograd": winograd.forward(x, prepared, bias, geometry),
}
print("root mean square of the rounding errors")
lost = {name: np.sqrt(((y - exact) ** 2).mean()) for name, y in outputs.items()}
for name, error in lost.items():
    print(f"{name:14} {error:.1e}")
assert prepared.u.shape == (49, 32, 64)
assert lost["one product"] < lost["Winograd"] < 10 * lost["one product"]
assert lost["Winograd"] < 3 * lost["compiled loops"]

# %% [markdown]
# All three round by less than a millionth or so. One product is the most exact, because BLAS keeps several sums for each output and adds them
# up in the end; the loops add 800 products to one sum.
#
# ## Challenge: the whole layer as 64 products
#
# Join it: cut an image into tiles, transform all tiles and the whole kernel, do one matrix product for each cell of a tile,
# transform back, and put the outputs in their places. There are no loops over tiles, channels or filters: `@` also multiplies
# stacks of matrices, over the last two axes. Pad the image with zeros at the bottom and on the right, so that the tiles fit, and
# drop the outputs that are too many.


# %% tags=["exercise", "challenge"]
def conv_by_tiles(x, kernel, bias, A, B, G):
    """One image x (h, w, c), kernel (r, r, c, f), bias (f,), without padding:
    y (h - r + 1, w - r + 1, f). A (p, m), B (p, p), G (p, r).
    """
    # solution
    (h, w, _), (r, _, c, f), (p, m) = x.shape, kernel.shape, A.shape
    oh, ow = h - r + 1, w - r + 1
    rows, columns = -(-oh // m), -(-ow // m)
    missing = [(0, rows * m + r - 1 - h), (0, columns * m + r - 1 - w), (0, 0)]
    views = np.lib.stride_tricks.sliding_window_view
    tiles = views(np.pad(x, missing), (p, p), (0, 1))[::m, ::m]
    V = (B.T @ tiles @ B).transpose(3, 4, 0, 1, 2).reshape(p * p, -1, c)
    U = (G @ kernel.transpose(2, 3, 0, 1) @ G.T).transpose(2, 3, 0, 1)
    products = V @ U.reshape(p * p, c, f)  # p * p matrix products
    products = products.reshape(p, p, rows, columns, f).transpose(2, 3, 4, 0, 1)
    Y = (A.T @ products @ A).transpose(0, 3, 1, 4, 2)  # rows, m, columns, m, f
    return Y.reshape(rows * m, columns * m, f)[:oh, :ow] + bias


# %%
check.conv_by_tiles(conv_by_tiles)

# %% [markdown]
# <details><summary>Hint 1</summary><code>sliding_window_view(padded, (p, p), (0, 1))[::m, ::m]</code> has the shape (rows, columns, c,
# p, p): all tiles. How many zeros are needed for that?</details>
# <details><summary>Hint 2</summary>Bring the transformed tiles to (p * p, rows * columns, c), and the transformed kernel to (p * p, c, f).
# One <code>@</code> between these two does all 64 products.</details>
# <details><summary>Hint 3</summary>The outputs come as (rows, columns, f, m, m). Reorder them to (rows, m, columns, m, f) before you
# reshape.</details>
#
# Now time it on the layer above. **Guess before you run:** it does 4.8 times fewer products than `conv_by_product`. How much
# faster is it?

# %% tags=["varies"]
A, B, G = (matrix.astype(np.float32) for matrix in matrices(5, EIGHT))


def numpy_tiles(x, kernel, bias):
    """The solution of the challenge for this layer, one step on each line."""
    views = np.lib.stride_tricks.sliding_window_view
    tiles = views(np.pad(x, [(0, 2), (0, 2), (0, 0)]), (8, 8), (0, 1))[::4, ::4]
    V = (B.T @ tiles @ B).transpose(3, 4, 0, 1, 2).reshape(64, 16, 32)
    U = (G @ kernel.transpose(2, 3, 0, 1) @ G.T).transpose(2, 3, 0, 1)
    products = (V @ U.reshape(64, 32, 64)).reshape(8, 8, 4, 4, 64)
    Y = (A.T @ products.transpose(2, 3, 4, 0, 1) @ A).transpose(0, 3, 1, 4, 2)
    return Y.reshape(16, 16, 64)[:14, :14] + bias


def numpy_product(x, kernel, bias):
    """The solution of exercise 1."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), (0, 1))
    cols = windows.transpose(0, 1, 3, 4, 2).reshape(14 * 14, 5 * 5 * 32)
    return (cols @ kernel.reshape(5 * 5 * 32, 64) + bias).reshape(14, 14, 64)


assert abs(numpy_tiles(padded, kernel, bias) - expected[0]).max() < 1e-4
times = in_turns(
    {
        "one product, NumPy": lambda: numpy_product(padded, kernel, bias),
        "64 products, NumPy": lambda: numpy_tiles(padded, kernel, bias),
        "one product, minicnn": lambda: im2col.forward(x, kernel, bias, geometry),
        "49 products, minicnn": lambda: winograd.forward(x, prepared, bias, geometry),
    }
)
per_image = {name: times[name] / (16 if "minicnn" in name else 1) for name in times}
print(machine())
for name, seconds in per_image.items():
    ratio = per_image["one product, NumPy"] / seconds
    how = (
        f"{said(ratio)} times as fast"
        if ratio >= 1
        else f"{said(1 / ratio)} times as slow"
    )
    print(f"{name:21} {how} as one product in NumPy")
assert per_image["49 products, minicnn"] < per_image["one product, NumPy"]
assert per_image["64 products, NumPy"] > per_image["49 products, minicnn"] * 3

# %% [markdown]
# In NumPy, the 64 products are right at once, and yet **slower** than the one large product. The 64 products are not what takes
# the time. Most of it goes into the transforms: `@` multiplies thousands of tiny matrices, and has to start anew for each of them.
# About half of it is the transform of the kernel, which is needed again for every image here. minicnn's 49 products, for smaller tiles, need
# about the same arithmetic. It transforms the kernel once for all images, and a compiled loop transforms the tiles, many channels at a time, in the processor's
# registers. So counting products is only half of the story. The other half, how a processor gets at its numbers, is lesson 16.
#
# ## The fact

# %%
tiles = 4 * 4  # of 8 x 8 cells, for an image of 14 x 14
assert tiles * 64 == 1024
assert round(14 * 14 * 25 / 1024, 1) == 4.8
assert 4 * 4 * 25 == 400

# %% [markdown]
# > **A tile of 4 x 4 outputs of a 5 x 5 kernel takes 64 products where the formula has 400.** For the whole layer of 14 x 14 outputs
# > it is 1,024 instead of 4,900 for each pair of channel and filter, 4.8 times fewer. The results differ from the formula's only by rounding. minicnn takes 49 products for 3 x 3 outputs, in place of 225: 4 times
# > fewer for this layer, with half the rounding error.
#
# ## In minicnn
#
# - `Conv2D.forward` in [minicnn/layers.py](../minicnn/layers.py): your `conv_by_product`, for a whole batch at once. `forward` in
#   [minicnn/engine/kernels/im2col.py](../minicnn/engine/kernels/im2col.py): the same in the engine, image by image.
# - `matrices` in [minicnn/engine/kernels/winograd_matrices.py](../minicnn/engine/kernels/winograd_matrices.py): your `transforms`,
#   in exact fractions. `POINTS` and `error_growth` are there, too.
# - `forward` and `gradients` in [minicnn/engine/kernels/winograd.py](../minicnn/engine/kernels/winograd.py): your `conv_by_tiles`, for all
#   images. The loops over tiles are in [minicnn/engine/kernels/winograd_tiles.py](../minicnn/engine/kernels/winograd_tiles.py), those of a
#   tile's transform in [minicnn/engine/kernels/winograd_transforms.py](../minicnn/engine/kernels/winograd_transforms.py).
# - `choose_algorithm` in [minicnn/engine/algorithms.py](../minicnn/engine/algorithms.py): which algorithm a layer gets.
