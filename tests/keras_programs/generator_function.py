"""Batches from a generator of the program's own."""

import numpy as np
from tensorflow.keras.datasets import mnist
from tensorflow.keras.layers import Conv2D, Dense, Flatten
from tensorflow.keras.models import Sequential

(x_train, y_train), (x_test, y_test) = mnist.load_data()


def batches(images, labels, size):
    place = 0
    while True:
        rows = np.arange(place, place + size) % len(images)
        place += size
        yield images[rows][..., None] / 255.0, labels[rows]


model = Sequential()
model.add(Conv2D(4, 3, strides=2, activation="relu", input_shape=(28, 28, 1)))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(
    batches(x_train, y_train, 32),
    steps_per_epoch=6,
    epochs=2,
    validation_data=batches(x_test, y_test, 32),
    validation_steps=2,
)
