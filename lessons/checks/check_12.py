"""Lesson 12: a shuffle buffer, what can come out of it where, how much of the data is seen."""

import numpy as np

from .engine import NotYet, exercise

MOST_RUNS = 5000


def shuffle_cases():
    """Items, buffer_size, choose: the last one is put in by `every_order`."""
    sizes = [(5, 3), (6, 1), (4, 4), (4, 9), (5, 2), (1, 3), (0, 2), (6, 5), (7, 2)]
    return [(range(n), buffer_size, every_order) for n, buffer_size in sizes]


class Item:
    """An item that, like an array, can be moved about, but not be compared, hashed or converted."""

    __hash__ = None

    def __init__(self, number):
        self.number = number

    def __repr__(self):
        return f"item {self.number}"

    def __eq__(self, other):
        raise ValueError("items may be arrays, which == does not compare as a whole; use positions")

    def __bool__(self):
        raise ValueError("items may be arrays, which are neither true nor false")


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
        for number in range(n):
            taken += 1
            yield Item(number)

    def choose(k):
        if not 0 < k <= max(n, 1):
            raise ValueError(f"choose({k}) with at most {n} items to choose from")
        draws.append((script[len(draws)] if len(draws) < len(script) else 0, int(k)))
        return draws[-1][0]

    stream = function(source(), buffer_size, choose)
    if not hasattr(stream, "__iter__"):
        raise NotYet("shuffled gives nothing to loop over; write its body, with `yield`")
    for item in stream:
        if not isinstance(item, Item):
            raise NotYet(f"{item!r} came out, which is none of the items")
        reads.append(taken)
        out.append(item.number)
        if len(out) > n:
            break
    # Whether the next one is read before or after one is handed out is all the same.
    if reads == [min(n, buffer_size + place + 1) for place in range(len(reads))]:
        reads = [min(n, buffer_size + place) for place in range(len(reads))]
    return np.prod([1 / k for _, k in draws]), out, reads, draws


@exercise(shuffle_cases, tolerance=1e-12, run=every_order)
def shuffled(items, buffer_size, choose):
    yield from with_draws(items, buffer_size, choose, len)


def with_draws(items, buffer_size, choose, size):
    """Each draw is choose(size(buffer)), which is right if `size` is `len`."""
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield buffer.pop(choose(size(buffer)))
    while buffer:
        yield buffer.pop(choose(size(buffer)))


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


@shuffled.mistake("the items still in the buffer when the input ends have to come out, too")
def _(items, buffer_size, choose):
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield buffer.pop(choose(len(buffer)))


@shuffled.mistake(
    "after the end of the input, draw from the buffer as before; do not hand out its items in order"
)
def _(items, buffer_size, choose):
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            yield buffer.pop(choose(len(buffer)))
    yield from buffer


@shuffled.refused
def _(items, buffer_size, choose):  # a set, in which equal items are one
    buffer = set()
    for item in items:
        buffer.add(item)
        if len(buffer) == buffer_size:
            drawn = sorted(buffer)[choose(len(buffer))]
            buffer.remove(drawn)
            yield drawn
    yield from drained(list(buffer), choose)


@shuffled.refused
def _(items, buffer_size, choose):  # removed by value, which fails for arrays
    buffer = []
    for item in items:
        buffer.append(item)
        if len(buffer) == buffer_size:
            drawn = buffer[choose(len(buffer))]
            buffer.remove(drawn)
            yield drawn
    yield from drained(buffer, choose)


@shuffled.refused
def _(items, buffer_size, choose):  # never more than four
    yield from shuffled.reference(items, min(buffer_size, 4), choose)


@shuffled.mistake("everything is read before the first item comes out; buffer_size plays no part")
def _(items, buffer_size, choose):
    yield from drained(list(items), choose)


@shuffled.mistake("the buffer holds one item too many at each draw")
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


@shuffled.mistake(
    "choose(k) never gives k: after choose(len(buffer) - 1) the newest item cannot come out"
)
def _(items, buffer_size, choose):
    yield from with_draws(items, buffer_size, choose, lambda buffer: len(buffer) - 1)


@shuffled.mistake(
    "while the buffer drains it holds fewer than buffer_size items: choose(len(buffer))"
)
def _(items, buffer_size, choose):
    yield from with_draws(items, buffer_size, choose, lambda buffer: buffer_size)


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


@chances.mistake("at the end the buffer drains: at place p it holds at most n - p items")
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
        (105, 10, 12, 1),  # longer than a pass, whose last batch is not full
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


@distinct_images.mistake(
    "what is to be expected is a mean, and need not be a whole number: do not round"
)
def _(n, batch_size, steps, calls):
    return round(distinct_images.reference(n, batch_size, steps, calls))


@distinct_images.refused
def _(n, batch_size, steps, calls):  # the last batch of a pass is dropped
    images = batch_size * steps
    seen = n // batch_size * batch_size if images > n else images
    return n * (1 - (1 - seen / n) ** calls)


