"""Random pipelines, built as a `Dataset` and with tf.data."""

import numpy as np
import pytest

from minicnn.data import Dataset
from tests.promises.pipelines import as_written, datasets


def test_item_18_random_pipelines_equal_tf_data(tf):
    outcome = datasets(0.006)
    assert outcome.kept, outcome.figure


@pytest.mark.parametrize("buffer_size", [1, 4, 9, 30])
def test_item_16_shuffle_reads_exactly_as_far_as_tf_data(tf, buffer_size):
    reads = []

    def source():
        for i in range(20):
            reads.append(i)
            yield np.int64(i)

    spec = tf.TensorSpec((), tf.int64)
    theirs = tf.data.Dataset.from_generator(source, output_signature=spec).shuffle(buffer_size)
    read_by_output = []
    for dataset in (Dataset.from_generator(source).shuffle(buffer_size), as_written(tf, theirs)):
        reads.clear()
        read_by_output.append([len(reads) for _ in dataset])
    assert read_by_output[0] == read_by_output[1]
