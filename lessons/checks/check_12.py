"""Lesson 12: a shuffle buffer, what can come out of it where, how much of the data is seen."""

import numpy as np

from .engine import NotYet, exercise

MOST_RUNS = 5000


def shuffle_cases():
    """Items, buffer_size, choose: the last one is put in by `every_order`."""
    sizes = [(5, 3), (6, 1), (4, 4), (4, 9), (5, 2), (1, 3), (0, 2)]
    return [(range(n), buffer_size, every_order) for n, buffer_size in sizes]


def every_order(function, items, buffer_size, choose):
    """Call a shuffle once for every way that its draws can turn out, and sum up what comes out.

    How a buffer is kept in order is up to the student. The chances of what comes out are not, and
    these are exact: each run counts as much as its draws are likely.
    """
    n, script = len(items), []
    chances, read, counts = np.zeros((n, n)), [], []
    for _ in range(MOST_RUNS):
        likely, out, reads, draws = one_run(function, n, buffer_size, [d for d, _ in script])
        for place, item in enumerate(out[:n]):
            chances[item, place] += likely
        read = read or reads
        counts.append(len(out))
        # The next run: the last draw that had more to choose from takes one place further.
        script = draws
        while script and script[-1][0] == script[-1][1] - 1:
            script.pop()
        if not script:
            break
        script[-1] = (script[-1][0] + 1, script[-1][1])
    else:
        raise NotYet("it draws too often: once for each item that comes out is enough")
    return {
        "how many come out, at least and at most,": [min(counts), max(counts)],
        "how many were read before each": read,
        "chances, items in rows, places in columns,": chances,
    }


def one_run(function, n, buffer_size, script):
    """What comes out if the first draws are those of `script`, and all further ones are 0."""
    taken, draws, out, reads = 0, [], [], []

    def source():
        nonlocal taken
        for item in range(n):
            taken += 1
            yield item

    def choose(k):
        if not 0 < k <= max(n, 1):
            raise ValueError(f"choose({k}) with at most {n} items to choose from")
        draws.append((script[len(draws)] if len(draws) < len(script) else 0, int(k)))
        return draws[-1][0]

    stream = function(source(), buffer_size, choose)
    if not hasattr(stream, "__iter__"):
        raise NotYet("shuffled gives nothing to loop over; write its body, with `yield`")
    for item in stream:
        if not isinstance(item, int | np.integer) or not 0 <= item < n:
            raise NotYet(f"{item!r} came out, which is none of the items")
        reads.append(taken)
        out.append(int(item))
        if len(out) > n:
            break
    # Whether the next one is read before or after one is handed out is all the same.
    if reads == [min(n, buffer_size + place + 1) for place in range(len(reads))]:
        reads = [min(n, buffer_size + place) for place in range(len(reads))]
    return np.prod([1 / k for _, k in draws]), out, reads, draws


@exercise(shuffle_cases, tolerance=1e-12, run=every_order)
def shuffled(items, buffer_size, choose):
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield buffer.pop(choose(len(buffer)))
    while buffer:
        yield buffer.pop(choose(len(buffer)))


def drained(buffer, choose):
    while buffer:
        yield buffer.pop(choose(len(buffer)))


@shuffled.mistake("the buffer is refilled after every draw, not when it is empty")
def _(items, buffer_size, choose):
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield from drained(buffer, choose)
    yield from drained(buffer, choose)


@shuffled.mistake("what is in the buffer when the input ends is lost")
def _(items, buffer_size, choose):
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield buffer.pop(choose(len(buffer)))


@shuffled.mistake(
    "when the input has ended, the rest is to be drawn as well, not handed out in order"
)
def _(items, buffer_size, choose):
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield buffer.pop(choose(len(buffer)))
    yield from buffer


@shuffled.mistake("everything is read before the first item comes out; buffer_size plays no part")
def _(items, buffer_size, choose):
    yield from drained(list(items), choose)


@shuffled.mistake("the buffer holds one item too many when it is drawn from")
def _(items, buffer_size, choose):
    yield from shuffled.reference(items, buffer_size + 1, choose)


@shuffled.mistake("nothing is drawn: items come out as they came in")
def _(items, buffer_size, choose):
    yield from items


@shuffled.mistake("an item that has come out has to leave the buffer")
def _(items, buffer_size, choose):
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) >= buffer_size:
            yield buffer[choose(len(buffer))]
    yield from drained(buffer, choose)


