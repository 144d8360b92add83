"""Rows of 784 numbers that become images inside of the network."""

from tensorflow.keras.datasets import mnist
from tensorflow.keras.layers import AvgPool2D, Conv2D, Dense, Flatten, InputLayer, Reshape
from tensorflow.keras.models import Sequential

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = x_train.reshape(len(x_train), 784).astype("float32") / 255
x_test = x_test.reshape(len(x_test), 784).astype("float32") / 255
model = Sequential()
model.add(InputLayer(shape=(784,)))
model.add(Reshape((28, 28, 1)))
model.add(Conv2D(4, 3, activation="relu"))
model.add(AvgPool2D(2))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.compile("nadam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=2, batch_size=64)
model.evaluate(x_test, y_test)
