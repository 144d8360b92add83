"""What is shared with other programs: ports, compiled code, pictures of any pixels."""

import socket
import sys
import threading

import numba
import numpy as np
import pytest

from minicnn import plots, scale_out
from minicnn.engine import compiling
from minicnn.engine.kernels import relu
from minicnn.scale_out import cluster


def free_addresses(count):
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{server.getsockname()[1]}" for server in servers]
    for server in servers:
        server.close()
    return found


def port_of(address):
    return int(address.partition(":")[2])


def meet(workers, numbers):
    """What the calls of these workers raised, None if nothing; all at the same time."""
    ended = {}

    def work(number):
        try:
            ended[number] = scale_out.meet(workers, number, patience=5)
        except OSError as error:
            ended[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


@pytest.mark.parametrize("count", [2, 3, 5])
def test_workers_meet_and_leave_their_ports(count):
    workers = free_addresses(count)
    assert meet(workers, range(count)) == dict.fromkeys(range(count))
    for address in workers:
        socket.create_server(("127.0.0.1", port_of(address))).close()
    assert not [t for t in threading.enumerate() if t.name == "minicnn-meet"]


@pytest.mark.parametrize("says", [b"220 ready\r\n" * 9, b""], ids=["talks", "is silent"])
def test_another_program_at_the_port_of_a_worker_is_no_worker(says, monkeypatch):
    monkeypatch.setattr(cluster, "GREETING", 0.3)
    workers = free_addresses(2)
    with socket.create_server(("127.0.0.1", port_of(workers[1]))) as other:

        def answer():
            connection, _ = other.accept()
            connection.sendall(says)
            connection.recv(1000)
            over.wait(10)
            connection.close()

        over = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        message = f"at {workers[1]} another program answers instead of worker 1; start all"
        with pytest.raises(ConnectionError, match=message):
            scale_out.meet(workers, 0, patience=5)
        over.set()
        thread.join()


def test_workers_of_another_list_are_no_workers():
    first, second, third = free_addresses(3)
    lists, ended = [[first, second], [first, second, third]], {}

    def work(number):
        with pytest.raises(OSError, match=r"another program answers|has not come") as error:
            scale_out.meet(lists[number], number, patience=0.5)
        ended[number] = str(error.value)

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any("another program answers" in words for words in ended.values())


@pytest.mark.parametrize("setting", compiling.SETTINGS.split())
def test_settings_of_numba_have_compiled_code_of_their_own(setting, monkeypatch):
    files, key = files_of_a_kernel(), ("signature", "processor", "bytecode")
    usual = files._path(key)
    monkeypatch.setattr(numba.config, setting, "another", raising=False)
    assert files._path(key) != usual
    assert files._path(key).parent == usual.parent


def test_python_with_and_without_docstrings_keep_their_code_apart(monkeypatch):
    """Their bytecode differs: each would replace what the other has compiled."""
    files, key = files_of_a_kernel(), ("signature", "processor", "bytecode")
    usual = files._path(key)

    class Flags:
        optimize = 2

    monkeypatch.setattr(sys, "flags", Flags)
    assert files._path(key) != usual
    monkeypatch.undo()
    assert files._path(key) == usual


def files_of_a_kernel():
    return relu.relu_backward._cache._open()._cache_file


PIXELS = np.random.default_rng(0).random((2, 3, 3))


@pytest.mark.parametrize(
    ("images", "white", "black"),
    [
        (PIXELS * 255, 0, 255 * PIXELS.max()),
        (PIXELS * 2 - 1, 2 * PIXELS.min() - 1, 2 * PIXELS.max() - 1),
        (-PIXELS - 1, -PIXELS.max() - 1, -PIXELS.min() - 1),
        (np.zeros((2, 3, 3)), 0, 1),
        (np.full((2, 3, 3), -2.0), -2, -1),
        (np.full((2, 3, 3), 7, np.uint8), 0, 7),
        (np.where(PIXELS > 0.9, np.nan, 0.5), 0, 0.5),
        (np.ones((2, 3, 3), bool), 0, 1),
    ],
    ids=[
        "bytes",
        "-1 to 1",
        "negative",
        "zero",
        "negative constant",
        "constant",
        "NaN",
        "booleans",
    ],
)
def test_pictures_use_the_range_of_their_pixels(images, white, black):
    figure = plots.digit_grid(images, np.arange(2), 1, 2)
    for axes in figure.axes:
        (image,) = axes.images
        np.testing.assert_array_equal(image.get_clim(), (white, black))
