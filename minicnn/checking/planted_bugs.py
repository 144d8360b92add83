"""The table of planted bugs: mistakes that somebody has made, each a replacement of source text.

A new bug is a new row. Its `old` text has to occur exactly once in its module, so that the table
cannot silently become out of date.
"""

from typing import NamedTuple


class Bug(NamedTuple):
    """A bug: `new` in the place of `old`, which occurs once in the module's source.

    `kind` is what becomes wrong: outputs of a layer or loss ("forward"), their gradients
    ("gradient"), steps of training ("training"), or what is said about them ("reporting").
    """

    name: str
    kind: str
    module: str
    old: str
    new: str


# Each cell of a window that equals its maximum gets the gradient, instead of the first alone.
PAY_ALL_TIES = """
        return y, (winner, raised == raised.max(axis=(3, 4), keepdims=True))

    def backward(self, dy, cache):
        winner, chosen = cache
        dy = self.checked_gradient(dy, winner.shape)
        g = self.geometry(self.input_shape)
        return sum_windows(dy[:, :, :, None, None] * chosen, g), {}

    def branches(self, cache):
        return [cache[0]]
"""

# Negative sums become -0.0, which equals 0.0, so that the backward pass can tell them from 0.0.
PASS_AT_ZERO = '''
    return np.copysign(np.maximum(z, 0), z)


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz = dy where z > 0, else 0; at z = 0 exactly it is 0, as in TensorFlow."""
    return dy * ~np.signbit(y)
'''

