"""Training on several machines: the result is that of one process; errors are one line."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minicnn import scale_out
from minicnn.scale_out import cluster
from tests.idx_files import write_learnable_data
from tests.tolerances import assert_close

# A worker: 25 samples in batches of 8, so the last batch has one, and one worker none.
WORKER = """
import sys
import numpy as np
import minicnn
from minicnn import layers, scale_out

out, seed, *where = sys.argv[1:]
minicnn.set_random_seed(int(seed))
convolution = layers.Conv2D(3, 3, padding="same", activation="relu")
parts = [convolution, layers.MaxPooling2D(), layers.Flatten(), layers.Dense(4, "softmax")]
model = minicnn.Sequential([minicnn.Input((6, 5, 1)), *parts], dtype="float64")
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
rng = np.random.default_rng(5)
x, y = rng.normal(size=(25, 6, 5, 1)), rng.integers(0, 4, 25)
model.train_on_batch(x[:7], y[:7])  # so that the optimizer has a state
if where:
    workers = {"workers": where[0].split(","), "worker": int(where[1])}
    history = scale_out.fit(model, x, y, **workers, batch_size=8, epochs=2, verbose=2)
else:
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0)
slots = [array for slot in model.optimizer.state.values() for array in slot]
np.savez(
    out,
    *model.get_weights(),
    *slots,
    *(history.batches[name] for name in ("loss", "accuracy")),
    *(history.history[name] for name in ("loss", "accuracy")),
    model.optimizer.iterations,
)
"""


def free_addresses(count=2):
    with contextlib.ExitStack() as stack:
        servers = (socket.create_server(("127.0.0.1", 0)) for _ in range(count))
        sockets = [stack.enter_context(server) for server in servers]
        return [f"127.0.0.1:{own.getsockname()[1]}" for own in sockets]


@pytest.fixture
def start(tf):
    """Starts Python processes, and ends them all after the test."""
    with contextlib.ExitStack() as stack:

        def start(*argv):
            command = [sys.executable, *map(str, argv)]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = stack.enter_context(subprocess.Popen(command, **pipes))
            stack.callback(process.kill)
            return process

        yield start


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def arrays(path):
    with np.load(path) as file:
        return list(file.values())


@pytest.mark.full
def test_two_workers_train_as_one_process_of_minicnn_does(start, tmp_path):
    where = ",".join(free_addresses())
    paths = [tmp_path / f"{name}.npz" for name in ("chief", "other", "alone")]
    workers = [start("-c", WORKER, paths[k], 3, where, k) for k in (0, 1)]
    (status, out, err), (other_status, other_out, other_err) = map(finish, workers)
    assert (status, other_status) == (0, 0), err + other_err
    assert finish(start("-c", WORKER, paths[2], 3))[0] == 0
    assert "Epoch 2/2\n4/4 - " in out
    assert other_out == ""  # only the chief prints
    chief, other, alone = map(arrays, paths)
    assert len(alone) == 4 + 8 + 2 + 2 + 1
    assert alone[-1] == 9
    for one, two, ours in zip(chief, other, alone, strict=True):
        np.testing.assert_array_equal(one, two)
        assert_close(one, ours, "float64")


@pytest.mark.full  # like the next one, half a minute to start processes
def test_workers_with_different_seeds_are_an_error(start, tmp_path):
    where = ",".join(free_addresses())
    workers = [start("-c", WORKER, tmp_path / "out.npz", seed, where, seed) for seed in (0, 1)]
    for status, _, err in map(finish, workers):
        assert status == 1
        assert "ValueError: the workers do not train alike: give all of them the same data" in err
    assert not (tmp_path / "out.npz").exists()


def first_line_with(word, process):
    """The first line of output that contains the word."""
    for line in process.stdout:
        if word in line:
            return line
    return pytest.fail(f"no {word}: {process.stderr.read()}")


@pytest.mark.full
def test_the_command_saves_what_one_process_would_have_saved(start, run, tmp_path):
    data = write_learnable_data(tmp_path / "data")
    # Few small steps: Adam magnifies rounding errors, and the command uses single precision.
    flags = ("--data", data, "--learning-rate", 1e-4, "--seed", 4, "--save")
    where, shared, own = ",".join(free_addresses()), tmp_path / "shared.npz", tmp_path / "own.npz"
    chief, other = (
        start("-m", "minicnn", "train", "--workers", where, "--worker", k, *flags, shared)
        for k in (0, 1)
    )
    status, out, err = finish(chief)
    assert (status, err) == (0, "")
    assert f"Weights saved in {shared}\n" in out
    assert out.splitlines()[-1].startswith("test loss: ")
    status, out, err = finish(other)
    assert (status, err) == (0, "")
    assert out.endswith("Worker 1 has done its part; worker 0 has the result\n")
    assert "Model:" not in out
    assert run("train", *flags, own).status == 0
    for one, ours in zip(arrays(shared), arrays(own), strict=True):
        assert_close(one, ours, "float32 steps")


@pytest.mark.parametrize("lost", [0, pytest.param(1, marks=pytest.mark.full)])
def test_if_a_worker_dies_the_other_names_it_and_ends(start, tmp_path, lost):
    addresses, path = free_addresses(), tmp_path / "weights.npz"
    flags = ("--data", write_learnable_data(tmp_path / "data"), "--epochs", 10_000, "--save", path)
    workers = [
        start("-m", "minicnn", "train", *flags, "--workers", ",".join(addresses), "--worker", k)
        for k in (0, 1)
    ]
    first_line_with("Epoch 3/", workers[0])
    if lost == 0:
        workers[0].send_signal(signal.SIGTERM)  # which TensorFlow would catch
    else:
        workers[1].kill()
    assert finish(workers[lost])[0] in (-signal.SIGTERM, -signal.SIGKILL)
    status, _, err = finish(workers[1 - lost])
    assert status == 2
    assert err == (
        f"minicnn train: error: argument --workers: lost worker {lost} at {addresses[lost]} while "
        "training; the weights of before are kept and nothing is saved; start all workers again\n"
    )
    assert not path.exists()


@pytest.mark.full
def test_waiting_for_other_workers_can_be_interrupted(start):
    flags = ("--workers", ",".join(free_addresses()), "--worker", 0)
    process = start("-m", "minicnn", "train", *flags)
    line = first_line_with("waiting", process)
    assert line == f"Worker 0 of 2, at {flags[1].split(',')[0]}: waiting until all have started\n"
    process.send_signal(signal.SIGINT)
    status, _, err = finish(process)
    assert (status, err) == (130, "minicnn train: interrupted\n")


def test_a_port_in_use_is_an_error_of_one_line(tf, run):
    addresses = free_addresses()
    with socket.create_server(("127.0.0.1", int(addresses[0].split(":")[1]))):
        result = run("train", "--workers", ",".join(addresses), "--worker", 0)
    assert result.status == 2
    assert result.err == (
        f"minicnn train: error: argument --workers: worker 0 cannot listen at {addresses[0]}: "
        "Address already in use; choose another port, on all workers\n"
    )


@contextlib.contextmanager
def another_program(address, says):
    """Listens at this address, says something to whoever connects, or closes the connection."""
    with contextlib.ExitStack() as connections:
        server = connections.enter_context(socket.create_server(("", int(address.split(":")[1]))))

        def serve():
            with contextlib.suppress(OSError):  # it ends when the server is shut down
                while True:
                    connection = connections.enter_context(server.accept()[0])
                    connection.sendall(says) if says is not None else connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:  # otherwise the thread would keep the process from ending
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


STRANGERS = {
    "mail server": b"220 mail.example ready\r\n".ljust(64),
    "silent": b"",
    "closes": None,
    "worker of another list": cluster._token(["a:1", "b:1"], 1),
}


@pytest.mark.parametrize("says", STRANGERS.values(), ids=STRANGERS)
def test_another_program_at_the_port_of_a_worker_is_an_error_within_seconds(monkeypatch, says):
    monkeypatch.setattr(cluster, "GREETING", 0.5)
    addresses = free_addresses()
    words = f"at {addresses[1]} another program answers instead of worker 1; start all workers"
    started = time.monotonic()
    with another_program(addresses[1], says), pytest.raises(ConnectionError, match=words):
        scale_out.meet(addresses, 0, patience=60)
    assert time.monotonic() - started < 10


def test_workers_meet_in_any_order():
    addresses = free_addresses(3)
    with ThreadPoolExecutor() as threads:
        late = threads.submit(lambda: time.sleep(0.3) or scale_out.meet(addresses, 0, patience=60))
        others = [threads.submit(scale_out.meet, addresses, k, patience=60) for k in (1, 2)]
        assert [each.result(timeout=60) for each in (late, *others)] == [None] * 3


def test_a_worker_has_to_answer_and_to_come():
    """Either alone is not enough: afterwards the port is TensorFlow's."""
    addresses = free_addresses()
    words = f"worker 1 has not come to {addresses[1]} within 1 s"
    answers = another_program(addresses[1], cluster._token(addresses, 1))
    with answers, pytest.raises(TimeoutError, match=words):
        scale_out.meet(addresses, 0, patience=1)

    comes = threading.Thread(target=come, args=(addresses[0], cluster._token(addresses, 1)))
    comes.start()
    with pytest.raises(TimeoutError, match=words):
        scale_out.meet(addresses, 0, patience=1)
    comes.join()


