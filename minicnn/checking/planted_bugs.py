"""The bugs of the zoo: slips that somebody has made in a network, each a replacement of source.

A new bug is a new row. Its `old` text has to occur once in its module, so that the table cannot
grow old in silence.
"""

from typing import NamedTuple


class Bug(NamedTuple):
    """A defect: `new` in the place of `old`, which occurs once in the module's source.

    What it makes wrong is its kind: outputs of a layer or loss ("forward"), their gradients
    ("gradient"), steps of training ("training"), or what is said about them ("reporting").
    """

    name: str
    kind: str
    module: str
    old: str
    new: str


# Each cell of a window that equals its maximum gets the gradient, instead of the first alone.
PAY_ALL_TIES = """
        return y, (winner, (x, y, geometry))

    def backward(self, dy, cache):
        winner, (x, y, g) = cache
        below, right = (g.oh - 1) * g.sh + g.kh, (g.ow - 1) * g.sw + g.kw
        padded = np.full((len(x), g.h + below, g.w + right, x.shape[3]), -np.inf, x.dtype)
        padded[:, g.top : g.top + g.h, g.left : g.left + g.w] = x
        dx = np.zeros_like(x)
        for cell in range(g.kh * g.kw):
            ki, kj = divmod(cell, g.kw)
            seen = padded[:, ki : ki + below - g.kh + 1 : g.sh, kj : kj + right - g.kw + 1 : g.sw]
            dx += pooling.grad_input(dy * (seen == y), np.full_like(winner, cell), g)
        return dx, {}
"""

# Negative sums become -0.0, which equals 0.0, so that the way back can tell them from 0.0.
PASS_AT_ZERO = """
    return np.copysign(np.maximum(z, 0), z)


def relu_backward(dy, y):
    return dy * ~np.signbit(y)
"""

