"""A whole model in an HDF5 file, and back."""

import numpy as np
from tensorflow.keras.datasets import mnist
from tensorflow.keras.layers import Conv2D, Dense, Flatten
from tensorflow.keras.models import Sequential, load_model

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
model = Sequential()
model.add(Conv2D(4, 5, strides=2, activation="relu", input_shape=(28, 28, 1)))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=1, batch_size=32)
model.save("mnist_cnn.h5")
again = load_model("mnist_cnn.h5")
print(np.abs(again.predict(x_test) - model.predict(x_test)).max())
again.evaluate(x_test, y_test)
