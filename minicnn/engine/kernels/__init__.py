"""Compiled inner loops: plain functions over the arrays of one shard, each running on one thread.

Convolution:

    direct            the formula as loops: the readable reference
    im2col            one matrix product per image, after copying all windows into a matrix
    few_channels      the same without copying the windows, for images of few channels
    winograd          fewer multiplications, for strides of 1 and kernels of 3x3 and 5x5
    pooled_gradients  gradients of a convolution that a max pooling follows

Other layers: pooling, dense, relu, softmax. Optimizer: adam. Checks: finite.
Parts of the above: winograd_matrices, winograd_transforms, winograd_tiles, near_ties,
vector_registers.

Arrays are contiguous and have the dtype of the model. The letters in their shapes, and the fields
of a `Geometry` g, are explained in `minicnn.shapes`. Functions called put_... write their results
into an argument. A quote in a formula denotes the transpose: A' is A transposed.

Kernels do not check their arguments. Shapes have to be checked before a kernel is called, because
compiled code reads and writes out of bounds without raising an error.
"""
