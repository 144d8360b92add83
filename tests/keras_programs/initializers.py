"""He's initializers by name and as objects, and a normal one for the last layer."""

from tensorflow.keras.datasets import mnist
from tensorflow.keras.initializers import HeUniform, RandomNormal
from tensorflow.keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tensorflow.keras.models import Sequential
from tensorflow.keras.optimizers import SGD
from tensorflow.keras.utils import to_categorical

(trainX, trainY), (testX, testY) = mnist.load_data()
trainX = trainX.reshape((trainX.shape[0], 28, 28, 1)).astype("float32") / 255.0
testX = testX.reshape((testX.shape[0], 28, 28, 1)).astype("float32") / 255.0
trainY, testY = to_categorical(trainY), to_categorical(testY)


def define_model():
    model = Sequential()
    model.add(
        Conv2D(
            8, (3, 3), activation="relu", kernel_initializer="he_uniform", input_shape=(28, 28, 1)
        )
    )
    model.add(MaxPooling2D((2, 2)))
    model.add(Conv2D(8, (3, 3), activation="relu", kernel_initializer=HeUniform()))
    model.add(MaxPooling2D((2, 2)))
    model.add(Flatten())
    model.add(Dense(20, activation="relu", kernel_initializer="he_normal"))
    model.add(Dense(10, activation="softmax", kernel_initializer=RandomNormal(stddev=0.01)))
    opt = SGD(learning_rate=0.01, momentum=0.9)
    model.compile(optimizer=opt, loss="categorical_crossentropy", metrics=["accuracy"])
    return model


model = define_model()
model.fit(trainX, trainY, epochs=2, batch_size=32, validation_data=(testX, testY), verbose=0)
_, acc = model.evaluate(testX, testY, verbose=0)
print("> %.3f" % (acc * 100.0))