@distinct_images.mistake("these are the images that are never seen")
def _(n, batch_size, steps, calls):
    return n * (1 - min(batch_size * steps / n, 1)) ** calls


@distinct_images.mistake("a call cannot see more than all n images, even if it goes on for longer")
def _(n, batch_size, steps, calls):
    return n * (1 - (1 - batch_size * steps / n) ** calls)


@distinct_images.mistake("this is a share; a number of images is wanted")
def _(n, batch_size, steps, calls):
    return 1 - (1 - min(batch_size * steps / n, 1)) ** calls


def repeated_cases():
    return [
        (4, 3, 2, 1),
        (5, 2, 7, 1),
        (4, 1, 3, 2),
        (3, 7, 4, 1),
        (6, 6, 6, 3),
        (10, 4, 5, 2),
        (40, 15, 130, 2),
    ]


def missed_by_a_call(n, buffer_size, draws, early=0, most=np.inf):
    """The chance of each item, right unless `early` or `most` shift or limit its copies."""
    item, missed = np.arange(n), np.ones(n)
    for place in range(draws):
        copies = (buffer_size + place - 1 + early - item) // n + 1
        missed *= 1 - np.minimum(copies, most) / buffer_size
    return missed


@exercise(repeated_cases, tolerance=1e-9)
def chance_seen(n, buffer_size, draws, calls):
    return 1 - missed_by_a_call(n, buffer_size, draws) ** calls


@chance_seen.mistake("the buffer can hold an item several times: count all copies that were read")
def _(n, buffer_size, draws, calls):
    return 1 - missed_by_a_call(n, buffer_size, draws, most=1) ** calls


@chance_seen.mistake("this is shuffle, then repeat: here the buffer never drains")
def _(n, buffer_size, draws, calls):
    return 1 - (1 - all_chances(n, buffer_size)[:, :draws].sum(axis=1)) ** calls


@chance_seen.mistake("every draw is taken from all n items here; draw from the buffer")
def _(n, buffer_size, draws, calls):
    return np.full(n, 1 - (1 - 1 / n) ** (draws * calls))


@chance_seen.mistake(
    "before the draw at place p, buffer_size + p items have been read, not one more"
)
def _(n, buffer_size, draws, calls):
    return 1 - missed_by_a_call(n, buffer_size, draws, early=1) ** calls


@chance_seen.mistake(
    "before the draw at place p, buffer_size + p items have been read, not one less"
)
def _(n, buffer_size, draws, calls):
    return 1 - missed_by_a_call(n, buffer_size, draws, early=-1) ** calls


@chance_seen.mistake(
    "the copies are counted at the end; at each place only those read so far count"
)
def _(n, buffer_size, draws, calls):
    copies = (buffer_size + draws - 2 - np.arange(n)) // n + 1
    return 1 - (1 - copies / buffer_size) ** (draws * calls)


@chance_seen.mistake("a call does not continue the one before: it starts with a new buffer")
def _(n, buffer_size, draws, calls):
    return 1 - missed_by_a_call(n, buffer_size, draws * calls)


@chance_seen.mistake("this is for one call; several calls see more")
def _(n, buffer_size, draws, calls):
    return 1 - missed_by_a_call(n, buffer_size, draws)


@chance_seen.mistake("this is the chance to come out in every call; at least once is enough")
def _(n, buffer_size, draws, calls):
    return (1 - missed_by_a_call(n, buffer_size, draws)) ** calls


@chance_seen.mistake("chances of several calls do not add up: multiply the chances to be missed")
def _(n, buffer_size, draws, calls):
    return np.minimum(calls * (1 - missed_by_a_call(n, buffer_size, draws)), 1)


@chance_seen.mistake("this is the chance that an item is never seen")
def _(n, buffer_size, draws, calls):
    return missed_by_a_call(n, buffer_size, draws) ** calls


@chance_seen.mistake("this is the expected number of items; the chance of each item is wanted")
def _(n, buffer_size, draws, calls):
    return chance_seen.reference(n, buffer_size, draws, calls).sum()


@chance_seen.refused
def _(n, buffer_size, draws, calls):  # of an item chosen at random
    return np.full(n, chance_seen.reference(n, buffer_size, draws, calls).mean())


@chance_seen.refused
def _(n, buffer_size, draws, calls):  # whether it can be seen at all
    return (np.arange(n) < buffer_size + draws - 1).astype(float)


@chance_seen.refused
def _(n, buffer_size, draws, calls):  # the last item first
    return chance_seen.reference(n, buffer_size, draws, calls)[::-1]


@chance_seen.refused
def _(n, buffer_size, draws, calls):  # how often it is expected to come out
    return np.full(n, draws * calls / n)


# The lesson goes on with these where an exercise may be unsolved.
chances_for_the_picture = chances.reference
images_for_the_text = distinct_images.reference
seen_for_the_text = chance_seen.reference