BUGS = [  # module by module
    Bug(
        "odd padding on the wrong side",
        "forward",
        "shapes.py",
        "return total // 2, total - total // 2",
        "return total - total // 2, total // 2",
    ),
    Bug(
        "height and width swapped in strides",
        "forward",
        "shapes.py",
        "Geometry(*image, *window, *strides,",
        "Geometry(*image, *window, *strides[::-1],",
    ),
    Bug(
        "height and width swapped in padding",
        "forward",
        "shapes.py",
        "*strides, *before, *outputs)",
        "*strides, *before[::-1], *outputs)",
    ),
    Bug(
        "a window too many where strides leave a rest",
        "forward",
        "shapes.py",
        "(size - extent) // stride + 1)",
        "-(-(size - extent) // stride) + 1)",
    ),
    Bug(
        "kernel rotated on the way there",
        "forward",
        "layers.py",
        'prepare(self.params["kernel"])',
        'prepare(np.ascontiguousarray(self.params["kernel"][::-1, ::-1]))',
    ),
    Bug(
        "convolution skips the activation on the way back",
        "gradient",
        "layers.py",
        "_, y, _ = cache\n        return self.activation.backward(",
        "_, y, _ = cache\n        return (lambda dy, y: dy)(",
    ),
    Bug(
        "bias gradient of one position alone",
        "gradient",
        "layers.py",
        '"bias": sum_of_rows(dz)}',
        '"bias": sum_of_rows(dz[:, 0, 0])}',
    ),
    Bug(
        "Winograd: transformed kernel never renewed",
        "training",
        "layers.py",
        "        layer = self.twin()\n",
        "        self._prepared_kernel = self._prepare_kernel()\n        layer = self.twin()\n",
    ),
    Bug(
        "all tied maxima paid",
        "gradient",
        "layers.py",
        """
        return y, (winner, geometry)

    def backward(self, dy, cache):
        winner, geometry = cache
        dy = self.checked_gradient(dy, winner.shape)
        return pooling.grad_input(dy, winner, geometry), {}  # nothing to learn: no gradients
""",
        PAY_ALL_TIES,
    ),
    Bug(
        "winners of large windows overflow a byte",
        "gradient",
        "layers.py",
        "np.min_scalar_type(last_cell)",
        "np.uint8",
    ),
    Bug(
        "bias summed over the wrong axis",
        "gradient",
        "layers.py",
        "np.ones(len(rows), dz.dtype) @ rows",
        "rows @ np.ones(rows.shape[1], dz.dtype)",
    ),
    Bug(
        "bias gradient a mean, not a sum",
        "gradient",
        "layers.py",
        "np.ones(len(rows), dz.dtype) @ rows",
        "np.ones(len(rows), dz.dtype) @ rows / len(rows)",
    ),
    Bug(
        "flattened channel by channel",
        "forward",
        "layers.py",
        "x.reshape(len(x), *self",
        "np.moveaxis(x, -1, 1).reshape(len(x), *self",
    ),
    Bug(
        "Dense: rows behind the last full block left out",
        "forward",
        "kernels/dense.py",
        "for first in range(rest, n):",
        "for first in range(rest, rest):",
    ),
    Bug(
        "Dense: of long sums only the last terms",
        "forward",
        "kernels/dense.py",
        "y[first + row, unit + u] += sums[row, u]",
        "y[first + row, unit + u] = bias[unit + u] + sums[row, u]",
    ),
    Bug(
        "kernel reshaped for dx, not transposed",
        "gradient",
        "kernels/dense.py",
        "np.dot(kernel, dz.T, dx_transposed)",
        "np.dot(kernel.reshape(units, inputs).T, dz.T, dx_transposed)",
    ),
    Bug(
        "dkernel skips the activation",
        "gradient",
        "kernels/dense.py",
        "_kernel_gradient(x, dz), dbias",
        "_kernel_gradient(x, dy), dbias",
    ),
    Bug(
        "kernel not rotated in dx",
        "gradient",
        "kernels/direct.py",
        "dy[image, i, j, o] * kernel[ki, kj, ch, o]",
        "dy[image, i, j, o] * kernel[g.kh - 1 - ki, g.kw - 1 - kj, ch, o]",
    ),
    Bug(
        "stride ignored on the way back",
        "gradient",
        "kernels/im2col.py",
        "target = dpadded[i * g.sh + ki,",
        "target = dpadded[i + ki,",
    ),
    Bug(
        "windows overwrite what they share",
        "gradient",
        "kernels/im2col.py",
        "target[cell] += source[cell]",
        "target[cell] = source[cell]",
    ),
    Bug(
        "scratch not cleared between images",
        "gradient",
        "kernels/im2col.py",
        "    dpadded[:] = 0\n",
        "",
    ),
    Bug(
        "dkernel of the last image alone",
        "gradient",
        "kernels/im2col.py",
        "dkernel += product",
        "dkernel = product.copy()",
    ),
    Bug(
        "planes: cells of a window column by column",
        "forward",
        "kernels/planes.py",
        "(ch * planes.shape[1] + ki) * planes.shape[2] + kj",
        "(ch * planes.shape[1] + kj) * planes.shape[2] + ki",
    ),
    Bug(
        "planes: border above and to the left swapped",
        "forward",
        "kernels/planes.py",
        "source, target = image[i], planes[ch, i + g.top, g.left :]",
        "source, target = image[i], planes[ch, i + g.left, g.top :]",
    ),
    Bug(
        "Winograd: a coefficient has lost its sign",
        "forward",
        "kernels/winograd.py",
        "g.append([point**k / value for",
        "g.append([point**k / abs(value) for",
    ),
    Bug(
        "Winograd: the point at infinity left out",
        "forward",
        "kernels/winograd.py",
        "a.append([Fraction(int(i == TILE - r))",
        "a.append([Fraction(0)",
    ),
    Bug(
        "Winograd: kernel reshaped for dx, not transposed",
        "gradient",
        "kernels/winograd.py",
        "np.ascontiguousarray(self.u.swapaxes(1, 2))",
        "self.u.reshape(len(self.u), self.u.shape[2], -1)",
    ),
    Bug(
        "Winograd: rounding left where windows are blank",
        "forward",
        "kernels/tiles.py",
        "pixel[o] = 0 * pixel[o] + bias[o]",
        "pass",
    ),
    Bug(
        "Winograd: tiles overwrite what they should add to",
        "forward",
        "kernels/tiles.py",
        "target[e] + source[e] if add else source[e]",
        "source[e]",
    ),
    Bug(
        "Winograd: tiles over the lower edge not added",
        "forward",
        "kernels/tiles.py",
        "range(max(0, -row), min(q, h - row)):\n                target = pixels",
        "range(max(0, -row), q if q <= h - row else 0):\n                target = pixels",
    ),
    Bug(
        "Winograd: dkernel of the last group of images",
        "gradient",
        "kernels/tiles.py",
        "_gemm(TRANSPOSED, x, y, out, zero_and_one[1:], zero_and_one[1:])",
        "_gemm(TRANSPOSED, x, y, out, zero_and_one[1:], zero_and_one[:1])",
    ),
    Bug(
        "Winograd: old pixels left over the edge",
        "forward",
        "kernels/tiles.py",
        "tile[:] = 0  # what",
        "pass  # what",
    ),
    Bug(
        "last maximum wins",
        "gradient",
        "kernels/pooling.py",
        "late <= early",
        "late < early",
    ),
    Bug(
        "maxima start at zero",
        "forward",
        "kernels/pooling.py",
        "                untouched = True\n",
        "                untouched = False\n                y[image, i, j] = 0\n"
        "                winner[image, i, j] = 0\n",
    ),
    Bug(
        "overlapping windows overwrite each other",
        "gradient",
        "kernels/pooling.py",
        "target[ch] += source[ch]",
        "target[ch] = source[ch]",
    ),
    Bug(
        "ReLU's gradient let through everywhere",  # as if y were z
        "gradient",
        "kernels/relu.py",
        "flat_y[i] > floor",
        "flat_y[i] >= floor",
    ),
    Bug(
        "ReLU's gradient by the sign of dy",
        "gradient",
        "kernels/relu.py",
        "flat_y[i] > floor",
        "flat_dy[i] > floor",
    ),
    Bug(
        "softmax without its maximum taken off",
        "forward",
        "kernels/softmax.py",
        "np.exp(z[j] - largest)",
        "np.exp(z[j])",
    ),
    Bug(
        "loss forgets the maximum taken off",
        "forward",
        "kernels/softmax.py",
        "(np.float64(z[row, label]) - z[row].max())",
        "np.float64(z[row, label])",
    ),
    Bug(
        "label shifted in the loss's gradient",
        "gradient",
        "kernels/softmax.py",
        "(j == label)",
        "(j == label - 1)",
    ),
    Bug(
        "ReLU's gradient passes at zero",
        "gradient",
        "activations.py",
        """
    return np.maximum(z, 0, out=out)


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    \"\"\"dz = dy where z > 0, else 0; at z = 0 exactly it is 0, as in TensorFlow.\"\"\"
    return grad_before_floor(dy, y, dy.dtype.type(0))
""",
        PASS_AT_ZERO,
    ),
    Bug(
        "softmax's gradient cell by cell",
        "gradient",
        "activations.py",
        "y * (dy - (dy * y).sum(axis=-1, keepdims=True))",
        "y * (1 - y) * dy",
    ),
    Bug(
        "winners looked up column by column",
        "training",
        "kernels/sparse.py",
        "cell // pool.kw * down + cell % pool.kw * across",
        "cell % pool.kh * down + cell // pool.kh * across",
    ),
    Bug(
        "row of the kernel ignored on the way to dx",
        "training",
        "kernels/sparse.py",
        "(i * g.sh + ki) * width",
        "i * g.sh * width",
    ),
    Bug(
        "window of x begins at the pooling's row",
        "training",
        "kernels/sparse.py",
        "(i * pool.sh - pool.top) * down",
        "(i - pool.top) * down",
    ),
    Bug(
        "ReLU lost behind a pooling",
        "training",
        "objective.py",
        "new_winners(len(x)), self.convolution.kernels_floor(x.dtype)",
        "new_winners(len(x)), x.dtype.type(-np.inf)",
    ),
    Bug(
        "missing division by the batch",
        "gradient",
        "step.py",
        "dy /= batch_size",
        "dy /= 1",
    ),
    Bug(
        "divided by the shard, not by the batch",
        "gradient",
        "step.py",
        "dy /= batch_size",
        "dy /= len(dy)",
    ),
    Bug(
        "the first layer never learns",
        "training",
        "step.py",
        "grads = layer.weight_gradients(dy, cache)",
        "grads = {key: 0 * weight for key, weight in layer.params.items()}",
    ),
    Bug(
        "labels not shuffled with their samples",
        "training",
        "batches.py",
        "None if labels is None else labels[members]",
        "None if labels is None else labels[start : start + size]",
    ),
    Bug(
        "the last partial batch left out",
        "training",
        "batches.py",
        "for start in range(0, len(x), size):",
        "for start in range(0, max(len(x) - size, 0) + 1, size):",
    ),
    Bug(
        "a shard dropped from the sum",
        "training",
        "optimizers.py",
        "for gradient in others:",
        "for gradient in others[:-1]:",
    ),
    Bug(
        "epsilon corrected for bias",
        "training",
        "optimizers.py",
        "self.epsilon, SMALLEST[weight.dtype])",
        "self.epsilon * math.sqrt(1 - self.beta_2**t), SMALLEST[weight.dtype])",
    ),
    Bug(
        "bias correction left out",
        "training",
        "optimizers.py",
        "self.learning_rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)",
        "self.learning_rate",
    ),
    Bug(
        "bias correction multiplied",
        "training",
        "optimizers.py",
        ") / (1 - self.beta_1**t)",
        ") * (1 - self.beta_1**t)",
    ),
    Bug(
        "every weight array counted as a step",
        "training",
        "optimizers.py",
        "            for index, numbers in part:\n",
        "            for index, numbers in part:\n                self.iterations += index > 0\n",
    ),
    Bug(
        "Nesterov's look ahead left out",
        "training",
        "optimizers.py",
        "self.momentum * velocity + step if self.nesterov else velocity",
        "velocity",
    ),
    Bug(
        "epsilon inside the root",
        "training",
        "kernels/updates.py",
        "(np.sqrt(v[i]) + epsilon)",
        "np.sqrt(v[i] + epsilon)",
    ),
    Bug(
        "mean of batch means",
        "reporting",
        "metrics.py",
        "        self.total += total\n        self.count += len(values)\n",
        "        self.total += total / len(values)\n        self.count += 1\n",
    ),
    Bug(
        "the last partial batch counted in full",
        "reporting",
        "metrics.py",
        "        self.count += len(values)\n",
        "        self.full = max(len(values), getattr(self, 'full', 0))\n"
        "        self.count += self.full\n",
    ),
    Bug(
        "means not reset between epochs",
        "reporting",
        "trainer.py",
        "        self.reset_metrics()\n        for batch, ",
        "        for batch, ",
    ),
]
