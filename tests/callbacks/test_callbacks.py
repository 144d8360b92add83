"""Callbacks of `fit`: they do what Keras' do; invalid ones are refused before training begins."""

import csv

import numpy as np
import pytest

import minicnn
from minicnn.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint
from tests.tolerances import assert_close
from tests.twins import assert_same_weights, bits, classifier, samples, twins


def new_model():
    minicnn.set_random_seed(1)
    return classifier(optimizer="adam", metrics=["accuracy"], dtype="float64")


def both(keras):
    """(model, its library's callbacks), in minicnn and in Keras."""
    return zip(twins(keras), (minicnn.callbacks, keras.callbacks), strict=True)


def spy(library, events, values=None, stop_in=None):
    """A callback that records every call; `values` replaces val_loss, epoch by epoch."""

    class Spy(library.Callback):
        def on_train_begin(self, logs=None):
            events.append(("train begin", logs or {}))

        def on_train_end(self, logs=None):
            events.append(("train end", logs))

        def on_epoch_begin(self, epoch, logs=None):
            events.append(("epoch begin", epoch, logs or {}))

        def on_epoch_end(self, epoch, logs=None):
            if values:
                logs["val_loss"] = values[epoch]
            events.append(("epoch end", epoch, dict(logs)))

        def on_train_batch_begin(self, batch, logs=None):
            events.append(("batch begin", batch, logs or {}))

        def on_train_batch_end(self, batch, logs=None):
            events.append(("batch end", batch, dict(logs)))
            if stop_in is not None and (batch, self.model.optimizer.iterations) == stop_in:
                self.model.stop_training = True

    return Spy()


@pytest.mark.parametrize("stop_in", [None, (1, 6)])
def test_hooks_are_called_as_by_keras_with_the_same_logs(double, rng, stop_in):
    x, y = samples(rng, 50)
    seen = []
    for model, library in both(double):
        events = []
        history = model.fit(
            x, y, batch_size=16, epochs=4, initial_epoch=1, shuffle=False, verbose=0,
            validation_data=(x[:9], y[:9]), callbacks=[spy(library, events, stop_in=stop_in)],
        )  # fmt: skip
        assert history.epoch == ([1, 2, 3] if stop_in is None else [1, 2])
        seen.append(events)
    ours, theirs = seen
    assert [event[:-1] for event in ours] == [event[:-1] for event in theirs]
    for (*_, logs), (*_, expected) in zip(ours, theirs, strict=True):
        assert list(logs) == list(expected)
        assert_close(list(logs.values()), list(expected.values()), "float32")


# val_loss epoch by epoch, and the arguments of EarlyStopping
STOPPING = [
    ([3, 2, 1, 2, 2, 2, 2], {"patience": 2}),
    ([3, 4, 5, 6, 7, 8, 9], {}),
    ([3, 2.95, 2.9, 2.85, 2, 2, 2], {"min_delta": 0.1, "patience": 2}),
    ([1, 2, 3, 2, 1, 4, 5], {"mode": "max", "patience": 1, "restore_best_weights": True}),
    ([5, 4, 3, 2.5, 2, 1, 1], {"baseline": 2.2, "patience": 3, "restore_best_weights": True}),
    ([1, 9, 8, 7, 8, 9, 9], {"start_from_epoch": 2, "patience": 2, "restore_best_weights": True}),
    ([3, 2, 1, 1, 1, 1, 0], {"patience": 9, "restore_best_weights": True}),
]


@pytest.mark.parametrize(("values", "options"), STOPPING)
def test_early_stopping_stops_and_restores_as_keras_does(double, rng, values, options):
    x, y = samples(rng, 20)
    models, states = [], []
    for model, library in both(double):
        stopper = library.EarlyStopping(**options)
        callbacks = [spy(library, [], values), stopper]
        model.fit(x, y, epochs=7, shuffle=False, verbose=0, callbacks=callbacks)
        models.append(model)
        state = stopper.stopped_epoch, stopper.best_epoch, stopper.wait, float(stopper.best)
        states.append((*state, model.history.epoch))
    assert states[0] == states[1]
    assert_same_weights(*models, "steps")


def test_nan_is_no_improvement_and_a_missing_value_gives_a_warning(rng):
    x, y = samples(rng, 20)
    stopper = EarlyStopping(patience=2)
    callbacks = [spy(minicnn.callbacks, [], [np.nan, 2, 1, 1, 1]), stopper]
    new_model().fit(x, y, epochs=5, verbose=0, callbacks=callbacks)
    assert (stopper.best, stopper.stopped_epoch) == (1, 4)
    with pytest.warns(UserWarning, match="watches 'val_loss'.* accuracy, loss") as caught:
        new_model().fit(x, y, verbose=0, callbacks=EarlyStopping())
    assert {warning.filename for warning in caught} == {__file__}


def test_csv_is_that_of_keras(double, rng, tmp_path):
    x, y = samples(rng, 20)
    options = {"epochs": 2, "shuffle": False, "verbose": 0}
    for validation in (None, (x[:5], y[:5])):
        tables = []
        for model, library in both(double):
            path = tmp_path / f"{len(tables)}.csv"
            for append in (False, True):
                logger = library.CSVLogger(str(path), separator=";", append=append)
                model.fit(x, y, validation_data=validation, callbacks=[logger], **options)
            tables.append(list(csv.reader(path.read_text().splitlines(), delimiter=";")))
        ours, theirs = tables
        assert ours[0] == theirs[0] == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
        assert len(ours) == len(theirs) == 5
        for row, expected in zip(ours[1:], theirs[1:], strict=True):
            for cell, wanted in zip(row, expected, strict=True):
                assert cell == wanted or float(cell) == pytest.approx(float(wanted), rel=1e-5)


