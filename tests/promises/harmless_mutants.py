"""Mutants that change no result, by `Mutant.name`, with the reason.

Names that no mutant has any more are an error: see `mutation_testing.stale`.
"""

# Reasons, each with its mutants; without a function, of code that runs on import.
TABLE = """
the next line drops the last reference, at which CPython closes a generator
    batches.py Epochs.close: self._pass.close() -> pass
of the longer slice the same numbers are read
    engine/kernels/few_channels.py _col2im: i + 1 -> i + 2
the image is larger than the windows only without padding, and then g.top is 0
    engine/kernels/few_channels.py _col2im: dplanes.shape[1] - g.top -> dplanes.shape[1] + g.top
    engine/kernels/im2col.py _col2im: dpadded.shape[0] - g.top -> dpadded.shape[0] + g.top
compiled code does not look at the end of a slice; plain Python raises an error
    engine/kernels/im2col.py _im2col: ki + 1 -> ki - 1
lists get more room than they need
    engine/kernels/pooled_gradients.py _put_input_gradient:
        -pool.kw // pool.sw -> -pool.kw * pool.sw
only how much is prepared ahead, or how long is waited, may differ
    scale_out/cluster.py _answer_of: 2 -> 3
    data.py Dataset.prefetch:
        2 if ahead == AUTOTUNE else ahead -> 3 if ahead == AUTOTUNE else ahead
the largest absolute difference is the same the other way round
    checking/lockstep.py lockstep: difference(own, other) -> difference(other, own)
it has the same value
    engine/kernels/pooled_gradients.py _transpose: left + 16 -> left + 17
ACCUMULATORS is 20 or 6
    engine/kernels/vector_registers.py: ACCUMULATORS >= 16 -> ACCUMULATORS > 16
only speed may differ
    engine/kernels/vector_registers.py:
        20 if binding.get_host_cpu_features().get('avx512f') else 6
        -> 21 if binding.get_host_cpu_features().get('avx512f') else 6
    engine/kernels/vector_registers.py Vectors.lanes: VECTOR * 8 -> VECTOR + 8
    engine/kernels/vector_registers.py Vectors.lanes: VECTOR * 8 -> VECTOR * 9
    engine/kernels/winograd_tiles.py: 16 -> 17
    engine/kernels/winograd_tiles.py _workspace:
        max(1, GROUPS * TILES_PER_GROUP // tiles)
        -> max(2, GROUPS * TILES_PER_GROUP // tiles)
    engine/threads.py _keep_freed_memory:
        mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY) -> mallopt(KEPT_MEMORY, M_TRIM_THRESHOLD)
    engine/threads.py _keep_freed_memory:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT) -> mallopt(LARGEST_KEPT, M_MMAP_THRESHOLD)
empty in both
    engine/kernels/winograd.py grad_input:
        _new_du(dx, dy, geometry)[:0] -> _new_du(dx, dy, geometry)[1:0]
a tile at the right edge is copied, though it need not be
    engine/kernels/winograd_tiles.py _transform: column + q <= w -> column + q < w
    engine/kernels/winograd_tiles.py _transform: column >= 0 -> column >= 1
NumPy takes any negative length for the remaining size
    engine/operations.py sum_of_rows: -1 -> -2
"""


def _read(table: str) -> dict[tuple[str, str, str, str], str]:
    harmless, reason = {}, ""
    for line in table.strip().replace("\n        ", " ").splitlines():
        if line.startswith(" "):
            place, mutant = line.strip().split(": ")
            module, _, function = place.partition(" ")
            before, after = mutant.split(" -> ")
            harmless[module, function, before, after] = reason
        else:
            reason = line
    return harmless


HARMLESS = _read(TABLE)
