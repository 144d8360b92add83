"""A picture of the model, its settings and the names of its results."""

from tensorflow import keras
from tensorflow.keras.utils import plot_model

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
model = keras.Sequential()
model.add(keras.layers.Input(shape=(28, 28, 1)))
model.add(keras.layers.Conv2D(4, (3, 3), activation="relu", data_format="channels_last"))
model.add(keras.layers.Flatten())
model.add(keras.layers.Dense(10, activation="softmax"))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
plot_model(model, to_file="model.png", show_shapes=True, show_layer_names=True)
history = model.fit(x_train, y_train, epochs=1)
print(history.history["acc"], model.evaluate(x_test, y_test))