def test_names_and_times_of_checkpoints(rng, tmp_path):
    x, y = samples(rng, 50)
    values = [3, 2, 4, 1]
    new_model().fit(
        x, y, epochs=4, verbose=0, callbacks=[
            spy(minicnn.callbacks, [], values),
            ModelCheckpoint(tmp_path / "all" / "{epoch:02d}-{val_loss:.1f}.npz"),
            ModelCheckpoint(tmp_path / "best" / "{epoch}.npz", save_best_only=True),
            ModelCheckpoint(tmp_path / "below" / "{epoch}.npz", save_best_only=True,
                            initial_value_threshold=1.5, save_weights_only=True),
            ModelCheckpoint(tmp_path / "often" / "{epoch}-{batch}.npz", save_freq=3),
        ],
    )  # fmt: skip
    names = {folder.name: sorted(f.name for f in folder.iterdir()) for folder in tmp_path.iterdir()}
    assert names == {
        "all": ["01-3.0.npz", "02-2.0.npz", "03-4.0.npz", "04-1.0.npz"],
        "best": ["1.npz", "2.npz", "4.npz"],
        "below": ["4.npz"],
        "often": ["2-1.npz", "3-2.npz"],  # of 2 batches an epoch: the 3rd and the 6th
    }
    saved = [minicnn.load_model(tmp_path / "often" / name) for name in names["often"]]
    assert [model.optimizer.iterations for model in saved] == [3, 6]
    new_model().load_weights(tmp_path / "below" / "4.npz")


REFUSED = {
    "a number": lambda tmp: 3,
    "text": lambda tmp: "EarlyStopping",
    "a class": lambda tmp: [EarlyStopping],
    "a function": lambda tmp: [print],
    "None in a list": lambda tmp: [None],
    "an unknown monitor": lambda tmp: [CSVLogger(tmp / "x.csv"), EarlyStopping("f1")],
    "a monitor of saves": lambda tmp: ModelCheckpoint("a.npz", "f1", save_best_only=True),
    "an unknown name in a path": lambda tmp: ModelCheckpoint("{f1}.npz"),
    "batch without save_freq": lambda tmp: ModelCheckpoint("{batch}.npz"),
    "mode": lambda tmp: EarlyStopping(mode="up"),
    "monitor": lambda tmp: EarlyStopping(monitor=3),
    "patience negative": lambda tmp: EarlyStopping(patience=-1),
    "patience float": lambda tmp: EarlyStopping(patience=1.5),
    "min_delta text": lambda tmp: EarlyStopping(min_delta="0"),
    "min_delta NaN": lambda tmp: EarlyStopping(min_delta=float("nan")),
    "baseline text": lambda tmp: EarlyStopping(baseline="1"),
    "restore number": lambda tmp: EarlyStopping(restore_best_weights=1),
    "start_from_epoch negative": lambda tmp: EarlyStopping(start_from_epoch=-1),
    "verbose": lambda tmp: EarlyStopping(verbose=3),
    "save_freq 0": lambda tmp: ModelCheckpoint("a.npz", save_freq=0),
    "save_freq text": lambda tmp: ModelCheckpoint("a.npz", save_freq="batch"),
    "filepath suffix": lambda tmp: ModelCheckpoint("a.tf"),
    "filepath brace": lambda tmp: ModelCheckpoint("{epoch.npz"),
    "save_best_only": lambda tmp: ModelCheckpoint("a.npz", save_best_only="yes"),
    "threshold": lambda tmp: ModelCheckpoint("a.npz", initial_value_threshold="1"),
    "separator": lambda tmp: CSVLogger(tmp / "x.csv", separator=", "),
    "append": lambda tmp: CSVLogger(tmp / "x.csv", append=1),
    "no folder": lambda tmp: CSVLogger(tmp / "missing" / "x.csv"),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_invalid_callbacks_are_refused_before_training_begins(make, rng, tmp_path):
    model = new_model()
    before = bits(model)
    (tmp_path / "x.csv").write_text("unchanged")
    with pytest.raises((TypeError, ValueError, OSError)):
        model.fit(*samples(rng, 20), verbose=0, callbacks=make(tmp_path))
    assert (bits(model), model.optimizer.iterations) == (before, 0)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["unchanged"]


@pytest.mark.parametrize("epoch", [-1, 3, 1.0, None])
def test_initial_epoch_is_one_of_the_epochs(epoch, rng):
    model = new_model()
    with pytest.raises((TypeError, ValueError), match="initial_epoch"):
        model.fit(*samples(rng, 20), epochs=2, initial_epoch=epoch, verbose=0)
    assert model.optimizer.iterations == 0


def test_an_error_in_a_callback_reaches_the_caller(rng):
    class Broken(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("the logger is gone")

    with pytest.raises(RuntimeError, match="the logger is gone"):
        new_model().fit(*samples(rng, 20), verbose=0, callbacks=[Broken()])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_promise_14_fit_reports_where_the_loss_became_nan_and_takes_no_step(rng, value):
    x, y = samples(rng, 50)
    spoiled = x.copy()
    spoiled[40] = value  # in the third batch of 16
    model, twin = new_model(), new_model()
    twin.fit(x[:32], y[:32], batch_size=16, shuffle=False, verbose=0)
    message = r"fit: in step 3 of epoch 1, .*1 of 16 samples.*nan"
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=message):
        model.fit(spoiled, y, batch_size=16, shuffle=False, verbose=0)
    assert (bits(model), model.optimizer.iterations) == (bits(twin), 2)
