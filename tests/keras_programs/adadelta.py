"""Adadelta by its name."""

from tensorflow.keras import layers, models
from tensorflow.keras.datasets import mnist

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
model = models.Sequential([layers.Input((28, 28, 1)), layers.Conv2D(4, 3, strides=2)])
model.add(layers.Activation("relu"))
model.add(layers.Flatten())
model.add(layers.Dense(10, activation="softmax"))
model.compile("adadelta", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=2, batch_size=64)
