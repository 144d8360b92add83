"""Training on several machines, with TensorFlow's MultiWorkerMirroredStrategy.

Every worker is a process, usually on a machine of its own, and makes the same call except for its
number. All workers hold the same weights and draw the same batches in the same order; each
computes the gradients of its part of a batch, and TensorFlow adds them up over all workers.

- `training`: `fit`, and which part of a batch a worker computes
- `cluster`: how workers find each other, connect, and notice that one is lost
"""

from minicnn.scale_out.cluster import join, meet
from minicnn.scale_out.training import fit, part_of

__all__ = ["fit", "join", "meet", "part_of"]
