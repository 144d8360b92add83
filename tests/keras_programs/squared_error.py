"""Sigmoids and the squared error, as in the first chapters of textbooks."""

import numpy as np
from keras.datasets import mnist
from keras.layers import Conv2D, Dense, Flatten
from keras.models import Sequential
from keras.utils import to_categorical

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = np.expand_dims(x_train, 3) / 255
x_test = np.expand_dims(x_test, 3) / 255
y_train, y_test = to_categorical(y_train), to_categorical(y_test)
model = Sequential()
model.add(Conv2D(4, 5, strides=(2, 2), activation="sigmoid", input_shape=(28, 28, 1)))
model.add(Flatten())
model.add(Dense(30, activation="sigmoid"))
model.add(Dense(10, activation="sigmoid"))
model.compile(loss="mean_squared_error", optimizer="sgd", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=10, epochs=1)
print(model.evaluate(x_test, y_test))
