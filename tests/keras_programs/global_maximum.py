"""Global max pooling, and leaky ReLUs as layers."""

from keras.datasets import cifar10
from keras.layers import Conv2D, Dense, GlobalMaxPooling2D, LeakyReLU
from keras.models import Sequential

(x_train, y_train), (x_test, y_test) = cifar10.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0
model = Sequential()
model.add(Conv2D(8, (3, 3), strides=2, input_shape=(32, 32, 3)))
model.add(LeakyReLU(negative_slope=0.1))
model.add(Conv2D(8, (3, 3), strides=2))
model.add(LeakyReLU())
model.add(GlobalMaxPooling2D())
model.add(Dense(10, activation="softmax"))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train.ravel(), epochs=2, batch_size=64)
print(model.evaluate(x_test, y_test.ravel()))
