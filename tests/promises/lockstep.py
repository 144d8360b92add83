"""How long training in single precision follows Keras, next to how long Keras follows itself.

    python tests/promises/lockstep.py [--starts 12] [--steps 60]

The tutorial's network is trained with Adam from the same weights, on the same batches of 32 digits.
Now and then two values in a pooling window are so close that rounding errors decide which is the
larger, so any two programs that round in a different way part in the end, also Keras with and
without oneDNN. Keras in float64 shows how far a program without rounding errors would follow. For
each pair this prints the step at which losses first differ by a thousandth: for all starts, and the
median.
"""

import argparse
import json
import os
import subprocess
import sys
from itertools import combinations
from statistics import median
from typing import Any

import numpy as np

import minicnn
import minicnn.tutorial

APART = 1e-3
PROGRAMS = {  # and what they need in the environment
    # By default TensorFlow takes oneDNN on some processors only.
    "Keras": {"TF_ENABLE_ONEDNN_OPTS": "1"},
    "Keras without oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "minicnn": {},
    "minicnn, im2col": {},
    "Keras in float64": {},
}


def network(library: Any, **options: str) -> Any:
    """The tutorial's network in minicnn or Keras; `options` of the second convolution."""
    layers = library.layers
    same = {"padding": "same", "activation": "relu"}
    stack = [layers.Conv2D(32, 5, **same), layers.MaxPooling2D()]
    stack += [layers.Conv2D(64, 5, **same, **options), layers.MaxPooling2D()]
    stack += [layers.Flatten(), layers.Dense(64, activation="relu")]
    stack += [layers.Dense(10, activation="softmax")]
    return library.Sequential([layers.Input((28, 28, 1)), *stack])


def losses(program: str, starts: int, steps: int) -> list[list[float]]:
    """The loss of each step, for each start."""
    (x, y), _ = minicnn.datasets.mnist.load_data()
    x = minicnn.tutorial.scaled(x)
    found = []
    for start in range(starts):
        minicnn.set_random_seed(start)
        weights = network(minicnn).get_weights()
        if program.startswith("Keras"):
            import keras

            keras.backend.set_floatx("float64" if "float64" in program else "float32")
            model = network(keras)
        else:
            model = network(minicnn, algorithm="im2col" if "im2col" in program else "auto")
        model.set_weights(weights)
        model.compile("adam", "sparse_categorical_crossentropy")
        first = 2000 * start % (len(x) - 32 * steps)
        batches = [slice(at, at + 32) for at in range(first, first + 32 * steps, 32)]
        found.append([float(np.ravel(model.train_on_batch(x[b], y[b]))[0]) for b in batches])
    return found


def main() -> None:
    """Run each program in a process of its own, and compare their losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=12)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--program", choices=PROGRAMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = arguments.starts, arguments.steps
    if arguments.program:
        print(json.dumps(losses(arguments.program, *sizes)))
        return
    found = {}
    for program, variables in PROGRAMS.items():
        command = [sys.executable, __file__, "--program", program, "--starts", str(sizes[0])]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables
        output = subprocess.check_output([*command, "--steps", str(sizes[1])], env=environment)
        found[program] = np.array(json.loads(output.splitlines()[-1]))
    for one, other in combinations(found, 2):
        apart = abs(found[one] / found[other] - 1) > APART
        first = sorted(np.where(apart.any(axis=1), apart.argmax(axis=1) + 1, sizes[1] + 1).tolist())
        print(f"{one} - {other}: {median(first):g}   ({' '.join(map(str, first))})")


if __name__ == "__main__":
    main()
