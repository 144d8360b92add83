"""Callbacks, as in Keras: code that `fit` calls at the beginning and end of batches and epochs.

    model.fit(
        x, y, epochs=50, validation_data=(x_val, y_val),
        callbacks=[EarlyStopping(patience=3), ModelCheckpoint("best.npz", save_best_only=True)],
    )

- `base`: `Callback`, the base class, and `CallbackList`, all callbacks of one `fit`
- `monitors`: `EarlyStopping` and `ModelCheckpoint`, which act on a value of the logs
- `csv_logger`: `CSVLogger`
- `history`: `History`, what `fit` returns
- `output`: writing to whatever `sys.stdout` is
- `progress`: the lines and the progress bar that `fit`, `evaluate` and `predict` print
"""

from minicnn.callbacks.base import Callback, CallbackList
from minicnn.callbacks.csv_logger import CSVLogger
from minicnn.callbacks.history import History
from minicnn.callbacks.monitors import EarlyStopping, ModelCheckpoint

__all__ = ["CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History", "ModelCheckpoint"]