BUGS = [  # module by module: the core, then the engine
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
        "stride ignored in the backward pass",
        "gradient",
        "windows.py",
        "rows = slice(ki, ki + g.oh * g.sh, g.sh)",
        "rows = slice(ki, ki + g.oh)",
    ),
    Bug(
        "windows overwrite what they share",
        "gradient",
        "windows.py",
        "dpadded[:, rows, columns] += dwindows",
        "dpadded[:, rows, columns] = dwindows",
    ),
    Bug(
        "kernel rotated in the forward pass",
        "forward",
        "layers.py",
        'np.tensordot(cells, self.params["kernel"], axes=3)',
        'np.tensordot(cells, self.params["kernel"][::-1, ::-1], axes=3)',
    ),
    Bug(
        "kernel not rotated in dx",
        "gradient",
        "layers.py",
        "np.tensordot(dz, kernel, axes=(3, 3))",
        "np.tensordot(dz, kernel[::-1, ::-1], axes=(3, 3))",
    ),
    Bug(
        "bias gradient of one position alone",
        "gradient",
        "layers.py",
        "dz.sum(axis=tuple(range(dz.ndim - 1)))",
        "dz.reshape(len(dz), -1, dz.shape[-1])[:, 0].sum(axis=0)",
    ),
    Bug(
        "bias gradient a mean, not a sum",
        "gradient",
        "layers.py",
        "dz.sum(axis=tuple(range(dz.ndim - 1)))",
        "dz.mean(axis=tuple(range(dz.ndim - 1)))",
    ),
    Bug(
        "all tied maxima paid",
        "gradient",
        "layers.py",
        """
        return y, winner  # both (n, oh, ow, c)

    def backward(self, dy, cache):
        winner = cache  # (n, oh, ow, c)
        dy = self.checked_gradient(dy, winner.shape)
        g = self.geometry(self.input_shape)
        numbers = np.arange(g.kh * g.kw).reshape(g.kh, g.kw, 1)  # of the cells of a window
        chosen = winner[:, :, :, None, None] == numbers  # (n, oh, ow, kh, kw, c)
        return sum_windows(dy[:, :, :, None, None] * chosen, g), {}

    def branches(self, cache):
        return [cache]
""",
        PAY_ALL_TIES,
    ),
    Bug(
        "last maximum wins",
        "gradient",
        "layers.py",
        "raised.reshape(n, oh, ow, kh * kw, c).argmax(axis=3)",
        "kh * kw - 1 - raised.reshape(n, oh, ow, kh * kw, c)[:, :, :, ::-1].argmax(axis=3)",
    ),
    Bug(
        "flattened channel by channel",
        "forward",
        "layers.py",
        "x.reshape(len(x), *self",
        "np.moveaxis(x, -1, 1).reshape(len(x), *self",
    ),
    Bug(
        "Dropout: scaled outside of training",
        "forward",
        "layers.py",
        "            return x, None\n",
        "            return x * (1 - self.rate), None\n",
    ),
    Bug(
        "Dropout: mask forgotten in the backward pass",
        "gradient",
        "layers.py",
        "(dy if mask is None else self.checked_gradient(dy, mask.shape) * mask)",
        "dy",
    ),
    Bug(
        "Dropout: the same mask in each step",
        "training",
        "layer.py",
        "(own, *seed[1:])), index])",
        "(own, *seed[1:]))[:1], index])",
    ),
    Bug(
        "ReLU's gradient passes at zero",
        "gradient",
        "activations.py",
        '''
    return np.maximum(z, 0)


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz = dy where z > 0, else 0; at z = 0 exactly it is 0, as in TensorFlow."""
    return dy * (y > 0)
''',
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
        "label shifted in the loss's gradient",
        "gradient",
        "losses.py",
        "gradient[rows, labels] -= 1",
        "gradient[rows, labels - 1] -= 1",
    ),
    Bug(
        "a subclass of the loss replaced by cross-entropy",
        "forward",
        "eager.py",
        "type(loss) not in CROSS_ENTROPIES",
        "not isinstance(loss, CROSS_ENTROPIES)",
    ),
    Bug(
        "missing division by the batch",
        "gradient",
        "step.py",
        "dy / len(x))",
        "dy)",
    ),
    Bug(
        "`training` not passed on",
        "training",
        "step.py",
        "forward(layers, x, training=True, seed=seed)",
        "forward(layers, x, seed=seed)",
    ),
    Bug(
        "the core trains a frozen layer",
        "training",
        "step.py",
        "        if layer.trainable\n",
        "",
    ),
    Bug(
        "state never updated",
        "training",
        "step.py",
        "layer.update_state(cache)",
        "layer.next_state(cache)",
    ),
    Bug(
        "labels not shuffled with their samples",
        "training",
        "batches.py",
        "None if targets is None else targets[part]",
        "None if targets is None else targets[start : start + size]",
    ),
    Bug(
        "the last partial batch left out",
        "training",
        "batches.py",
        "for start in range(0, len(images), size):",
        "for start in range(0, max(len(images) - size, 0) + 1, size):",
    ),
    Bug(
        "bias correction left out",
        "training",
        "optimizers.py",
        "dtype.type(self.learning_rate) * np.sqrt(one - beta_2**t) / (one - beta_1**t)",
        "dtype.type(self.learning_rate)",
    ),
    Bug(
        "epsilon inside the root",
        "training",
        "optimizers.py",
        "(np.sqrt(v) + self.epsilon)",
        "np.sqrt(v + self.epsilon)",
    ),
    Bug(
        "Nesterov's look ahead left out",
        "training",
        "optimizers.py",
        "self.momentum * velocity + step if self.nesterov else velocity",
        "velocity",
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
        "training.py",
        "        self.reset_metrics()\n        seed = ",
        "        seed = ",
    ),
    Bug(
        "activation skipped in the backward pass",
        "gradient",
        "engine/operations.py",
        "dz = activation_gradient(self.activation, dy, y)\n        dx, dkernel",
        "dz = dy\n        dx, dkernel",
    ),
    Bug(
        "bias summed over the wrong axis",
        "gradient",
        "engine/operations.py",
        "np.ones(len(rows), dz.dtype) @ rows",
        "rows @ np.ones(rows.shape[1], dz.dtype)",
    ),
    Bug(
        "winners of large windows overflow a byte",
        "gradient",
        "engine/operations.py",
        "np.min_scalar_type(math.prod(layer.pool_size) - 1)",
        "np.uint8",
    ),
    Bug(
        "Winograd: transformed kernel never renewed",
        "training",
        "engine/operations.py",
        "last is None or last[0].item(0) != kernel.item(0) or not (last[0] == kernel).all()",
        "last is None",
    ),
    Bug(
        "ReLU lost where a pooling is fused",
        "training",
        "engine/operations.py",
        "self.pooling.new_winners(len(x)), self._floor(x)",
        "self.pooling.new_winners(len(x)), x.dtype.type(-np.inf)",
    ),
    Bug(
        "Dropout: mask depends on the shard",
        "training",
        "engine/operations.py",
        "rng.bit_generator.advance(run.first * math.prod(x.shape[1:]))",
        "rng.bit_generator.advance(run.first)",
    ),
    Bug(
        "an own layer gets shards",
        "forward",
        "engine/operations.py",
        "layer.samples_are_independent and not whole",
        "not whole",
    ),
    Bug(
        "a layer with state gets shards",
        "training",
        "engine/operations.py",
        'bool(layer.state) or asks_for(layer, "rng")',
        'asks_for(layer, "rng")',
    ),
    Bug(
        "a subclass taken for its base class",
        "forward",
        "engine/fusion.py",
        """
    known = type(layer) in OPERATIONS and fast.knows_activation(layer)
    return OPERATIONS[type(layer)](layer, index) if known else fast.AsWritten(layer, index)
""",
        """
    known = [kind for kind in OPERATIONS if isinstance(layer, kind)]
    known = known if fast.knows_activation(layer) else []
    return OPERATIONS[known[0]](layer, index) if known else fast.AsWritten(layer, index)
""",
    ),
    Bug(
        "divided by the shard, not by the batch",
        "gradient",
        "engine/plan.py",
        "dy / len(x), is_first",
        "dy / len(dy), is_first",
    ),
    Bug(
        "the first layer never learns",
        "training",
        "engine/plan.py",
        "return None, operations[0].weight_gradients(dy, caches[0]) + grads",
        "return None, [0 * g for g in operations[0].weight_gradients(dy, caches[0])] + grads",
    ),
    Bug(
        "own loss computed shard by shard",
        "forward",
        "engine/plan.py",
        'getattr(\n            loss, "samples_are_independent", False\n        )',
        "True",
    ),
    Bug(
        "training=True in prediction",
        "forward",
        "engine/plan.py",
        "y, run = x[shard], Run(False, (0,), shard.start)",
        "y, run = x[shard], Run(True, (0,), shard.start)",
    ),
    Bug(
        "the engine trains a frozen layer",
        "training",
        "engine/plan.py",
        "            if layer.trainable:\n",
        "            if True:\n",
    ),
    Bug(
        "state updated twice",
        "training",
        "engine/plan.py",
        "layer.update_state(cache)",
        "(layer.update_state(cache), layer.update_state(cache))",
    ),
    Bug(
        "a shard left out of the sum",
        "training",
        "engine/updates.py",
        "for part in others:",
        "for part in others[:-1]:",
    ),
    Bug(
        "an own optimizer gets parts of weights",
        "training",
        "engine/updates.py",
        "if not (type(optimizer) in (SGD, Adam) or optimizer.elementwise):",
        "if False:",
    ),
    Bug(
        "epsilon corrected for bias",
        "training",
        "engine/updates.py",
        "(*rates, optimizer.epsilon,",
        "(*rates, optimizer.epsilon * (1 - optimizer.beta_2**optimizer.iterations) ** 0.5,",
    ),
    Bug(
        "Dense: dkernel of the last shard alone",
        "training",
        "engine/updates.py",
        "return [Product(*map(np.concatenate, zip(*parts, strict=True)))]",
        "return parts[-1:]",
    ),
    Bug(
        "every weight array counted as a step",
        "training",
        "engine/updates.py",
        "        for index, numbers in part:\n",
        "        for index, numbers in part:\n            optimizer.iterations += index > 0\n",
    ),
    Bug(
        "Dense: rows after the last full block left out",
        "forward",
        "engine/kernels/dense.py",
        "for first in range(rest, n):",
        "for first in range(rest, rest):",
    ),
    Bug(
        "Dense: of long sums only the last terms",
        "forward",
        "engine/kernels/dense.py",
        "kernel, kernel_start, units, count, count, 1,",
        "kernel, kernel_start, units, count, count, 0,",
    ),
    Bug(
        "Dense: kernel reshaped for dx, not transposed",
        "gradient",
        "engine/kernels/dense.py",
        "np.dot(kernel, dz.T, dx_transposed)",
        "np.dot(kernel.reshape(units, inputs).T, dz.T, dx_transposed)",
    ),
    Bug(
        "Dense: dkernel skips the activation",
        "gradient",
        "engine/kernels/dense.py",
        "return dx, dz, dbias",
        "return dx, dy, dbias",
    ),
    Bug(
        "direct: kernel not rotated in dx",
        "gradient",
        "engine/kernels/direct.py",
        "dy[image, i, j, o] * kernel[ki, kj, ch, o]",
        "dy[image, i, j, o] * kernel[g.kh - 1 - ki, g.kw - 1 - kj, ch, o]",
    ),
    Bug(
        "im2col: stride ignored in the backward pass",
        "gradient",
        "engine/kernels/im2col.py",
        "target = dpadded[i * g.sh + ki,",
        "target = dpadded[i + ki,",
    ),
    Bug(
        "im2col: scratch not cleared between images",
        "gradient",
        "engine/kernels/im2col.py",
        "    dpadded[:] = 0\n",
        "",
    ),
    Bug(
        "im2col: dkernel of the last image alone",
        "gradient",
        "engine/kernels/im2col.py",
        "dkernel += product",
        "dkernel = product.copy()",
    ),
    Bug(
        "few channels: cells of a window column by column",
        "forward",
        "engine/kernels/few_channels.py",
        "(ch * planes.shape[1] + ki) * planes.shape[2] + kj",
        "(ch * planes.shape[1] + kj) * planes.shape[2] + ki",
    ),
    Bug(
        "few channels: borders above and left swapped",
        "forward",
        "engine/kernels/few_channels.py",
        "source, target = image[i], planes[ch, i + g.top, g.left :]",
        "source, target = image[i], planes[ch, i + g.left, g.top :]",
    ),
    Bug(
        "Winograd: a coefficient has lost its sign",
        "forward",
        "engine/kernels/winograd_matrices.py",
        "g.append([point**k / value for",
        "g.append([point**k / abs(value) for",
    ),
    Bug(
        "Winograd: the point at infinity left out",
        "forward",
        "engine/kernels/winograd_matrices.py",
        "a.append([Fraction(int(i == m - 1))",
        "a.append([Fraction(0)",
    ),
    Bug(
        "Winograd: kernel reshaped for dx, not transposed",
        "gradient",
        "engine/kernels/winograd.py",
        "np.ascontiguousarray(self.u.swapaxes(1, 2))",
        "self.u.reshape(len(self.u), self.u.shape[2], -1)",
    ),
    Bug(
        "Winograd: rounding left where windows are blank",
        "forward",
        "engine/kernels/winograd_tiles.py",
        "pixel[o] = 0 * pixel[o] + bias[o]",
        "pass",
    ),
    Bug(
        "Winograd: tiles overwrite what they should add to",
        "forward",
        "engine/kernels/winograd_tiles.py",
        "target[e] + source[e] if add else source[e]",
        "source[e]",
    ),
    Bug(
        "Winograd: tiles over the lower edge not added",
        "forward",
        "engine/kernels/winograd_tiles.py",
        "range(max(0, -row), min(q, h - row)):\n        target = image",
        "range(max(0, -row), q if q <= h - row else 0):\n        target = image",
    ),
    Bug(
        "Winograd: old pixels left over the edge",
        "forward",
        "engine/kernels/winograd_tiles.py",
        "    tile[:] = 0\n",
        "",
    ),
    Bug(
        "Winograd: dkernel of the last group of images",
        "gradient",
        "engine/kernels/winograd_tiles.py",
        "z, f, z.shape[1], tiles, 1,",
        "z, f, z.shape[1], tiles, 0,",
    ),
    Bug(
        "max pooling: last maximum wins",
        "gradient",
        "engine/kernels/pooling.py",
        "late <= early",
        "late < early",
    ),
    Bug(
        "max pooling: maxima start at zero",
        "forward",
        "engine/kernels/pooling.py",
        "                untouched = True\n",
        "                untouched = False\n                y[image, i, j] = 0\n"
        "                winner[image, i, j] = 0\n",
    ),
    Bug(
        "max pooling: windows overwrite each other",
        "gradient",
        "engine/kernels/pooling.py",
        "target[ch] += source[ch]",
        "target[ch] = source[ch]",
    ),
    Bug(
        "ReLU's gradient let through everywhere",  # as if y were z
        "gradient",
        "engine/kernels/relu.py",
        "flat_y[i] > floor",
        "flat_y[i] >= floor",
    ),
    Bug(
        "ReLU's gradient by the sign of dy",
        "gradient",
        "engine/kernels/relu.py",
        "flat_y[i] > floor",
        "flat_dy[i] > floor",
    ),
    Bug(
        "softmax without its maximum subtracted",
        "forward",
        "engine/kernels/softmax.py",
        "np.exp(z[j] - largest)",
        "np.exp(z[j])",
    ),
    Bug(
        "loss forgets the subtracted maximum",
        "forward",
        "engine/kernels/softmax.py",
        "(np.float64(z[row, label]) - largest)",
        "np.float64(z[row, label])",
    ),
    Bug(
        "fused pooling: winners looked up column by column",
        "training",
        "engine/kernels/pooled_gradients.py",
        "cell // pool.kw * down + cell % pool.kw * across",
        "cell % pool.kh * down + cell // pool.kh * across",
    ),
    Bug(
        "fused pooling: row of the kernel ignored in dx",
        "training",
        "engine/kernels/pooled_gradients.py",
        "(i * g.sh + ki) * width",
        "i * g.sh * width",
    ),
    Bug(
        "fused pooling: window begins at the pooling's row",
        "training",
        "engine/kernels/pooled_gradients.py",
        "(i * pool.sh - pool.top) * down",
        "(i - pool.top) * down",
    ),
    Bug(
        "Adam: epsilon inside the root",
        "training",
        "engine/kernels/adam.py",
        "(np.sqrt(v[i]) + epsilon)",
        "np.sqrt(v[i] + epsilon)",
    ),
]
