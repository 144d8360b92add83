"""Mutants that change no result, by `Mutant.name`, with the reason.

Names that no mutant has any more are an error: see `mutation_testing.stale`.
"""

UNREAD = "compiled code does not look at the end of a slice; plain Python raises an error"
SPEED = "only speed may differ"
SAME = "it has the same value"
HARMLESS: dict[tuple[str, str, str, str], str] = {
    ("batches.py", "Epochs.close", "self._pass.close()", "pass"): (
        "the next line drops the last reference, at which CPython closes a generator"
    ),
    ("engine/kernels/few_channels.py", "_col2im", "i + 1", "i + 2"): (
        "of the longer slice the same numbers are read"
    ),
    (
        "engine/kernels/few_channels.py",
        "_col2im",
        "dplanes.shape[1] - g.top",
        "dplanes.shape[1] + g.top",
    ): "the image is larger than the windows only without padding, and then g.top is 0",
    ("engine/kernels/im2col.py", "_im2col", "ki + 1", "ki - 1"): UNREAD,
    (
        "engine/kernels/im2col.py",
        "_col2im",
        "dpadded.shape[0] - g.top",
        "dpadded.shape[0] + g.top",
    ): "the image is larger than the windows only without padding, and then g.top is 0",
    (
        "engine/kernels/pooled_gradients.py",
        "_compiled_gradients.gradients",
        "-pool.kw // pool.sw",
        "-pool.kw * pool.sw",
    ): "lists get more room than they need",
    (
        "engine/kernels/pooled_gradients.py",
        "prepare",
        "_row_length(kw, c)",
        "_row_length(c, kw)",
    ): SAME,
    ("engine/kernels/pooled_gradients.py", "_transpose", "left + 16", "left + 17"): SAME,
    ("engine/kernels/vector_registers.py", "", "ACCUMULATORS >= 16", "ACCUMULATORS > 16"): (
        "ACCUMULATORS is 20 or 5"
    ),
    (
        "engine/kernels/vector_registers.py",
        "",
        "20 if binding.get_host_cpu_features().get('avx512f') else 5",
        "21 if binding.get_host_cpu_features().get('avx512f') else 5",
    ): SPEED,
    (
        "engine/kernels/vector_registers.py",
        "_Vectors.lanes",
        "CACHE_LINE * 8",
        "CACHE_LINE + 8",
    ): SPEED,
    (
        "engine/kernels/vector_registers.py",
        "_Vectors.lanes",
        "CACHE_LINE * 8",
        "CACHE_LINE * 9",
    ): SPEED,
    (
        "engine/kernels/vector_registers.py",
        "_add_windows_in_registers.generate",
        "build.mul(values[5], _int(row))",
        "build.mul(_int(row), values[5])",
    ): SAME,
    (
        "engine/kernels/winograd.py",
        "grad_input",
        "_new_du(dx, dy)[:0]",
        "_new_du(dx, dy)[1:0]",
    ): "empty in both",
    ("engine/kernels/winograd_tiles.py", "", "16", "17"): SPEED,
    (
        "engine/kernels/winograd_tiles.py",
        "compiled_loops.new_workspace",
        "max(1, TILES_PER_GROUP // tiles)",
        "max(2, TILES_PER_GROUP // tiles)",
    ): SPEED,
    ("engine/kernels/winograd_tiles.py", "compiled_loops.put_outputs", "p + 1", "p - 1"): UNREAD,
    (
        "engine/kernels/winograd_tiles.py",
        "compiled_loops.put_outputs",
        "(p + 1) * c",
        "p + 1 + c",
    ): UNREAD,
    (
        "engine/kernels/winograd_tiles.py",
        "_images_to_points.images_to_points",
        "column + q > w",
        "column + q >= w",
    ): "a tile that is filled with pixels anyway is filled with zeros before",
    (
        "engine/kernels/winograd_tiles.py",
        "_points_to_images.points_to_images",
        "(row + i, column * c + start:column * c + stop)",
        "(row + i, column * c + start:column * c + stop - 1)",
    ): UNREAD,
    ("engine/operations.py", "sum_of_rows", "-1", "-2"): (
        "NumPy takes any negative length for the remaining size"
    ),
    (
        "engine/threads.py",
        "_keep_freed_memory",
        "mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY)",
        "mallopt(KEPT_MEMORY, M_TRIM_THRESHOLD)",
    ): SPEED,
    (
        "engine/threads.py",
        "_keep_freed_memory",
        "mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)",
        "mallopt(LARGEST_KEPT, M_MMAP_THRESHOLD)",
    ): SPEED,
}
