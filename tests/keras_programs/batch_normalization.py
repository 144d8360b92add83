"""Convolutions without bias, each followed by batch normalization and ReLU."""

import tensorflow as tf
from tensorflow.keras.layers import BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D, ReLU

(x_train, y_train), (x_test, y_test) = tf.keras.datasets.cifar10.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0
model = tf.keras.models.Sequential()
model.add(tf.keras.Input(shape=(32, 32, 3)))
for filters in (4, 8):
    model.add(Conv2D(filters, 3, padding="same", use_bias=False))
    model.add(BatchNormalization())
    model.add(ReLU())
    model.add(MaxPooling2D())
model.add(Flatten())
model.add(Dense(16, activation="relu"))
model.add(BatchNormalization())
model.add(Dense(10, activation="softmax"))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.summary()
model.fit(x_train, y_train, epochs=2, batch_size=32, validation_data=(x_test, y_test))
model.evaluate(x_test, y_test)
