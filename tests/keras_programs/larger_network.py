"""Two blocks of two convolutions each, with dropout, for colour images."""

from tensorflow.keras.datasets import cifar10
from tensorflow.keras.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
)
from tensorflow.keras.models import Sequential
from tensorflow.keras.optimizers import Adam
from tensorflow.keras.regularizers import l2
from tensorflow.keras.utils import to_categorical

(x_train, y_train), (x_test, y_test) = cifar10.load_data()
x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255
y_train, y_test = to_categorical(y_train, 10), to_categorical(y_test, 10)
model = Sequential()
for filters, rate in ((4, 0.2), (8, 0.3)):
    shape = {"input_shape": x_train.shape[1:]} if filters == 4 else {}
    for _ in range(2):
        model.add(Conv2D(filters, 3, padding="same", kernel_regularizer=l2(1e-4), **shape))
        model.add(Activation("relu"))
        model.add(BatchNormalization())
        shape = {}
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Dropout(rate))
model.add(Flatten())
model.add(Dense(10, activation="softmax"))
model.compile(loss="categorical_crossentropy", optimizer=Adam(0.001), metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=64, epochs=1, validation_data=(x_test, y_test), shuffle=True)
print(model.evaluate(x_test, y_test, batch_size=64))
