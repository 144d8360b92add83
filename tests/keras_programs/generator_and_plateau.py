"""Moved and turned digits from a generator, RMSprop, and a rate that falls on a plateau."""

import numpy as np
from keras.callbacks import ReduceLROnPlateau
from keras.datasets import mnist
from keras.layers import Conv2D, Dense, Dropout, Flatten, MaxPool2D
from keras.models import Sequential
from keras.optimizers import RMSprop
from keras.utils import to_categorical
from tensorflow.keras.preprocessing.image import ImageDataGenerator

(X, y), (X_val, y_val) = mnist.load_data()
X, X_val = X[..., np.newaxis] / 255.0, X_val[..., np.newaxis] / 255.0
Y, Y_val = to_categorical(y, num_classes=10), to_categorical(y_val, num_classes=10)

model = Sequential()
model.add(Conv2D(8, (5, 5), padding="Same", activation="relu", input_shape=(28, 28, 1)))
model.add(MaxPool2D(pool_size=(2, 2)))
model.add(Dropout(0.25))
model.add(Flatten())
model.add(Dense(32, activation="relu"))
model.add(Dropout(0.5))
model.add(Dense(10, activation="softmax"))
optimizer = RMSprop(learning_rate=0.001, rho=0.9, epsilon=1e-08)
model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
reduction = ReduceLROnPlateau(
    monitor="val_accuracy", patience=1, verbose=1, factor=0.5, min_lr=0.00001
)
datagen = ImageDataGenerator(
    featurewise_center=False,
    samplewise_center=False,
    featurewise_std_normalization=False,
    samplewise_std_normalization=False,
    zca_whitening=False,
    rotation_range=10,
    zoom_range=0.1,
    width_shift_range=0.1,
    height_shift_range=0.1,
    horizontal_flip=False,
    vertical_flip=False,
)
datagen.fit(X)
history = model.fit(
    datagen.flow(X, Y, batch_size=86),
    epochs=3,
    validation_data=(X_val, Y_val),
    verbose=2,
    steps_per_epoch=X.shape[0] // 86,
    callbacks=[reduction],
)
print(history.history["learning_rate"])
