"""The course's callback that ends training at a wanted accuracy; one made of functions."""

import tensorflow as tf


class StopAtAccuracy(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if logs.get("accuracy") is not None and logs.get("accuracy") > 0.2:
            print("Reached the accuracy, so training is cancelled!")
            self.model.stop_training = True

    def on_test_end(self, logs=None):
        print("evaluated:", sorted(logs))


(x_train, y_train), (x_test, y_test) = tf.keras.datasets.fashion_mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0
model = tf.keras.models.Sequential(
    [
        tf.keras.layers.Conv2D(4, (3, 3), activation="relu", input_shape=(28, 28, 1)),
        tf.keras.layers.MaxPooling2D(2, 2),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
batches = []
counter = tf.keras.callbacks.LambdaCallback(
    on_train_batch_end=lambda batch, logs: batches.append(logs["loss"])
)
model.fit(x_train, y_train, epochs=10, callbacks=[StopAtAccuracy(), counter])
model.evaluate(x_test, y_test, callbacks=[StopAtAccuracy()])
print(len(batches), "batches")
