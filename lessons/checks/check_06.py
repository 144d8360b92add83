"""Lesson 6: softmax, the loss of any scores with its gradient, in two steps, and in one pass."""

import weakref

import numpy as np

from minicnn.activations import softmax as right_softmax
from minicnn.activations import softmax_backward as right_softmax_backward
from minicnn.losses import cross_entropy_of_logits

from .engine import NotYet, exercise


def scores():
    """Scores (n, classes); three by three, to show whose axes are mixed up, and large ones."""
    yield (np.array([[1.0, 3, 2]]),)
    yield (np.array([[1.0, 3, 2], [0, 0, 0], [4, -1, 1]]),)
    yield (np.random.default_rng(0).normal(0, 2, (2, 5)),)
    yield (np.array([[1e4, 1e4 - 1, -1e4], [-1e4, 1 - 1e4, -1e4]]),)
    yield (np.array([[1000.0, 0], [0, 1]]),)
    yield (np.array([[0, 1000.0]]),)
    yield (np.array([[-1000.0, -1001]]),)


@exercise(scores, tolerance=1e-9)
def softmax(z):
    return right_softmax(z)


@softmax.mistake("exp overflows; subtract the largest score of the row first")
def _(z):
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


@softmax.mistake("each row has a largest score of its own; z.max() is that of the whole batch")
def _(z):
    e = np.exp(z - z.max())
    return e / e.sum(axis=1, keepdims=True)


