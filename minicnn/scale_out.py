"""Past one machine: the same training on several, under TensorFlow's MultiWorkerMirroredStrategy.

Every worker is one process, on a machine of its own or not, and makes the same call but for its
number. All of them hold the same weights and draw the same batches in the same order; of each
batch a worker takes its part, and TensorFlow adds up the gradients. It is `minicnn.step` with
machines for threads: the parts of a batch, and a sum.
"""

import contextlib
import faulthandler
import os
import re
import signal
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn import arguments, keras_reference, parallel
from minicnn.batches import Epochs
from minicnn.history import History, Progress, verbosity
from minicnn.model import Sequential
from minicnn.optimizers import Optimizer
from minicnn.session import random_stream
from minicnn.shapes import positive_int

PATIENCE = 300  # seconds to start all workers by hand
CONNECTING = 60  # seconds for TensorFlow, once all of them are there

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
    """`model.fit`, with the work of each batch shared among processes that all call this.

    To be called before anything else is done with TensorFlow in this process, and once. Afterwards
    the model has its new weights and optimizer state, on every worker.

    Parameters
    ----------
    model : Sequential
        Built and compiled; the same weights on all workers.
    x, y, batch_size, epochs, steps_per_epoch
        As in `Sequential.fit`, and the same on all workers. Arrays are shuffled anew in each
        epoch: `minicnn.set_random_seed` gives all workers the same order.
    workers : list of "HOST:PORT"
        Where the workers are to be reached, the same list on all of them.
    worker : int
        Which of these this one is. Worker 0, the chief, shows progress.
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
        If the port of this worker is in use, if another cannot be found, or is lost on the way.
    ValueError
        If the workers are not given the same weights, data and settings, or for arguments that
        `Sequential.fit` refuses. The weights are then as they were.
    """
    keras_reference.require_keras()
    epochs = positive_int(epochs, "epochs", "fit")
    verbose = verbosity(verbose, "fit") if worker == 0 else 0
    source = model._labelled("fit", x, y, batch_size, random_stream())
    train = Epochs(source, steps_per_epoch, "steps_per_epoch", "fit")
    history = History({"verbose": verbose, "epochs": epochs, "steps": train.steps})
    strategy = join(workers, worker)
    with keras_reference.precision(model.dtype), _naming_who_is_lost(workers, worker):
        with strategy.scope():
            twin = keras_reference.to_keras(model)
        settings = repr((epochs, train.steps, _settings(model.optimizer))).encode()
        slots = [array for slot in model.optimizer.state.values() for array in slot]
        seen = _fingerprint([settings, *model.get_weights(), *slots])
        step = _shared_step(strategy, twin, model, seen)
        try:
            for epoch in range(epochs):
                if verbose and epochs > 1:
                    print(f"Epoch {epoch + 1}/{epochs}", flush=True)
                _run_epoch(step, train, history, verbose)
        finally:
            train.close()
        _say_farewell(strategy)
    trained = keras_reference.from_keras(twin)
    model.set_weights(trained.get_weights())
    model.optimizer.iterations = trained.optimizer.iterations
    model.optimizer.state = trained.optimizer.state
    model.history = history
    return history


def join(workers: list[str], worker: int) -> Any:
    """Wait for the other workers, then connect to them: their MultiWorkerMirroredStrategy."""
    import tensorflow as tf

    meet(workers, worker)
    cluster = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": workers}),
        task_type="worker",
        task_id=worker,
        rpc_layer="grpc",
    )
    # While TensorFlow connects it holds Python's lock and hears no signal. If a worker is lost in
    # this very second, only a watch outside of Python can end the waiting: with a traceback.
    faulthandler.dump_traceback_later(CONNECTING, exit=True)
    on_termination = signal.getsignal(signal.SIGTERM)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(parallel.get_num_threads())
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster)
    except RuntimeError as error:
        raise ValueError(
            "scale_out: the workers have to connect before TensorFlow computes anything else, and "
            f"once in a process; start a new one ({error})"
        ) from None
    except tf.errors.OpError as error:
        raise ConnectionError(f"TensorFlow cannot connect the workers: {error.message}") from None
    finally:
        faulthandler.cancel_dump_traceback_later()
    if threading.current_thread() is threading.main_thread():
        # TensorFlow takes it as a mere notice; here it is to end the process, as it did before.
        signal.signal(signal.SIGTERM, on_termination or signal.SIG_DFL)
    return strategy


