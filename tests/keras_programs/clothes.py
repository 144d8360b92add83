"""Pictures of clothes, and a model that ends in probabilities made of one that ends in logits."""

import numpy as np
import tensorflow as tf

fashion_mnist = tf.keras.datasets.fashion_mnist
(train_images, train_labels), (test_images, test_labels) = fashion_mnist.load_data()
class_names = ["top", "trousers", "pullover", "dress", "coat"]
class_names += ["sandal", "shirt", "sneaker", "bag", "boot"]
train_images = train_images[..., tf.newaxis] / 255.0
test_images = test_images[..., tf.newaxis] / 255.0

model = tf.keras.Sequential(
    [
        tf.keras.layers.Conv2D(8, 3, strides=2, activation=tf.nn.relu, input_shape=(28, 28, 1)),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(32, activation=tf.nn.relu),
        tf.keras.layers.Dense(10, activation=tf.nn.softmax),
    ]
)
model.compile(
    optimizer=tf.keras.optimizers.Adam(learning_rate=0.002),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
model.fit(train_images, train_labels, epochs=2, batch_size=64)
test_loss, test_acc = model.evaluate(test_images, test_labels)
predictions = model.predict(test_images)
print([class_names[i] for i in np.argmax(predictions[:5], axis=1)])
