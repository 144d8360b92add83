"""A learning rate that a function of the epoch gives."""

from tensorflow.keras.callbacks import LearningRateScheduler
from tensorflow.keras.datasets import mnist
from tensorflow.keras.layers import Conv2D, Dense, Flatten
from tensorflow.keras.models import Sequential

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
model = Sequential()
model.add(Conv2D(4, 3, strides=2, activation="relu", input_shape=(28, 28, 1)))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
annealer = LearningRateScheduler(lambda epoch: 1e-3 * 0.5**epoch, verbose=1)
history = model.fit(x_train, y_train, batch_size=64, epochs=3, callbacks=[annealer])
print(history.history["learning_rate"])
