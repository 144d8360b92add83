"""Penalties on kernels: l2 in the convolution, l1 in the dense layer."""

from tensorflow.keras import layers, models, regularizers
from tensorflow.keras.datasets import mnist
from tensorflow.keras.regularizers import l2

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
model = models.Sequential()
model.add(
    layers.Conv2D(6, 3, kernel_regularizer=l2(0.001), activation="relu", input_shape=(28, 28, 1))
)
model.add(layers.MaxPooling2D())
model.add(layers.Flatten())
model.add(layers.Dense(16, activation="relu", kernel_regularizer=regularizers.l1(1e-4)))
model.add(layers.Dense(10, activation="softmax", kernel_regularizer="l2"))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=2, batch_size=64, validation_data=(x_test, y_test))
print(model.evaluate(x_test, y_test))
