"""The best weights of a training in a file, loaded again for the test."""

import tensorflow as tf
from tensorflow.keras.callbacks import EarlyStopping, ModelCheckpoint
from tensorflow.keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tensorflow.keras.models import Sequential, load_model

(x_train, y_train), (x_test, y_test) = tf.keras.datasets.fashion_mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
model = Sequential()
model.add(Conv2D(4, 3, padding="same", activation="relu", input_shape=(28, 28, 1)))
model.add(MaxPooling2D(2))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
stop = EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
checkpoint = ModelCheckpoint("best_model.keras", monitor="val_loss", save_best_only=True)
model.fit(
    x_train, y_train, epochs=3, batch_size=64, validation_split=0.2, callbacks=[stop, checkpoint]
)
best = load_model("best_model.keras")
print(best.evaluate(x_test, y_test))
