"""What would show only after hours, or on several machines: each with a step that is made up."""

from types import SimpleNamespace

import numpy as np
import pytest

from minicnn.batches import Epochs, Source
from minicnn.callbacks import History
from minicnn.scale_out import training
from minicnn.validation import Check
from tests.tolerances import assert_close
from tests.twins import classifier

SIZES = [8, 8, 3]


def batches():
    rng = np.random.default_rng(0)
    return iter([(rng.random((n, 5), np.float32), np.arange(n) % 3) for n in SIZES])


def epochs():
    return Epochs(Source(Check("fit"), batches, len(SIZES)), None)


def test_the_loss_of_an_epoch_of_workers_counts_every_sample_once():
    losses = iter([1.0, 3.0, 100.0, 5.0, 5.0, 5.0])
    history = History({})
    train = epochs()
    for _ in range(2):
        training._run_epoch(lambda x, y: {"loss": next(losses)}, train, history, verbose=0)
    assert_close(history.history["loss"], [(8 * 1 + 8 * 3 + 3 * 100) / 19, 5], "float64")
    assert history.batches["loss"] == [1, 3, 100, 5, 5, 5]
    assert history.epoch == [0, 1]


@pytest.mark.parametrize("changed", ["", "an image", "a label", "the order of labels", "a batch"])
def test_workers_notice_that_their_data_differ(tf, changed):
    """Images and labels of every batch are in the fingerprint that workers compare."""
    seen = []

    def own_step(other_data):
        strategy = SimpleNamespace(
            num_replicas_in_sync=1,
            cluster_resolver=SimpleNamespace(task_id=0),
            run=lambda function, args: tf.stack([0.0, 0.0, args[-1]]),
            reduce=lambda kind, parts, axis: tf.cast(parts, tf.float64),
        )
        step = training._shared_step(strategy, None, classifier(metrics=["accuracy"]), 1)
        kept = training._fingerprint
        numbers = []

        def recorded(contents, before=0):
            numbers.append(kept(contents, before))
            return numbers[-1]

        training._fingerprint = recorded
        try:
            for number, (x, y) in enumerate(batches()):
                if other_data and number == 1:
                    x, y = changed_batch(x, y)
                step(x, y)
        finally:
            training._fingerprint = kept
        seen.append(numbers)

    def changed_batch(x, y):
        if changed == "an image":
            x[-1, -1] += 1e-3
        if changed == "a label":
            y[-1] = (y[-1] + 1) % 3
        return (
            (x, y[::-1])
            if changed == "the order of labels"
            else ((x[1:], y[1:]) if changed == "a batch" else (x, y))
        )

    own_step(other_data=False)
    own_step(other_data=True)
    assert seen[0][0] == seen[1][0]
    assert (seen[0][1:] == seen[1][1:]) == (changed == "")
    if changed:  # and it stays so: each fingerprint is made of the one before
        assert seen[0][2] != seen[1][2]


def test_a_worker_with_another_fingerprint_is_an_error(tf):
    strategy = SimpleNamespace(
        num_replicas_in_sync=2,
        cluster_resolver=SimpleNamespace(task_id=1),
        run=lambda function, args: tf.stack([0.0, 0.0, 1.0]),
        reduce=lambda kind, parts, axis: tf.cast(parts, tf.float64),
    )
    step = training._shared_step(strategy, None, classifier(), 1)
    with pytest.raises(ValueError, match="the workers do not train alike"):
        step(*next(batches()))