@softmax.mistake("each row sums up to 1, not the whole batch")
def _(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum()


@softmax.mistake("a sample is a row: sum over axis 1, the classes, not over axis 0")
def _(z):
    return right_softmax(z.T).T


@softmax.mistake("without keepdims=True the sums of rows are spread over the columns")
def _(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1)


@softmax.mistake("without keepdims=True maxima and sums of rows are spread over the columns")
def _(z):
    e = np.exp(z - z.max(axis=1))
    return e / e.sum(axis=1)


@softmax.mistake("the exponential is missing")
def _(z):
    return z / z.sum(axis=1, keepdims=True)


@softmax.mistake("these are not divided by their sum yet")
def _(z):
    return np.exp(z - z.max(axis=1, keepdims=True))


@softmax.mistake(
    "the first score need not be the largest one: subtract z.max(axis=1, keepdims=True)"
)
def _(z):
    e = np.exp(z - z[:, :1])
    return e / e.sum(axis=1, keepdims=True)


def labelled_scores():
    yield np.array([[1.0, 3, 2]]), np.array([2])
    yield np.array([[1.0, 3, 2], [0, 0, 0], [4, -1, 1]]), np.array([2, 0, 1])
    yield np.random.default_rng(1).normal(0, 2, (4, 10)), np.array([7, 0, 7, 2])
    yield np.array([[1e4, -1e4, 0], [1e4, 0, -1e4]]), np.array([1, 0])
    yield np.array([[1000.0, 0], [0, 1]]), np.array([0, 1])
    yield np.array([[0, 1000.0]]), np.array([0])
    yield np.array([[-1000.0, -1001]]), np.array([0])
    yield np.array([[0, -15.0]]), np.array([0])
    yield np.array([[1e6, 0]]), np.array([1])


@exercise(labelled_scores, tolerance=1e-9)
def loss_and_gradient(z, labels):
    losses, dz = cross_entropy_of_logits(labels, z)
    return float(losses.mean()), dz / len(z)


right = loss_and_gradient.reference


def log_sum_exp(z):
    m = z.max(axis=1, keepdims=True)
    return np.log(np.exp(z - m).sum(axis=1)) + m[:, 0]


def of_label(z, labels):
    return z[np.arange(len(z)), labels]


@loss_and_gradient.mistake("the loss is right; the gradient of a mean has to be divided by n too")
def _(z, labels):
    loss, dz = right(z, labels)
    return loss, dz * len(z)


@loss_and_gradient.mistake("this is the sum over the samples, not their mean")
def _(z, labels):
    loss, dz = right(z, labels)
    return loss * len(z), dz * len(z)


@loss_and_gradient.mistake("the mean is one over n samples, not over all n * classes scores")
def _(z, labels):
    loss, dz = right(z, labels)
    return loss, dz / z.shape[1]


@loss_and_gradient.mistake(
    "the gradient has the wrong sign: p - onehot points uphill, as it should"
)
def _(z, labels):
    loss, dz = right(z, labels)
    return loss, -dz


@loss_and_gradient.mistake("the gradient is p alone; 1 has to be taken off at the label")
def _(z, labels):
    return right(z, labels)[0], right_softmax(z) / len(z)


@loss_and_gradient.mistake("exp overflows; subtract the largest score of the row first")
def _(z, labels):
    e = np.exp(z)
    p = e / e.sum(axis=1, keepdims=True)
    dz = p.copy()
    dz[np.arange(len(z)), labels] -= 1
    return -np.log(of_label(p, labels)).mean(), dz / len(z)


@loss_and_gradient.mistake("softmax rounds to 0, whose log is -inf; the loss needs no p at all")
def _(z, labels):
    return -np.log(of_label(right_softmax(z), labels)).mean(), right(z, labels)[1]


@loss_and_gradient.mistake("clipping p at 1e-7 ends the loss at 16.1, however wrong the scores are")
def _(z, labels):
    p = np.clip(right_softmax(z), 1e-7, 1 - 1e-7)
    return -np.log(of_label(p, labels)).mean(), right(z, labels)[1]


@loss_and_gradient.mistake("a clipped p ends the loss at 16.1, however wrong the scores are")
def _(z, labels):
    p = np.maximum(right_softmax(z), 1e-7)
    return -np.log(of_label(p, labels)).mean(), right(z, labels)[1]


@loss_and_gradient.mistake(
    "the gradient is right; the loss is the mean over the samples, not their sum"
)
def _(z, labels):
    loss, dz = right(z, labels)
    return loss * len(z), dz


@loss_and_gradient.mistake(
    "the loss is one number, the mean over the samples, not one for each sample"
)
def _(z, labels):
    return log_sum_exp(z) - of_label(z, labels), right(z, labels)[1]


@loss_and_gradient.mistake("the loss comes first: return loss, dz")
def _(z, labels):
    return right(z, labels)[::-1]


@loss_and_gradient.mistake("the first score need not be the largest one: subtract z.max(axis=1)")
def _(z, labels):
    z = z - z[:, :1]
    e = np.exp(z)
    dz = e / e.sum(axis=1, keepdims=True)
    dz[np.arange(len(z)), labels] -= 1
    return (np.log(e.sum(axis=1)) - of_label(z, labels)).mean(), dz / len(z)


@loss_and_gradient.mistake("each row has a largest score of its own, for the gradient too")
def _(z, labels):
    e = np.exp(z - z.max())
    dz = e / e.sum(axis=1, keepdims=True)
    dz[np.arange(len(z)), labels] -= 1
    loss = (np.log(e.sum(axis=1)) + z.max() - of_label(z, labels)).mean()
    return loss, dz / len(z)


@loss_and_gradient.mistake("each row has a largest score of its own; z.max() is the batch's")
def _(z, labels):
    m = z.max()
    return (np.log(np.exp(z - m).sum(axis=1)) + m - of_label(z, labels)).mean(), right(z, labels)[1]


@loss_and_gradient.refused
def _(z, labels):  # the loss of the first sample
    _, dz = right(z, labels)
    return right(z[:1], labels[:1])[0], dz


@loss_and_gradient.refused
def _(z, labels):  # squared errors
    p = right_softmax(z)
    p[np.arange(len(z)), labels] -= 1
    return (p**2).mean(), 2 * p / p.size


@loss_and_gradient.refused
def _(z, labels):  # logarithm to base 2
    loss, dz = right(z, labels)
    return loss / np.log(2), dz


@loss_and_gradient.mistake("m has to be taken off the score of the label too")
def _(z, labels):
    m = z.max(axis=1)
    return (log_sum_exp(z) - m - of_label(z, labels)).mean(), right(z, labels)[1]


@loss_and_gradient.mistake("the score of the label is still to be taken off")
def _(z, labels):
    return (log_sum_exp(z) - z.max(axis=1)).mean(), right(z, labels)[1]


@loss_and_gradient.mistake(
    "z[:, labels] takes all these columns of every row; z[np.arange(n), labels] takes one a row"
)
def _(z, labels):
    loss = log_sum_exp(z).mean() - z[:, labels].mean()
    dz = right_softmax(z)
    dz[:, labels] -= 1
    return loss, dz / len(z)


def backward_cases():
    yield np.array([[1.0, 0, 0]]), np.array([[0.5, 0.25, 0.25]])
    for seed, shape in enumerate([(3, 3), (2, 5), (4, 10)]):
        rng = np.random.default_rng(seed)
        yield rng.normal(0, 1, shape), right_softmax(rng.normal(0, 2, shape))
    yield np.array([[0, -1e20]]), np.array([[1, 1e-20]])


@exercise(backward_cases, tolerance=1e-9)
def softmax_backward(dp, p):
    return right_softmax_backward(dp, p)


@softmax_backward.mistake("this is what i = j gives; each p depends on all scores")
def _(dp, p):
    return dp * p * (1 - p)


@softmax_backward.mistake("the sum over the other probabilities is missing")
def _(dp, p):
    return dp * p


@softmax_backward.mistake("the sum is one over dp * p, not over dp")
def _(dp, p):
    return p * (dp - dp.sum(axis=1, keepdims=True))


@softmax_backward.mistake("the sum goes over the classes of a row, not over the whole batch")
def _(dp, p):
    return p * (dp - (dp * p).sum())


@softmax_backward.mistake("the sum goes over the classes, axis 1, not over the samples, axis 0")
def _(dp, p):
    return p * (dp - (dp * p).sum(axis=0))


@softmax_backward.mistake("without keepdims=True the sums of rows are spread over the columns")
def _(dp, p):
    return p * (dp - (dp * p).sum(axis=1))


@softmax_backward.mistake("the sign is wrong")
def _(dp, p):
    return -right_softmax_backward(dp, p)


@softmax_backward.mistake("the factor p[i] stands before the difference, for both of its parts")
def _(dp, p):
    return dp - (dp * p).sum(axis=1, keepdims=True)


def streams():
    """The maximum comes first, last and in between; scores that overflow, and empty pieces."""
    yield [np.array([1.0, 3.0]), np.array([2.0])], 2
    yield [np.array([0.5]), np.array([4.0, -1.0]), np.array([2.5, 0.25])], 0
    yield [np.array([-1000.0, 5.0]), np.array([1000.0, 999.5]), np.array([-3.0])], 3
    yield [np.array([800.25]), np.array([]), np.array([-800.0, 0.0])], 1
    yield [np.array([-1000.0, -1001.0])], 0
    yield [np.array([1000.0, 0.0])], 0
    yield [np.array([-1e12, -1e12 - 1])], 0
    rng = np.random.default_rng(0)
    for sizes in ([3, 1, 4], [1] * 6, [7], [2, 5, 2]):
        pieces = [rng.normal(size=size) * 50 - 20 for size in sizes]
        yield pieces, int(rng.integers(sum(sizes)))


class Stream:
    """Arrays one after the other, once; says so if they are kept, or asked for a second time."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)
        self.handed_out = []
        self.originals = []
        self.used_up = False

    def __iter__(self):
        if self.used_up:
            raise NotYet("pieces can be gone through only once, and this is the second time")
        return self

    def __next__(self):
        # The one before is often still in a variable, and that is no harm.
        if sum(each() is not None for each in self.handed_out) > 2:
            raise NotYet("the pieces are kept: keep the largest score and the sum so far instead")
        for each, original in zip(self.handed_out, self.originals, strict=True):
            piece = each()
            if piece is not None and not np.array_equal(piece, original):
                raise NotYet("a piece was changed, but belongs to the caller: make new arrays")
        try:
            original = next(self.pieces)
        except StopIteration:
            self.used_up = True
            raise
        piece = original.copy()
        self.handed_out.append(weakref.ref(piece))
        self.originals.append(original)
        return piece

    def __getitem__(self, key):
        raise NotYet("pieces is no list: go through it with a for loop, once")


def streamed(function, pieces, label):
    return function(Stream(pieces), label)


def gathered(pieces):
    """All scores in one array, though no piece is kept."""
    return np.array([score for piece in pieces for score in piece])


@exercise(streams, tolerance=1e-9, run=streamed)
def loss_in_pieces(pieces, label):
    z = gathered(pieces)
    return float(np.log(np.exp(z - z.max()).sum()) - (z[label] - z.max()))


def by_pieces(
    pieces,
    label,
    rescaled=lambda old, new: np.exp(old - new),
    running=True,
    largest=-np.inf,
    highest=np.max,
):
    """The largest score and the sum so far, piece by piece; right unless told otherwise."""
    total, scores = 0.0, []
    for piece in pieces:
        scores += list(piece)
        of_piece = highest(piece) if piece.size else -np.inf
        higher = max(largest, of_piece) if running else of_piece
        if higher != largest and np.isfinite(higher):
            total *= rescaled(largest, higher)
            largest = higher
        total += np.exp(piece - largest).sum()
    return np.log(total) - (scores[label] - largest)


@loss_in_pieces.mistake("the old sum belongs to the old maximum: multiply it by exp(old - new)")
def _(pieces, label):
    return by_pieces(pieces, label, rescaled=lambda old, new: 1)


@loss_in_pieces.mistake("the old sum has to become smaller: the factor is exp(old - new)")
def _(pieces, label):
    return by_pieces(
        pieces, label, rescaled=lambda old, new: np.exp(new - old) if old > -np.inf else 0
    )


@loss_in_pieces.mistake("a new maximum does not make the old scores vanish")
def _(pieces, label):
    return by_pieces(pieces, label, rescaled=lambda old, new: 0)


@loss_in_pieces.mistake("exp overflows: subtract the largest score so far")
def _(pieces, label):
    z = gathered(pieces)
    return np.log(np.exp(z).sum()) - z[label]


@loss_in_pieces.mistake("the score at the label needs the maximum subtracted, too")
def _(pieces, label):
    z = gathered(pieces)
    return np.log(np.exp(z - z.max()).sum()) - z[label]


@loss_in_pieces.mistake("the loss is of all pieces, not the sum of each piece's logarithm")
def _(pieces, label):
    total, scores = 0.0, []
    for piece in pieces:
        scores += list(piece)
        if piece.size:
            total += np.log(np.exp(piece - piece.max()).sum()) + piece.max()
    return total - scores[label]


@loss_in_pieces.mistake("this is the loss of the first piece")
def _(pieces, label):
    first = next(pieces)
    scores = [*first, *gathered(pieces)]
    return np.log(np.exp(first - first.max()).sum()) + first.max() - scores[label]


@loss_in_pieces.mistake("exp overflows: subtract the largest score so far, not that of this piece")
def _(pieces, label):
    return by_pieces(pieces, label, running=False)


@loss_in_pieces.mistake(
    "label counts through all pieces together: subtract what came before a piece"
)
def _(pieces, label):
    largest, total, score = -np.inf, 0.0, None
    for piece in pieces:
        if label < len(piece):
            score = piece[label]
        higher = max(largest, piece.max(initial=-np.inf))
        total = total * np.exp(largest - higher) + np.exp(piece - higher).sum()
        largest = higher
    return np.log(total) - (score - largest)


@loss_in_pieces.refused
def _(pieces, label):  # all of them in memory at once
    z = np.concatenate(list(pieces))
    return np.log(np.exp(z - z.max()).sum()) - (z[label] - z.max())


def starting(largest, highest):
    """The loss, from a first maximum, with another maximum of each piece."""
    return lambda pieces, label: by_pieces(pieces, label, largest=largest, highest=highest)


loss_in_pieces.refused(starting(0.0, np.max))
loss_in_pieces.refused(starting(-1e9, np.max))
loss_in_pieces.refused(starting(-np.inf, lambda piece: piece[-1]))
loss_in_pieces.refused(starting(-np.inf, lambda piece: piece[0]))


@loss_in_pieces.refused
def _(pieces, label):  # changes the pieces
    largest, total, scores = -np.inf, 0.0, []
    for piece in pieces:
        scores += list(piece)
        if piece.size:
            higher = max(largest, piece.max())
            piece -= higher
            total = total * np.exp(largest - higher) + np.exp(piece).sum()
            largest = higher
    return np.log(total) - (scores[label] - largest)


@loss_in_pieces.refused
def _(pieces, label):  # the sign
    return -by_pieces(pieces, label)


@loss_in_pieces.refused
def _(pieces, label):  # clipped
    z = gathered(pieces)
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    return -np.log(max(p[label], 1e-7))


@loss_in_pieces.refused
def _(pieces, label):  # goes through the pieces twice
    largest = max(piece.max(initial=-np.inf) for piece in pieces)
    return np.log(sum(np.exp(piece - largest).sum() for piece in pieces)) + largest
