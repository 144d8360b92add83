"""Seeds, a dropout rate from a constant, evaluation by hand."""

import random

import numpy as np
import tensorflow as tf
from tensorflow.keras.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D

SEED = 42
random.seed(SEED)
np.random.seed(SEED)
tf.random.set_seed(SEED)
(x_train, y_train), (x_test, y_test) = tf.keras.datasets.mnist.load_data()
x_train = x_train[..., None] / 255.0
x_test = x_test[..., None] / 255.0
model = tf.keras.models.Sequential()
model.add(Conv2D(4, kernel_size=3, activation="relu", input_shape=(28, 28, 1)))
model.add(MaxPooling2D())
model.add(Dropout(0.25, seed=SEED))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=2, validation_split=0.25, verbose=2)
predicted = np.argmax(model.predict(x_test), axis=1)
print("accuracy:", np.mean(predicted == y_test))
confusion = np.zeros((10, 10), int)
for truth, guess in zip(y_test, predicted):
    confusion[truth, guess] += 1
print(confusion.sum())
