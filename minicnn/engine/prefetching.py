"""`Dataset.prefetch`: a background thread prepares elements ahead of the loop that uses them."""

import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue

from minicnn.engine import interrupts, threads

PATIENCE = 0.5  # seconds; a loop that is left early does not wait longer for its source


def prefetched(source: Iterable, ahead: int) -> Iterator:
    """The elements of `source`, up to `ahead` of them prepared before they are asked for.

    An error in the source is raised where its element would have come. The thread ends with the
    pass, also when the loop over it is left early.
    """
    # Queues instead of a Condition, whose `__enter__` is a Python function: an interrupt inside it
    # would leave the lock locked for good.
    ready: SimpleQueue = SimpleQueue()
    room: SimpleQueue = SimpleQueue()  # an entry for each element that may be prepared
    left = False
    for _ in range(ahead - 1):
        room.put(None)

    def produce() -> None:
        try:
            for element in source:
                ready.put((element, None, False))
                room.get()
                if left:
                    return
            ready.put((None, None, True))
        except BaseException as error:  # whatever it is, it belongs to the consumer
            ready.put((None, error, False))

    producer = threading.Thread(target=produce, name="minicnn-prefetch", daemon=True)
    try:
        threads.start(producer)
        interrupts.act()
        while True:
            element, error, at_end = ready.get()
            if error is not None:
                raise error
            if at_end:
                return
            room.put(None)
            yield element
    finally:  # also when the consumer stops early, or drops the iterator
        left = True
        room.put(None)
        # `is_alive`, because a thread that has not started cannot be joined; and the garbage
        # collector, which may run this, runs in any thread.
        if producer.is_alive() and producer is not threading.current_thread():
            producer.join(PATIENCE)
