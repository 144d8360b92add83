"""Convolution as one matrix product per image: copy every window into a row, then multiply.

    cols (oh*ow, kh*kw*c)  @  kernel (kh*kw*c, f)  =  y (oh*ow, f)

BLAS computes the product (Numba calls SciPy's), at the full speed of the processor. What remains to
be done here is copying. Images are processed one at a time, so that `cols` stays in the
second-level cache.

Memory layout, for a window of 2x2 at position (i, j) = (0, 1) of an image of one channel:

    padded image                 window       row i*ow + j of cols

    0  0  0  0  0                 0  0
    0  a  b  c  0       ->        a  b   ->   | 0 0 | a b |
    0  d  e  f  0
    0  0  0  0  0

    padded (lines, pixels*c)     the image inside a border of zeros, c values per pixel
    cols (oh*ow, kh*kw*c)        | window row 0: kw*c values | window row 1 | ... | row kh-1 |
    kernel (kh*kw*c, f)          as it is stored, with its first three axes merged into one

Source: Chellapilla, Puri, Simard, "High Performance Convolutional Neural Networks for Document
Processing" (2006).
"""

import numpy as np

from minicnn.engine.compiling import inlined, jit


@jit
def forward(x, kernel, bias, g):
    """Output y (n, oh, ow, f) of images x (n, h, w, c), kernel (kh, kw, c, f) and bias (f,)."""
    n, _, _, c = x.shape
    f = kernel.shape[3]
    matrix = kernel.reshape(g.kh * g.kw * c, f)
    padded = _padded_image(g, c, x.dtype)
    cols = np.empty((g.oh * g.ow, g.kh * g.kw * c), x.dtype)
    y = np.empty((n, g.oh * g.ow, f), x.dtype)
    for image in range(n):
        _im2col(x[image], g, padded, cols)
        np.dot(cols, matrix, y[image])
        for position in range(g.oh * g.ow):
            pixel = y[image, position]
            for o in range(f):
                pixel[o] += bias[o]
    return y.reshape(n, g.oh, g.ow, f)


@jit
def grad_input(dy, kernel, g):
    """Gradient dx (n, h, w, c) of the images, from dy (n, oh, ow, f) and the kernel.

    These are the two steps of the forward pass, transposed and in reverse order: the product
    dcols = dy @ kernel', then every value of every window is added to the pixel it was copied from.
    """
    n, _, _, f = dy.shape
    c = kernel.shape[2]
    matrix = kernel.reshape(g.kh * g.kw * c, f)
    dpadded = _padded_image(g, c, dy.dtype)
    dcols = np.empty((g.oh * g.ow, g.kh * g.kw * c), dy.dtype)
    dx = np.zeros((n, g.h, g.w, c), dy.dtype)
    for image in range(n):
        np.dot(dy[image].reshape(g.oh * g.ow, f), matrix.T, dcols)
        _col2im(dcols, g, dpadded, dx[image])
    return dx


@jit
def grad_kernel(x, dy, g):
    """Gradient dkernel (kh, kw, c, f), summed over the images, from x and dy (n, oh, ow, f)."""
    n, _, _, c = x.shape
    f = dy.shape[3]
    padded = _padded_image(g, c, x.dtype)
    cols = np.empty((g.oh * g.ow, g.kh * g.kw * c), x.dtype)
    product = np.empty((g.kh * g.kw * c, f), x.dtype)
    dkernel = np.zeros((g.kh * g.kw * c, f), x.dtype)
    for image in range(n):
        _im2col(x[image], g, padded, cols)
        np.dot(cols.T, dy[image].reshape(g.oh * g.ow, f), product)
        dkernel += product
    return dkernel.reshape(g.kh, g.kw, c, f)


@inlined
def _padded_image(g, c, dtype):
    """Zeros for the part of an image and its border that windows cover, (lines, pixels*c)."""
    return np.zeros(((g.oh - 1) * g.sh + g.kh, ((g.ow - 1) * g.sw + g.kw) * c), dtype)


@inlined
def _im2col(image, g, padded, cols):
    """Fill `cols` with the windows of `image`; the border of `padded` is 0 and remains 0.

    Each row of a window is a contiguous piece of a line of the padded image, kw*c values long. It
    is sliced before the innermost loop, because only a loop over a plain index is compiled to
    vector instructions (24 us for an image of 14x14x32, compared to 280). Where these pieces are
    short, that is for few channels, `few_channels` is faster.
    """
    _, w, c = image.shape
    length = g.kw * c
    rows = min(g.h, padded.shape[0] - g.top)
    filled = min(w * c, padded.shape[1] - g.left * c)
    for row in range(rows):
        source = image[row].reshape(w * c)
        target = padded[row + g.top, g.left * c :]
        for cell in range(filled):
            target[cell] = source[cell]
    for i in range(g.oh):
        for j in range(g.ow):
            for ki in range(g.kh):
                start = j * g.sw * c
                source = padded[i * g.sh + ki, start : start + length]
                target = cols[i * g.ow + j, ki * length : (ki + 1) * length]
                for cell in range(length):
                    target[cell] = source[cell]


@inlined
def _col2im(dcols, g, dpadded, dimage):
    """The transpose of `_im2col`: add instead of copying, then drop the border."""
    _, w, c = dimage.shape
    length = g.kw * c
    rows = min(g.h, dpadded.shape[0] - g.top)
    filled = min(w * c, dpadded.shape[1] - g.left * c)
    dpadded[:] = 0
    for i in range(g.oh):
        for j in range(g.ow):
            for ki in range(g.kh):
                start = j * g.sw * c
                source = dcols[i * g.ow + j, ki * length : (ki + 1) * length]
                target = dpadded[i * g.sh + ki, start : start + length]
                for cell in range(length):
                    target[cell] += source[cell]
    for row in range(rows):
        source = dpadded[row + g.top, g.left * c :]
        target = dimage[row].reshape(w * c)
        for cell in range(filled):
            target[cell] = source[cell]
