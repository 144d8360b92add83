"""Half of the digits first; then a new end, trained on the others, with the beginning frozen."""

import numpy as np
from tensorflow.keras.datasets import mnist
from tensorflow.keras.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
from tensorflow.keras.models import Sequential

(x_train, y_train), _ = mnist.load_data()
x_train = x_train[..., None] / 255.0
small, large = y_train < 5, y_train >= 5
feature_layers = [Input((28, 28, 1)), Conv2D(4, 3, activation="relu"), MaxPooling2D(2), Flatten()]
classification_layers = [Dense(16, activation="relu"), Dense(5, activation="softmax")]
model = Sequential(feature_layers + classification_layers)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train[small], y_train[small], batch_size=32, epochs=1)
kernel = model.layers[0].get_weights()[0]
for layer in feature_layers[1:]:
    layer.trainable = False
model.summary()
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train[large], y_train[large] - 5, batch_size=32, epochs=1)
print(np.array_equal(kernel, model.layers[0].get_weights()[0]))
