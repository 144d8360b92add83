"""A zoo of layers as people write them: wrong ones, each with its mistake, and right ones.

They are in the style of public from-scratch implementations: loops, im2col, state on `self`, arrays
changed in place. Each wrong one says which words of the checker name its mistake.
"""

from typing import Any

import numpy as np

N, H, W, C = 2, 5, 6, 2  # images of the zoo: height and width differ


def real(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def ties(shape, seed=0):
    """Numbers of which many are equal, and many exactly 0."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(float)


IMAGES, ROWS = (N, H, W, C), (4, 5)


class Foreign:
    """What the layers of the zoo share: weights by name."""

    x_shape: tuple[int, ...] = ROWS
    ties = False  # whether x has equal numbers
    names = ""  # words of the report that name the mistake

    def __init__(self):
        rng = np.random.default_rng(1)
        self.params = {name: rng.standard_normal(s) for name, s in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    def x(self):
        return (ties if self.ties else real)(self.x_shape)


# Right ones.


class Dense(Foreign):
    def shapes(self):
        return {"kernel": (5, 4), "bias": (4,)}

    def forward(self, x):
        return x @ self.params["kernel"] + self.params["bias"], x

    def backward(self, dy, cache):
        x = cache
        grads = {"kernel": x.T @ dy, "bias": dy.sum(axis=0)}
        return dy @ self.params["kernel"].T, grads


class Tanh(Foreign):
    def forward(self, x):
        y = np.tanh(x)
        return y, y

    def backward(self, dy, y):
        return dy * (1 - y**2), {}


class Sigmoid(Foreign):
    def forward(self, x):
        y = 1 / (1 + np.exp(-x))
        return y, y

    def backward(self, dy, y):
        return dy * y * (1 - y), {}


class Relu(Foreign):
    """Does not name its kink, and x has many zeros."""

    ties = True

    def forward(self, x):
        return np.maximum(x, 0), x

    def backward(self, dy, x):
        return dy * (x > 0), {}


class ReluAtZeroOne(Relu):
    """The other slope at 0: a subgradient, too."""

    def backward(self, dy, x):
        return dy * (x >= 0), {}


class LeakyRelu(Relu):
    def forward(self, x):
        return np.where(x > 0, x, 0.3 * x), x

    def backward(self, dy, x):
        return dy * np.where(x > 0, 1, 0.3), {}


class Relu6(Relu):
    def forward(self, x):
        return np.clip(3 * x, 0, 6), x

    def backward(self, dy, x):
        return 3 * dy * ((x > 0) & (x < 2)), {}


class HardTanh(Relu):
    def forward(self, x):
        return np.clip(x, -1, 1), x

    def backward(self, dy, x):
        return dy * (np.abs(x) < 1), {}


class Absolute(Relu):
    def forward(self, x):
        return np.abs(x), x

    def backward(self, dy, x):
        return dy * np.sign(x), {}


class Elu(Foreign):
    def forward(self, x):
        return np.where(x > 0, x, np.expm1(x)), x

    def backward(self, dy, x):
        return dy * np.where(x > 0, 1, np.exp(x)), {}


class Softmax(Foreign):
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True)
        return y, y

    def backward(self, dy, y):
        return y * (dy - (dy * y).sum(axis=1, keepdims=True)), {}


class Reciprocal(Foreign):
    """Of numbers of size 1e-6."""

    def x(self):
        return (1 + np.abs(real(ROWS))) * 1e-6

    def forward(self, x):
        return 1 / x, x

    def backward(self, dy, x):
        return -dy / x**2, {}


class Logarithm(Reciprocal):
    def x(self):
        return (1 + np.abs(real(ROWS))) * 1e-3

    def forward(self, x):
        return np.log(x), x

    def backward(self, dy, x):
        return dy / x, {}


class LayerNorm(Foreign):
    """Over the features, with a small epsilon, of numbers of size 1e-3."""

    def x(self):
        return 1e-3 * real(ROWS)

    def shapes(self):
        return {"gamma": (5,), "beta": (5,)}

    def forward(self, x):
        inv = 1 / np.sqrt(x.var(axis=1, keepdims=True) + 1e-12)
        xhat = (x - x.mean(axis=1, keepdims=True)) * inv
        return xhat * self.params["gamma"] + self.params["beta"], (xhat, inv)

    def backward(self, dy, cache):
        xhat, inv = cache
        d = dy * self.params["gamma"]
        dx = d - d.mean(1, keepdims=True) - xhat * (d * xhat).mean(1, keepdims=True)
        return inv * dx, {"gamma": (dy * xhat).sum(0), "beta": dy.sum(0)}


class BatchNorm(Foreign):
    """Statistics of the batch, for each channel of images."""

    x_shape = IMAGES

    def shapes(self):
        return {"gamma": (C,), "beta": (C,)}

    def forward(self, x):
        axes = tuple(range(x.ndim - 1))
        inv = 1 / np.sqrt(x.var(axes) + 1e-3)
        xhat = (x - x.mean(axes)) * inv
        return xhat * self.params["gamma"] + self.params["beta"], (xhat, inv)

    def backward(self, dy, cache):
        xhat, inv = cache
        axes = tuple(range(dy.ndim - 1))
        d = dy * self.params["gamma"]
        dx = inv * (d - d.mean(axes) - xhat * (d * xhat).mean(axes))
        return dx, {"gamma": (dy * xhat).sum(axes), "beta": dy.sum(axes)}


class Conv(Foreign):
    """Loops over positions, with padding 1 and a stride for each axis; a kernel of 3 x 2."""

    x_shape = IMAGES
    kernel, strides, pad = (3, 2), (2, 1), 1

    def shapes(self):
        return {"kernel": (*self.kernel, C, 4), "bias": (4,)}

    def places(self, x):
        (kh, kw), (sh, sw) = self.kernel, self.strides
        for i, row in enumerate(range(0, x.shape[1] - kh + 1, sh)):
            for j, column in enumerate(range(0, x.shape[2] - kw + 1, sw)):
                yield i, j, (slice(None), slice(row, row + kh), slice(column, column + kw))

    def padded(self, x):
        return np.pad(x, ((0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0)))

    def forward(self, x):
        x = self.padded(x)
        *_, (i, j, _) = self.places(x)
        y = np.empty((len(x), i + 1, j + 1, 4))
        for i, j, window in self.places(x):
            y[:, i, j] = np.tensordot(x[window], self.params["kernel"], 3) + self.params["bias"]
        return y, x

    def backward(self, dy, x):
        dx, dkernel = np.zeros_like(x), np.zeros_like(self.params["kernel"])
        for i, j, window in self.places(x):
            dx[window] += np.tensordot(dy[:, i, j], self.params["kernel"], ((1,), (3,)))
            dkernel += np.tensordot(x[window], dy[:, i, j], ((0,), (0,)))
        return self.cropped(dx), {"kernel": dkernel, "bias": dy.sum(axis=(0, 1, 2))}

    def cropped(self, dx):
        return dx[:, self.pad : -self.pad, self.pad : -self.pad] if self.pad else dx


class ConvStride1(Conv):
    strides, pad = (1, 1), 0


class MaxPool(Foreign):
    """The first of equal maxima gets the gradient; windows of 3 x 2 overlap. Names no kinks."""

    x_shape = IMAGES
    ties = True
    pool, strides = (3, 2), (2, 2)

    def places(self, x):
        (kh, kw), (sh, sw) = self.pool, self.strides
        for i in range((x.shape[1] - kh) // sh + 1):
            for j in range((x.shape[2] - kw) // sw + 1):
                rows, columns = slice(i * sh, i * sh + kh), slice(j * sw, j * sw + kw)
                yield i, j, (slice(None), rows, columns)

    def forward(self, x):
        *_, (i, j, _) = self.places(x)
        y = np.empty((len(x), i + 1, j + 1, x.shape[3]))
        for i, j, window in self.places(x):
            y[:, i, j] = x[window].max(axis=(1, 2))
        return y, (x, y)

    def backward(self, dy, cache):
        x, _ = cache
        dx = np.zeros_like(x)
        for i, j, window in self.places(x):
            cells = x[window].reshape(len(x), -1, x.shape[3])
            first = np.arange(cells.shape[1])[:, None] == cells.argmax(axis=1)[:, None]
            dx[window] += (first * dy[:, i, j][:, None]).reshape(x[window].shape)
        return dx, {}


class MaxPoolShared(MaxPool):
    """Equal maxima share the gradient: a subgradient, too."""

    def backward(self, dy, cache):
        x, y = cache
        dx = np.zeros_like(x)
        for i, j, window in self.places(x):
            chosen = x[window] == y[:, i, j][:, None, None]
            dx[window] += (
                chosen / chosen.sum(axis=(1, 2), keepdims=True) * dy[:, i, j][:, None, None]
            )
        return dx, {}


class AveragePool(MaxPool):
    def forward(self, x):
        *_, (i, j, _) = self.places(x)
        y = np.empty((len(x), i + 1, j + 1, x.shape[3]))
        for i, j, window in self.places(x):
            y[:, i, j] = x[window].mean(axis=(1, 2))
        return y, x.shape

    def backward(self, dy, shape):
        dx = np.zeros(shape)
        for i, j, window in self.places(dx):
            dx[window] += dy[:, i, j][:, None, None] / 6
        return dx, {}


class GlobalMax(Foreign):
    x_shape = IMAGES
    ties = True

    def forward(self, x):
        flat = x.reshape(len(x), -1, x.shape[3])
        return flat.max(axis=1), (x.shape, flat.argmax(axis=1))

    def backward(self, dy, cache):
        shape, winner = cache
        dx = np.zeros((shape[0], shape[1] * shape[2], shape[3]))
        np.put_along_axis(dx, winner[:, None], dy[:, None], axis=1)
        return dx.reshape(shape), {}


class Maxout(Foreign):
    """The larger of two sums, which are equal for some rows."""

    ties = True

    def shapes(self):
        return {"kernel": (5, 3, 2)}

    def forward(self, x):
        z = np.tensordot(x, self.params["kernel"], 1)
        return z.max(axis=2), (x, z.argmax(axis=2))

    def backward(self, dy, cache):
        x, winner = cache
        dz = dy[..., None] * (winner[..., None] == np.arange(2))
        dx = np.tensordot(dz, self.params["kernel"], ((1, 2), (1, 2)))
        return dx, {"kernel": np.tensordot(x, dz, ((0,), (0,)))}


class DenseRelu(Dense):
    """ReLU at the end, and a sample of zeros: with a bias of 0 it is exactly on the kink."""

    def x(self):
        x = real(ROWS)
        x[1] = 0
        self.params["bias"][:] = 0
        return x

    def forward(self, x):
        y = np.maximum(super().forward(x)[0], 0)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        return super().backward(dy * (y > 0), x)


class Hinge(Foreign):
    ties = True

    def forward(self, x):
        return np.maximum(0, 1 - x), x

    def backward(self, dy, x):
        return -dy * (x < 1), {}


class Sorted(Foreign):
    ties = True

    def forward(self, x):
        order = np.argsort(x, axis=1, kind="stable")
        return np.take_along_axis(x, order, 1), order

    def backward(self, dy, order):
        dx = np.empty_like(dy)
        np.put_along_axis(dx, order, dy, 1)
        return dx, {}


class Residual(Dense):
    def shapes(self):
        return {"kernel": (5, 5), "bias": (5,)}

    def forward(self, x):
        y, cache = super().forward(x)
        return x + y, cache

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx + dy, grads


class Depthwise(Foreign):
    x_shape = IMAGES

    def shapes(self):
        return {"kernel": (2, 3, C)}

    def forward(self, x):
        k = self.params["kernel"]
        y = sum(x[:, i : H - 1 + i, j : W - 2 + j] * k[i, j] for i in range(2) for j in range(3))
        return y, x

    def backward(self, dy, x):
        k, dx = self.params["kernel"], np.zeros_like(x)
        dk = np.zeros_like(k)
        for i, j in np.ndindex(2, 3):
            dx[:, i : H - 1 + i, j : W - 2 + j] += dy * k[i, j]
            dk[i, j] = (dy * x[:, i : H - 1 + i, j : W - 2 + j]).sum(axis=(0, 1, 2))
        return dx, {"kernel": dk}


RIGHT: list[type[Foreign]] = [
    Dense,
    Tanh,
    Sigmoid,
    Relu,
    ReluAtZeroOne,
    LeakyRelu,
    Relu6,
    HardTanh,
    Absolute,
    Elu,
    Softmax,
    Reciprocal,
    Logarithm,
    LayerNorm,
    BatchNorm,
    Conv,
    ConvStride1,
    MaxPool,
    MaxPoolShared,
    AveragePool,
    GlobalMax,
    Maxout,
    DenseRelu,
    Hinge,
    Sorted,
    Residual,
    Depthwise,
]


# Wrong ones.


class TanhInPlaceDy(Tanh):
    names = "backward writes into dy"

    def backward(self, dy, y):
        dy *= 1 - y**2
        return dy, {}


class DenseDividesDy(Dense):
    names = "1/4 times the right value everywhere: divided by the batch"

    def backward(self, dy, cache):
        dy /= len(dy)
        return super().backward(dy, cache)


class ReluInPlaceX(Relu):
    names = "forward writes into x"

    def forward(self, x):
        x[x < 0] = 0
        return x, x


class TanhOnSelf(Tanh):
    names = "stored on the layer"

    def forward(self, x):
        self.y = np.tanh(x)
        return self.y, None

    def backward(self, dy, cache):
        return dy * (1 - self.y**2), {}


class DenseOnSelf(Dense):
    names = "stored on the layer"

    def forward(self, x):
        self.inputs = x
        return super().forward(x)[0], None

    def backward(self, dy, cache):
        return super().backward(dy, self.inputs)


class DenseAccumulates(Dense):
    names = "accumulated and never cleared"

    def __init__(self):
        super().__init__()
        self.grads = {name: np.zeros_like(weight) for name, weight in self.params.items()}

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        for name in grads:
            self.grads[name] += grads[name]
        return dx, self.grads


class DenseMean(Dense):
    names = "divided by the batch"

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx, {name: grad / len(dy) for name, grad in grads.items()}


class MaxPoolPaysAll(MaxPool):
    names = "every tie paid"

    def backward(self, dy, cache):
        x, y = cache
        dx = np.zeros_like(x)
        for i, j, window in self.places(x):
            dx[window] += (x[window] == y[:, i, j][:, None, None]) * dy[:, i, j][:, None, None]
        return dx, {}


class MaxPoolOverwrites(MaxPool):
    ties = False
    names = "in place of +="

    def backward(self, dy, cache):
        x, y = cache
        dx = np.zeros_like(x)
        for i, j, window in self.places(x):
            dx[window] = (x[window] == y[:, i, j][:, None, None]) * dy[:, i, j][:, None, None]
        return dx, {}


class ConvOverwrites(ConvStride1):
    names = "overwrite each other"

    def backward(self, dy, x):
        _, grads = super().backward(dy, x)
        dx = np.zeros_like(x)
        for i, j, window in self.places(x):
            dx[window] = np.tensordot(dy[:, i, j], self.params["kernel"], ((1,), (3,)))
        return self.cropped(dx), grads


class ConvLastPositionOnly(ConvStride1):
    names = "in place of +="

    def backward(self, dy, x):
        dx, grads = super().backward(dy, x)
        for i, j, window in self.places(x):
            grads["kernel"] = np.tensordot(x[window], dy[:, i, j], ((0,), (0,)))
        return dx, grads


class ConvIgnoresStride(Conv):
    """Backward walks with stride 1, whatever the stride of forward was."""

    names = "another place"

    def backward(self, dy, x):
        _, grads = super().backward(dy, x)
        dx, (kh, kw) = np.zeros_like(x), self.kernel
        for i, j in np.ndindex(dy.shape[1:3]):
            dx[:, i : i + kh, j : j + kw] += np.tensordot(
                dy[:, i, j], self.params["kernel"], ((1,), (3,))
            )
        return self.cropped(dx), grads


class ConvFlipped(ConvStride1):
    """dx with the kernel rotated once too often."""

    names = "flipped"

    def backward(self, dy, x):
        _, grads = super().backward(dy, x)
        dx = np.zeros_like(x)
        for i, j, window in self.places(x):
            rotated = self.params["kernel"][::-1, ::-1]
            dx[window] += np.tensordot(dy[:, i, j], rotated, ((1,), (3,)))
        return dx, grads


class ConvKernelFlipped(ConvStride1):
    names = "flipped along the axes"

    def backward(self, dy, x):
        dx, grads = super().backward(dy, x)
        return dx, grads | {"kernel": grads["kernel"][::-1, ::-1]}


class ConvColumnsInAnotherOrder(ConvStride1):
    """The columns of im2col are (c, kh, kw), but they are reshaped to (kh, kw, c)."""

    names = "reshaped where a transpose is needed"

    def backward(self, dy, x):
        dx, grads = super().backward(dy, x)
        kernel = grads["kernel"].transpose(2, 0, 1, 3).reshape(grads["kernel"].shape)
        return dx, grads | {"kernel": kernel}


class ConvCropsOtherSide(Conv):
    """col2im cuts the padding off at one side only."""

    names = "another place"

    def cropped(self, dx):
        return dx[:, 2 * self.pad :, 2 * self.pad :]


class ConvSwapsAxes(ConvStride1):
    """A square kernel whose gradient has height and width exchanged."""

    kernel = (3, 3)
    names = "transposed"

    def backward(self, dy, x):
        dx, grads = super().backward(dy, x)
        return dx, grads | {"kernel": grads["kernel"].transpose(1, 0, 2, 3)}


class ConvSquareOnly(ConvStride1):
    """The loop over columns takes the height for the width."""

    x_shape = (N, 4, 5, C)
    names = "outputs give it no gradient"

    def backward(self, dy, x):
        size = dy.shape[1]
        dy = dy * (np.arange(dy.shape[2]) < size)[:, None]
        return super().backward(dy, x)


class ConvBiasNotSummed(Conv):
    names = "not summed"

    def backward(self, dy, x):
        dx, grads = super().backward(dy, x)
        return dx, grads | {"bias": dy.sum(axis=0)}


class ConvBiasMean(Conv):
    names = "a mean over"

    def backward(self, dy, x):
        dx, grads = super().backward(dy, x)
        return dx, grads | {"bias": dy.mean(axis=(1, 2)).sum(axis=0)}


class DenseBiasWrongAxis(Dense):
    """With as many units as samples the shape is right."""

    names = "summed over the axes"

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx, grads | {"bias": dy.sum(axis=1)}


class DenseTransposed(Dense):
    names = "transposed"

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx, grads | {"kernel": grads["kernel"].T}


class ScaleWithInputs(Foreign):
    """y = x * scale; dx is computed with x in the place of the scale."""

    names = "does not depend on the weights"

    def shapes(self):
        return {"scale": (5,)}

    def forward(self, x):
        return x * self.params["scale"], x

    def backward(self, dy, x):
        return dy * x, {"scale": (dy * x).sum(axis=0)}


class BatchNormWithoutStatistics(BatchNorm):
    names = "mean or variance missing"

    def backward(self, dy, cache):
        _, inv = cache
        return inv * dy * self.params["gamma"], super().backward(dy, cache)[1]


class BatchNormWithoutMean(BatchNorm):
    """The gradient through the variance alone."""

    x_shape = ROWS
    names = "batch's mean missing"

    def shapes(self):
        return {"gamma": (5,), "beta": (5,)}

    def backward(self, dy, cache):
        xhat, inv = cache
        d = dy * self.params["gamma"]
        return inv * (d - xhat * (d * xhat).mean(0)), super().backward(dy, cache)[1]


class DropoutOfItsOwn(Foreign):
    """Draws from a generator of its own: every pass another mask."""

    names = "two equal forward passes"

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def forward(self, x):
        mask = self.rng.random(x.shape) > 0.5
        return x * mask, mask

    def backward(self, dy, mask):
        return dy * mask, {}


class RunningMean(Foreign):
    """Subtracts a mean that it updates in every pass."""

    names = "keeps state from pass to pass"

    def __init__(self):
        super().__init__()
        self.mean = np.zeros(5)

    def forward(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
        return x - self.mean, None

    def backward(self, dy, cache):
        return dy, {}


class MovingAverageInParams(BatchNorm):
    names = "belongs in `state`"

    def shapes(self):
        return super().shapes() | {"moving_mean": (C,)}

    def forward(self, x):
        self.params["moving_mean"] += 0.1 * x.mean(axis=(0, 1, 2))
        return super().forward(x)

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx, grads | {"moving_mean": np.zeros(C)}


class ReusedOutput(Foreign):
    names = "an array is reused"

    def __init__(self):
        super().__init__()
        self.out = np.empty(ROWS)

    def forward(self, x):
        if self.out.shape != x.shape:
            self.out = np.empty_like(x)
        np.multiply(x, 2, out=self.out)
        self.out += 1e-3 * np.sin(self.out)
        return self.out, x.copy()

    def backward(self, dy, x):
        return dy * (2 + 2e-3 * np.cos(2 * x)), {}


class SigmoidForgotten(Sigmoid):
    names = "the derivative of the layer is missing"

    def backward(self, dy, y):
        return dy, {}


class SoftmaxDiagonal(Softmax):
    """Without the other classes."""

    names = "lost"

    def backward(self, dy, y):
        return dy * y * (1 - y), {}


class TanhOfInput(Tanh):
    """1 - x^2 in the place of 1 - y^2."""

    names = "a derivative at another value"

    def forward(self, x):
        return np.tanh(x), x


class NegativeHinge(Hinge):
    ties = False
    names = "the sign is wrong"

    def backward(self, dy, x):
        return dy * (x < 1), {}


class FirstSampleOnly(Dense):
    names = "in place of +="

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return dx, grads | {"kernel": np.outer(cache[-1], dy[-1])}


class SaysIndependent(BatchNorm):
    samples_are_independent = True
    names = "samples_are_independent is True"


class OneEntryWrong(Dense):
    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        grads["kernel"][1, 2] *= 1 + 1e-4
        return dx, grads


WRONG: list[type[Foreign]] = [
    TanhInPlaceDy,
    DenseDividesDy,
    ReluInPlaceX,
    TanhOnSelf,
    DenseOnSelf,
    DenseAccumulates,
    DenseMean,
    MaxPoolPaysAll,
    MaxPoolOverwrites,
    ConvOverwrites,
    ConvLastPositionOnly,
    ConvIgnoresStride,
    ConvFlipped,
    ConvKernelFlipped,
    ConvColumnsInAnotherOrder,
    ConvCropsOtherSide,
    ConvSwapsAxes,
    ConvSquareOnly,
    ConvBiasNotSummed,
    ConvBiasMean,
    DenseBiasWrongAxis,
    DenseTransposed,
    ScaleWithInputs,
    BatchNormWithoutStatistics,
    BatchNormWithoutMean,
    DropoutOfItsOwn,
    RunningMean,
    MovingAverageInParams,
    ReusedOutput,
    SigmoidForgotten,
    SoftmaxDiagonal,
    TanhOfInput,
    NegativeHinge,
    FirstSampleOnly,
    SaysIndependent,
    OneEntryWrong,
]


def judged(kind: type[Foreign], **options: Any) -> Any:
    """The report on a new layer of that kind."""
    from minicnn.gradcheck import check_gradients

    layer = kind()
    return check_gradients(layer, layer.x(), rng=np.random.default_rng(7), **options)
