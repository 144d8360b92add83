"""`fit` on several workers: every step is one of TensorFlow, on the Keras twin of the model."""

import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import keras_reference
from minicnn.batches import Epochs, source
from minicnn.callbacks import History
from minicnn.callbacks.output import say
from minicnn.callbacks.progress import Progress, verbosity
from minicnn.model import Sequential
from minicnn.scale_out.cluster import join, leave, naming_lost_workers
from minicnn.session import random_stream
from minicnn.validation import Check
from minicnn.validation.configuration import plain_data

Step = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def fit(
    model: Sequential,
    x: Any,
    y: Any = None,
    *,
    workers: list[str],
    worker: int,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: Any = "auto",
    steps_per_epoch: int | None = None,
) -> History:
    """As `model.fit`, with each batch divided among the processes that make this call.

    To be called before anything else is done with TensorFlow in this process, and only once.
    Afterwards the model of every worker has the new weights and optimizer state.

    Parameters
    ----------
    model : Sequential
        Built and compiled; with the same weights on all workers.
    x, y, batch_size, epochs, steps_per_epoch
        As in `Sequential.fit`, and the same on all workers. Arrays are shuffled anew in each
        epoch: `minicnn.set_random_seed` gives all workers the same order.
    workers : list of "HOST:PORT"
        The addresses of the workers, the same list on all of them.
    worker : int
        The number of this one. Worker 0, the chief, prints the progress.
    verbose : "auto", 0, 1 or 2

    Returns
    -------
    History
        With the loss and accuracy of whole batches, the same on all workers.

    Raises
    ------
    ImportError
        Without TensorFlow.
    OSError
        If the port of this worker is in use, or if another worker does not start or is lost.
    ValueError
        If the workers differ in weights, data or settings, or for arguments that `Sequential.fit`
        refuses. The weights are then unchanged.
    """
    keras_reference.require_keras()
    check = Check("fit")
    epochs = check.integer(epochs, "epochs")
    verbose = verbosity(verbose, "fit") if worker == 0 else 0
    loss = check.compiled(model.loss)
    batches = source(model, check, x, y, loss, batch_size, random_stream())
    train = Epochs(batches, steps_per_epoch, "steps_per_epoch")
    history = History({"verbose": verbose, "epochs": epochs, "steps": train.steps})
    strategy = join(workers, worker)
    with keras_reference.precision(model.dtype), naming_lost_workers(workers, worker):
        with strategy.scope():
            twin = keras_reference.to_keras(model)
        settings = (epochs, train.steps, plain_data(model.optimizer), model.optimizer.iterations)
        slots = [array for slot in model.optimizer.state.values() for array in slot]
        seen = _fingerprint([repr(settings).encode(), *model.get_weights(), *slots])
        step = _shared_step(strategy, twin, model, seen)
        try:
            for epoch in range(epochs):
                if verbose and epochs > 1:
                    say(f"Epoch {epoch + 1}/{epochs}")
                _run_epoch(step, train, history, verbose)
        finally:
            train.close()
        leave(strategy)
    trained = keras_reference.from_keras(twin)
    model.set_weights(trained.get_weights())
    model.optimizer.iterations = trained.optimizer.iterations
    model.optimizer.state = trained.optimizer.state
    model.history = history
    return history


def part_of(images: int, workers: int, worker: int) -> slice:
    """The part of a batch of so many images that a worker computes.

    Parts are consecutive, and their sizes differ by at most one image.
    """
    start, stop = (images * k // workers for k in (worker, worker + 1))
    return slice(start, stop)


def _shared_step(strategy: Any, twin: Any, model: Sequential, seen: int) -> Step:
    """The function that takes one step of all workers and returns the batch's loss and metrics.

    `seen` is a fingerprint of what has to be the same on all workers before the first step.
    """
    import keras
    import tensorflow as tf

    def on_this_worker(images, labels, batch_size, seen):
        with tf.GradientTape() as tape:
            predictions = twin(images, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(
                labels, predictions, from_logits=model.loss.from_logits
            )
            loss = tf.reduce_sum(losses) / batch_size  # a part of the mean over the whole batch
        gradients = tape.gradient(loss, twin.trainable_variables)
        # This sums the gradients over all workers, so that all of them take the same step.
        twin.optimizer.apply_gradients(zip(gradients, twin.trainable_variables, strict=True))
        right = tf.math.count_nonzero(tf.argmax(predictions, axis=1) == labels)
        return tf.stack([tf.cast(number, tf.float64) for number in (loss, right, seen)])

    x = tf.TensorSpec([None, *model.input_shape], model.dtype)
    y, size = tf.TensorSpec([None], tf.int64), tf.TensorSpec([], model.dtype)

    @tf.function(input_signature=[x, y, size, tf.TensorSpec([], tf.float64)])
    def on_all_workers(*batch):
        parts = strategy.run(on_this_worker, args=batch)
        return strategy.reduce("SUM", parts, axis=None)

    replicas = strategy.num_replicas_in_sync
    number = strategy.cluster_resolver.task_id

    def step(images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        nonlocal seen
        seen = _fingerprint([images, labels], seen)
        part = part_of(len(images), replicas, number)
        loss, right, seen_by_all = on_all_workers(
            images[part], labels[part].astype(np.int64), model.dtype.type(len(images)), float(seen)
        ).numpy()
        if seen_by_all != replicas * seen:
            raise ValueError(
                "the workers do not train alike: give all of them the same data, seed, batch size, "
                "learning rate, epochs and steps"
            )
        accuracy = float(right) / len(images)  # the only metric there is
        return {"loss": float(loss)} | {metric.name: accuracy for metric in model.metrics}

    return step


def _run_epoch(step: Step, train: Epochs, history: History, verbose: int) -> None:
    """One epoch, as in `Sequential.fit`."""
    totals, images_seen, logs = Counter(), 0, {}
    with Progress(verbose, train.steps) as progress:
        for images, labels in train:
            values = step(images, labels)
            history.end_batch(values)
            images_seen += len(images)
            totals.update({name: value * len(images) for name, value in values.items()})
            logs = {name: total / images_seen for name, total in sorted(totals.items())}
            progress.step(logs)
    history.end_epoch(len(history.epoch), logs)
    progress.end(logs)


def _fingerprint(contents: list[Any], before: int = 0) -> int:
    """A checksum of arrays or bytes, and of the checksum before."""
    for content in contents:
        before = zlib.crc32(np.ascontiguousarray(content) if len(content) else b"", before)
    return before
