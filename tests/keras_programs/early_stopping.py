"""Stops when the validation loss no longer falls; the last tenth of the data validates."""

from tensorflow import keras

(x, y), (x_test, y_test) = keras.datasets.mnist.load_data()
x, x_test = x.reshape(-1, 28, 28, 1) / 255.0, x_test.reshape(-1, 28, 28, 1) / 255.0
model = keras.models.Sequential()
model.add(keras.layers.Conv2D(4, 3, strides=2, activation="relu", input_shape=(28, 28, 1)))
model.add(keras.layers.Flatten())
model.add(keras.layers.Dense(10, activation="softmax"))
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=0.01),
    loss=keras.losses.SparseCategoricalCrossentropy(),
    metrics=[keras.metrics.SparseCategoricalAccuracy(name="acc")],
)
early = keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=0.5, patience=1, verbose=1)
history = model.fit(x, y, epochs=6, batch_size=64, validation_split=0.1, callbacks=[early])
print(len(history.history["loss"]), "epochs")
