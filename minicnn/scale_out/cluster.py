"""How the workers find each other, connect, notice that one of them is lost, and part."""

import contextlib
import faulthandler
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from minicnn.engine import get_num_threads

PATIENCE = 300  # seconds to start all workers by hand
CONNECTING = 60  # seconds for TensorFlow to connect them, once all have started


def join(workers: list[str], worker: int) -> Any:
    """Wait for the other workers, then connect to them.

    Returns
    -------
    tf.distribute.MultiWorkerMirroredStrategy

    Raises
    ------
    OSError
        If the port is in use, or if a worker does not start or cannot be connected.
    ValueError
        If this process has used TensorFlow before.
    """
    import tensorflow as tf

    meet(workers, worker)
    cluster = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": workers}),
        task_type="worker",
        task_id=worker,
        rpc_layer="grpc",
    )
    # While TensorFlow connects, it holds the GIL and no signal is handled. If a worker is lost
    # just then, only a watchdog outside of Python can end the process, with a traceback.
    faulthandler.dump_traceback_later(CONNECTING, exit=True)
    on_termination = signal.getsignal(signal.SIGTERM)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(get_num_threads())
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
        # TensorFlow's handler only takes note of SIGTERM; it must end the process, as before.
        signal.signal(signal.SIGTERM, on_termination or signal.SIG_DFL)
    return strategy


def meet(workers: list[str], worker: int, patience: float = PATIENCE) -> None:
    """Listen at the port of this worker until all others listen at theirs.

    TensorFlow itself would wait forever, without a message, and ignore Ctrl-C.

    Parameters
    ----------
    workers : list of "HOST:PORT"
    worker : int
        The number of this one.
    patience : float
        Seconds to wait.

    Raises
    ------
    OSError
        If the port is in use; TimeoutError if a worker does not start in time.
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


def leave(strategy: Any) -> None:
    """Return when all workers have taken their last step: none may end while another needs it.

    An error means that the others have already left, which they only do after this worker has
    taken its last step.
    """
    import tensorflow as tf

    @tf.function
    def together():
        return strategy.reduce("SUM", strategy.run(lambda: tf.constant(1.0)), axis=None)

    with contextlib.suppress(tf.errors.OpError):
        together()


@contextlib.contextmanager
def naming_lost_workers(workers: list[str], worker: int) -> Iterator[None]:
    """Turn TensorFlow's errors into a ConnectionError that says which worker no longer answers."""
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
