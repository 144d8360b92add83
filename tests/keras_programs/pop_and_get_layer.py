"""Takes the last layer off, adds another one, and looks at layers by name."""

from tensorflow.keras.datasets import mnist
from tensorflow.keras.layers import Conv2D, Dense, Flatten, Input
from tensorflow.keras.models import Sequential

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
model = Sequential([Input((28, 28, 1)), Conv2D(4, 5, strides=3, activation="relu", name="first")])
model.add(Flatten())
model.add(Dense(12, activation="relu"))
model.add(Dense(3, name="wrong"))
model.pop()
model.add(Dense(10, activation="softmax", name="right"))
print(model.get_layer("first").filters, model.get_layer("right").units, model.output_shape)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=2, batch_size=64)
print(model.predict(x_test[:1]).argmax())