def come(address, token):
    """Greet a worker, as soon as it listens."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", int(address.split(":")[1]))) as connection:
                connection.sendall(token)
                assert connection.recv(64)
            return
        time.sleep(0.02)
    raise AssertionError("nobody listened")


def test_a_worker_that_does_not_come_is_named():
    addresses = free_addresses()
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=f"worker 1 has not come to {addresses[1]} within 0.2 s"):
        scale_out.meet(addresses, 0, patience=0.2)
    assert time.monotonic() - started < 5
    socket.create_server(("", int(addresses[0].split(":")[1]))).close()  # the port is free


def test_a_process_that_has_used_tensorflow_cannot_join(tf, monkeypatch):
    tf.constant(1.0)
    monkeypatch.setattr(cluster, "meet", lambda *_: None)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="connect before TensorFlow computes anything else"):
        scale_out.join(free_addresses(), 0)
    assert signal.getsignal(signal.SIGTERM) == handler


def test_without_tensorflow_the_error_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    run("train", "--workers", "a:1,b:1", "--worker", 0).assert_one_line_error(
        "minicnn train: error: argument --workers: the Keras reference needs TensorFlow: "
        'pip install "minicnn[test]", or tensorflow-cpu\n'
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--workers a:1,b:1", "argument --workers: expected --worker beside it"),
        ("--worker 0", "argument --worker: expected --workers beside it"),
        ("--workers a:1,b:1 --worker 2", "--worker: expected a number below 2"),
        ("--workers a:1,b:1 --worker -1", "expected an integer of at least 0"),
        ("--workers a:1 --worker 0", "addresses of two or more workers"),
        ("--workers a:1,a:1 --worker 0", "all different, received 'a:1,a:1'"),
        ("--workers a,b:1 --worker 0", "expected HOST:PORT,HOST:PORT with ports"),
        ("--workers a:1,:2 --worker 0", "expected HOST:PORT,HOST:PORT with ports"),
        ("--workers a:1,b:65536 --worker 0", "ports from 1 to 65535"),
        ("--workers a:1,b:0 --worker 0", "ports from 1 to 65535"),
        ("--workers= --worker 0", "received ''"),
    ],
)
def test_wrong_flags_are_errors_of_one_line(run, flags, words):
    run("train", *flags.split()).assert_one_line_error(words)


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("images", [1, 2, 5, 32, 33])
def test_parts_cover_a_batch_in_order_and_evenly(images, workers):
    parts = [scale_out.part_of(images, workers, k) for k in range(workers)]
    assert [i for part in parts for i in range(images)[part]] == list(range(images))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1
