"""Which images the page offers: the first ones, the worst mistakes, the closest decisions."""

from typing import Any

import numpy as np

FIRST, MISTAKES, CLOSE = 30, 15, 15  # at most so many of each


def select(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, int, list[Any]]:
    """Numbers of the chosen images, in order, and the groups that refer to them.

    Parameters
    ----------
    probabilities : (n, classes)
        Of the classes; logits serve as well.
    labels : (n,)

    Returns
    -------
    chosen : (count,) integers
    start : int
        Place in `chosen` of the image to begin with: a right answer among the first images that is
        not quite sure, so that its gradients are not all close to zero.
    groups : list of dict
        For each group its title, and the places of its images in `chosen`.
    """
    predicted = probabilities.argmax(axis=1)
    two = np.sort(probabilities, axis=1)[:, -2:]
    margins = two[:, -1] - two[:, 0] if two.shape[1] == 2 else np.ones(len(two))
    of_label = probabilities[np.arange(len(labels)), labels]
    # By how much the answer is ahead of the truth: the larger, the worse the mistake.
    lead = probabilities.max(axis=1) - of_label
    wrong = np.flatnonzero(predicted != labels)
    parts = {
        "Test images": np.arange(min(FIRST, len(labels))),
        "Worst mistakes": wrong[np.argsort(-lead[wrong], kind="stable")[:MISTAKES]],
        "Closest decisions": np.argsort(margins, kind="stable")[:CLOSE],
    }
    chosen = list(dict.fromkeys(int(number) for part in parts.values() for number in part))
    places = {number: place for place, number in enumerate(chosen)}
    groups = [
        {"title": title, "images": [places[int(number)] for number in part]}
        for title, part in parts.items()
        if len(part)
    ]
    first = parts["Test images"]
    right = first[predicted[first] == labels[first]]
    candidates = right if len(right) else first
    start = places[int(candidates[margins[candidates].argmin()])]
    return np.array(chosen, dtype=int), start, groups
