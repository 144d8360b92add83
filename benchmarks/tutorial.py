"""The tutorial's notebook with its imports changed, and its published results next to minicnn's.

    python benchmarks/tutorial.py

The notebook trained its network with TensorFlow 2.0. It builds the network twice with the same
lines; here both use the notebook's `get_new_model`. Takes a minute or two.
"""

import warnings

from minicnn import Sequential, clear_session, set_random_seed
from minicnn.data import AUTOTUNE, Dataset
from minicnn.datasets import mnist
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D

# The notebook passes `input_shape=`; current versions of Keras warn of it, and so does minicnn.
warnings.filterwarnings("ignore", message="Do not pass an `input_shape`")

comparison: list[tuple[str, str, str]] = []  # the table that is printed at the end


def note(what: str, notebook: str, ours: str) -> None:
    """Add a row to the table."""
    comparison.append((what, notebook, ours))


def get_new_model():
    """The network with fresh weights; automatic names start over."""
    clear_session()
    model = Sequential()
    model.add(
        Conv2D(32, kernel_size=[5, 5], padding="same", activation="relu", input_shape=(28, 28, 1))
    )
    model.add(MaxPooling2D(pool_size=[2, 2]))
    model.add(Conv2D(64, kernel_size=[5, 5], padding="same", activation="relu"))
    model.add(MaxPooling2D(pool_size=[2, 2]))
    model.add(Flatten())
    model.add(Dense(units=64, activation="relu"))
    model.add(Dense(units=10, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


set_random_seed(0)

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = x_train.reshape((60000, 28, 28, 1)) / 255.0
x_test = x_test.reshape((10000, 28, 28, 1)) / 255.0

model = get_new_model()
model.summary()
note("parameters", "253,514", f"{model.count_params():,}")

history = model.fit(x_train, y_train, epochs=1)
note("epoch 1: training loss", "0.1201", f"{history.history['loss'][0]:.4f}")
note("epoch 1: training accuracy", "0.9625", f"{history.history['accuracy'][0]:.4f}")
loss, accuracy = model.evaluate(x_test, y_test)
note("after epoch 1: test loss", "0.0409", f"{loss:.4f}")
note("after epoch 1: test accuracy", "0.9867", f"{accuracy:.4f}")

history = model.fit(x_train, y_train, epochs=2)
note("epoch 2: training accuracy", "0.9875", f"{history.history['accuracy'][0]:.4f}")
note("epoch 3: training accuracy", "0.9908", f"{history.history['accuracy'][1]:.4f}")
loss, accuracy = model.evaluate(x_test, y_test)
note("after epoch 3: test accuracy", "-", f"{accuracy:.4f}")

dataset = (
    Dataset.from_tensor_slices((x_train, y_train))
    .shuffle(buffer_size=len(y_train))
    .repeat()
    .batch(64)
    .prefetch(buffer_size=AUTOTUNE)
)
model = get_new_model()
for steps, published in (200, "0.965"), (400, "0.975"), (600, "0.973"):
    model.fit(dataset, epochs=20, steps_per_epoch=10, verbose=0)
    loss, accuracy = model.evaluate(x_test, y_test)
    note(f"after {steps} steps of 64: test accuracy", published, f"{accuracy:.4f}")

print(f"\n{'':38}{'notebook':>10}{'minicnn':>10}")
for what, notebook, ours in comparison:
    print(f"{what:38}{notebook:>10}{ours:>10}")
