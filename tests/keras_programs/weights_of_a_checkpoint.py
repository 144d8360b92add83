"""The weights of the best epoch, by load_weights of the file that the checkpoint wrote."""

from keras.callbacks import ModelCheckpoint
from keras.datasets import mnist
from keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
from keras.models import Sequential
from keras.utils import to_categorical

(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
y_train, y_test = to_categorical(y_train, 10), to_categorical(y_test, 10)
model = Sequential()
model.add(Conv2D(4, 3, activation="relu", input_shape=(28, 28, 1)))
model.add(MaxPooling2D(2))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.compile(loss="categorical_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
checkpointer = ModelCheckpoint(filepath="mnist.best.keras", verbose=1, save_best_only=True)
model.fit(x_train, y_train, 64, 2, validation_split=0.2, callbacks=[checkpointer], shuffle=True)
model.load_weights("mnist.best.keras")
score = model.evaluate(x_test, y_test, verbose=0)
model.save_weights("mnist.weights.h5")
model.load_weights("mnist.weights.h5")
print(score, model.evaluate(x_test, y_test, verbose=0))