def meet(workers: list[str], worker: int, patience: float = PATIENCE) -> None:
    """Take the port of this worker, and wait until every other one has taken his.

    TensorFlow would wait without end, deaf to Ctrl-C, and say nothing.

    Raises
    ------
    OSError
        If the port is in use; TimeoutError if a worker does not come.
    """
    port = int(workers[worker].rpartition(":")[2])
    try:
        own = socket.create_server(("", port))
    except OSError as error:
        raise OSError(
            f"worker {worker} cannot listen at {workers[worker]}: {os.strerror(error.errno)}; "
            "choose another port, on all workers"
        ) from None
    deadline = time.monotonic() + patience
    with own:
        for other, address in enumerate(workers):
            while other != worker and not _answers(address):
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"worker {other} has not come to {address} within {patience:g} s; "
                        f"start it there with --worker {other}, or look for a firewall"
                    )
                time.sleep(0.1)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def _shared_step(strategy: Any, twin: Any, model: Sequential, seen: int) -> Step:
    """One step of all workers on one batch; gives its loss and metrics."""
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
        # Here gradients are added up over all workers, so that all take the same step.
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


def part_of(images: int, workers: int, worker: int) -> slice:
    """A worker's part of a batch: consecutive images, and as many as others have, or one less."""
    start, stop = (images * k // workers for k in (worker, worker + 1))
    return slice(start, stop)


def _run_epoch(step: Step, train: Epochs, history: History, verbose: int) -> None:
    """One epoch as in `Trainer.fit`."""
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


def _say_farewell(strategy: Any) -> None:
    """Leave only when all workers have taken their last step.

    Who gets no answer was the last: the others could only leave because he had come this far.
    """
    import tensorflow as tf

    @tf.function
    def together():
        return strategy.reduce("SUM", strategy.run(lambda: tf.constant(1.0)), axis=None)

    with contextlib.suppress(tf.errors.OpError):
        together()


def _settings(optimizer: Optimizer) -> tuple[Any, ...]:
    kind = type(optimizer).__name__
    arguments = [getattr(optimizer, name) for name in keras_reference.OPTIMIZER_ARGUMENTS[kind]]
    return kind, optimizer.iterations, arguments


def _fingerprint(contents: list[Any], before: int = 0) -> int:
    """Of arrays or bytes, and of what came before: equal if all is equal, hardly ever else."""
    for content in contents:
        before = zlib.crc32(np.ascontiguousarray(content) if len(content) else b"", before)
    return before


@contextlib.contextmanager
def _naming_who_is_lost(workers: list[str], worker: int) -> Iterator[None]:
    """Turn TensorFlow's errors into one line that says which worker no longer answers."""
    import tensorflow as tf

    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        numbers = {int(number) for number in re.findall(r"/task:(\d+)", error.message)} - {worker}
        lost = [f"worker {k} at {workers[k]}" for k in sorted(numbers) if k < len(workers)]
        raise ConnectionError(
            f"lost {' and '.join(lost) or 'another worker'} while training; the weights of before "
            "are kept and nothing is saved; start all workers again"
        ) from None


def add_arguments(parser: arguments.Parser) -> None:
    """The two flags of `train`."""
    parser.add_argument(
        "--workers",
        type=arguments.addresses,
        metavar="HOST:PORT,...",
        help="share the work of each batch with other machines, by TensorFlow; make the same call "
        "on each, but for --worker (default: train here, without TensorFlow)",
    )
    parser.add_argument(
        "--worker",
        type=arguments.integer_from(0),
        metavar="K",
        help="which of the --workers this call is, from 0; worker 0 tests, saves and draws",
    )


def check_arguments(args: Any) -> None:
    """End with an error if the two flags do not fit together, or TensorFlow is missing."""
    if (args.workers is None) != (args.worker is None):
        given, missing = (
            ("--worker", "--workers") if args.workers is None else ("--workers", "--worker")
        )
        args.parser.error(f"argument {given}: expected {missing} beside it")
    if args.workers is None:
        return
    if args.worker >= len(args.workers):
        args.parser.error(
            f"argument --worker: expected a number below {len(args.workers)}, as there are "
            f"{len(args.workers)} workers, received '{args.worker}'"
        )
    try:
        keras_reference.require_keras()
    except ImportError as error:
        args.parser.error(f"argument --workers: {error}")
