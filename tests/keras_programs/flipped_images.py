"""Colour images, flipped at random by a generator; labels as one-hot rows."""

import tensorflow as tf
from tensorflow.keras.datasets import cifar10
from tensorflow.keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tensorflow.keras.models import Sequential
from tensorflow.keras.preprocessing.image import ImageDataGenerator

(x_train, y_train), (x_test, y_test) = cifar10.load_data()
y_train = tf.keras.utils.to_categorical(y_train, 10)
y_test = tf.keras.utils.to_categorical(y_test, 10)
train_datagen = ImageDataGenerator(rescale=1.0 / 255, horizontal_flip=True, rotation_range=15)
test_datagen = ImageDataGenerator(rescale=1.0 / 255)
train_generator = train_datagen.flow(x_train, y_train, batch_size=32)
test_generator = test_datagen.flow(x_test, y_test, batch_size=32, shuffle=False)

model = Sequential()
model.add(Conv2D(8, 3, activation="relu", padding="same", input_shape=(32, 32, 3)))
model.add(MaxPooling2D())
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["acc"])
model.fit(train_generator, epochs=2, validation_data=test_generator)
images, labels = next(train_generator)
print(images.shape, labels.shape, len(train_generator))
