"""A weight for each sample, also of the validation data, which is evaluated every second epoch."""

import numpy as np
from tensorflow import keras
from tensorflow.keras import layers

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
weights = np.where(y_train == 5, 2.0, 1.0)
model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten()])
model.add(layers.Dense(16, activation="relu"))
model.add(layers.Dense(10))
loss = keras.losses.CategoricalCrossentropy(from_logits=True)
model.compile("adam", loss, metrics=["accuracy"])
targets, test_targets = keras.utils.to_categorical(y_train), keras.utils.to_categorical(y_test)
model.fit(
    x_train,
    targets,
    epochs=4,
    batch_size=64,
    sample_weight=weights,
    validation_data=(x_test, test_targets, np.where(y_test == 5, 2.0, 1.0)),
    validation_freq=2,
)
model.evaluate(x_test, test_targets)
