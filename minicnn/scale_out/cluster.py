"""How the workers find each other, connect, notice that one of them is lost, and part."""

import contextlib
import faulthandler
import os
import re
import signal
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

from minicnn.engine import get_num_threads

PATIENCE = 300  # seconds to start all workers by hand
GREETING = 5  # seconds for an answer; also of a busy machine
CLOSED = 20  # connections closed in a row, without a word: a worker that ends closes one at most
CONNECTING = 60  # seconds for TensorFlow to connect them, once all have started


def join(workers: list[str], worker: int) -> Any:
    """Wait for the other workers, then connect to them: a MultiWorkerMirroredStrategy.

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

    Raises
    ------
    OSError
        If the port is in use; TimeoutError if a worker does not start within `patience` seconds;
        ConnectionError if another program answers at its address.
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
    others = [other for other in range(len(workers)) if other != worker]
    with own, _answering(own, workers, worker) as came:
        for other in others:
            # It must have come here, too: afterwards the port is TensorFlow's.
            answered, closed = False, 0
            while not (answered and other in came):
                if not answered:
                    said = _answer_of(workers, worker, other)
                    answered = said == _token(workers, other)
                    closed = closed + 1 if said == b"" else 0
                    if (said and not answered) or closed == CLOSED:
                        raise ConnectionError(
                            f"at {workers[other]} another program answers instead of worker "
                            f"{other}; start all workers with the same list, or choose another "
                            "port, on all workers"
                        )
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"worker {other} has not come to {workers[other]} within {patience:g} s; "
                        f"start it there with --worker {other}, or look for a firewall"
                    )
                time.sleep(0.1)


def _token(workers: list[str], worker: int) -> bytes:
    """What a worker says, to another one of the same list; a line of 64 bytes."""
    checksum = zlib.crc32(",".join(workers).encode())
    return f"minicnn worker {worker} of {checksum}".ljust(63).encode() + b"\n"


@contextlib.contextmanager
def _answering(own: socket.socket, workers: list[str], worker: int) -> Iterator[set[int]]:
    """Answer the other workers inside the block; yields the set of those that have come so far."""
    numbers = {_token(workers, other): other for other in range(len(workers))}
    came: set[int] = set()
    over = threading.Event()
    own.settimeout(0.1)

    def answer() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), own.accept()[0] as caller:
                caller.settimeout(GREETING)
                caller.sendall(_token(workers, worker))
                came.add(numbers.get(_line(caller), -1))

    thread = threading.Thread(target=answer, name="minicnn-meet", daemon=True)
    thread.start()
    try:
        yield came
    finally:
        over.set()
        thread.join()


def _answer_of(workers: list[str], worker: int, other: int) -> bytes | None:
    """What is said at the address of another worker; None if no program listens there yet."""
    host, _, port = workers[other].rpartition(":")
    try:
        connection = socket.create_connection((host, int(port)), timeout=2)
    except OSError:
        return None
    with connection:
        connection.settimeout(GREETING)
        try:
            connection.sendall(_token(workers, worker))
            return _line(connection)
        except TimeoutError:
            return b"silence"
        except OSError:  # it was closed
            return b""


def _line(connection: socket.socket) -> bytes:
    """A token, or what else is said first; nothing if the connection is closed before."""
    said = b""
    while len(said) < 64 and (more := connection.recv(64 - len(said))):
        said += more
    return said


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
