"""What the layers of a trained network see: the outputs of all of them for one digit."""

import tensorflow as tf
from tensorflow.keras import models
from tensorflow.keras.layers import Conv2D, Dense, Flatten, MaxPooling2D

(x_train, y_train), _ = tf.keras.datasets.mnist.load_data()
x_train = x_train.reshape(len(x_train), 28, 28, 1) / 255.0
model = models.Sequential(
    [
        Conv2D(4, (3, 3), activation="relu", input_shape=(28, 28, 1)),
        MaxPooling2D(2, 2),
        Conv2D(4, (3, 3), activation="relu"),
        MaxPooling2D(2, 2),
        Flatten(),
        Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=1, batch_size=64)

layer_outputs = [layer.output for layer in model.layers[:4]]
activation_model = tf.keras.models.Model(inputs=model.inputs, outputs=layer_outputs)
activations = activation_model.predict(x_train[0].reshape(1, 28, 28, 1))
for layer, activation in zip(model.layers, activations):
    print(layer.name, activation.shape)
kernel, bias = model.layers[0].get_weights()
last = models.Model(model.inputs, model.get_layer(index=4).output)
print(kernel.shape, last.predict(x_train[:3]).shape)