@shuffled.mistake("choose(k) never gives k: with len(buffer) - 1 the newest item has no chance")
def _(items, buffer_size, choose):
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield buffer.pop(choose(len(buffer) - 1))
    while buffer:
        yield buffer.pop(choose(len(buffer) - 1))


@shuffled.mistake(
    "a buffer larger than the data never gets full; its items have to come out as well"
)
def _(items, buffer_size, choose):
    buffer, items = [], iter(items)
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            break
    else:
        return
    for item in items:
        yield buffer.pop(choose(len(buffer)))
        buffer.append(item)
    yield from drained(buffer, choose)


def chance_cases():
    return [(6, 3), (6, 1), (6, 6), (6, 10), (9, 4), (1, 1), (30, 7)]


def all_chances(n, buffer_size, first=0, stays=True, drains=True):
    """The chances; `first` shifts the place at which items can come out for the first time."""
    chances = np.zeros((n, n))
    sizes = [min(buffer_size, n - place) if drains else buffer_size for place in range(n)]
    for item in range(n):
        there = 1.0
        for place in range(max(0, item - buffer_size + 1 + first), n):
            chances[item, place] = there / sizes[place]
            if stays:
                there -= chances[item, place]
    return chances


@exercise(chance_cases, tolerance=1e-12)
def chances(n, buffer_size):
    return all_chances(n, buffer_size)


@chances.mistake("at the end the buffer drains: at place p it holds no more than n - p items")
def _(n, buffer_size):
    return all_chances(n, buffer_size, drains=False)


@chances.mistake("an item can only come out if it has not come out before")
def _(n, buffer_size):
    return all_chances(n, buffer_size, stays=False)


@chances.mistake("item i can come out at place i - buffer_size + 1 already")
def _(n, buffer_size):
    return all_chances(n, buffer_size, first=1)


@chances.mistake("item i is read too late to come out at place i - buffer_size")
def _(n, buffer_size):
    return all_chances(n, buffer_size, first=-1)


@chances.mistake("an item cannot come out before it has been read")
def _(n, buffer_size):
    return all_chances(n, buffer_size, first=-n)


@chances.mistake("rows are items, columns are places")
def _(n, buffer_size):
    return all_chances(n, buffer_size).T


@chances.mistake("this is a shuffle of everything: every item everywhere with the same chance")
def _(n, buffer_size):
    return np.full((n, n), 1 / n)


@chances.mistake("this is the chance to be still in the buffer, before it is divided by its size")
def _(n, buffer_size):
    there = np.zeros((n, n))
    for item, row in enumerate(all_chances(n, buffer_size)):
        start = max(0, item - buffer_size + 1)
        there[item, start:] = 1 - np.cumsum(np.append(0, row[start:-1]))
    return there


def seen_cases():
    return [
        (60000, 64, 200, 3),
        (100, 10, 5, 1),
        (100, 10, 5, 2),
        (100, 7, 3, 10),
        (100, 10, 12, 2),
    ]


@exercise(seen_cases, tolerance=1e-9)
def distinct_images(n, batch_size, steps, calls):
    share = min(batch_size * steps / n, 1.0)  # not 1: what is expected is no integer
    return n * (1 - (1 - share) ** calls)


@distinct_images.mistake("these are the images seen; those of one call come up again in the next")
def _(n, batch_size, steps, calls):
    return batch_size * steps * calls


@distinct_images.mistake("a call does not go on where the last one ended: it starts a new shuffle")
def _(n, batch_size, steps, calls):
    return min(batch_size * steps * calls, n)


@distinct_images.mistake("within a call no image comes twice before all have come")
def _(n, batch_size, steps, calls):
    return n * (1 - (1 - 1 / n) ** (batch_size * steps * calls))


@distinct_images.mistake("these are the images that are never seen")
def _(n, batch_size, steps, calls):
    return n * (1 - min(batch_size * steps / n, 1)) ** calls


@distinct_images.mistake("a call cannot see more than all n images, even if it goes on for longer")
def _(n, batch_size, steps, calls):
    return n * (1 - (1 - batch_size * steps / n) ** calls)


@distinct_images.mistake("this is a share; a number of images is wanted")
def _(n, batch_size, steps, calls):
    return 1 - (1 - min(batch_size * steps / n, 1)) ** calls


# The lesson goes on with these where an exercise may be unsolved.
chances_for_the_picture = chances.reference
images_for_the_text = distinct_images.reference
