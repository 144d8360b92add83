"""A pipeline in order, normalized by a function of each image and label."""

import tensorflow as tf

(x_train, y_train), _ = tf.keras.datasets.mnist.load_data()


def normalize(image, label):
    return image / 255, label


train = tf.data.Dataset.from_tensor_slices((x_train[..., None].astype("float32"), y_train))
train = (
    train.map(normalize, num_parallel_calls=tf.data.AUTOTUNE)
    .batch(50)
    .prefetch(tf.data.experimental.AUTOTUNE)
)
model = tf.keras.Sequential(
    [
        tf.keras.Input((28, 28, 1)),
        tf.keras.layers.Conv2D(4, 3, 2, activation="relu"),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(train, epochs=2)
