"""What a model learns and how: compile, fit, evaluate, predict; epochs and batches.

One step is in `minicnn.step`; where batches come from, in `minicnn.batches`.
"""

from contextlib import closing
from typing import Any

import numpy as np

from minicnn import engine
from minicnn.batches import Epochs, build_from, source
from minicnn.callbacks import CallbackList, History
from minicnn.callbacks.progress import Progress, verbosity
from minicnn.data import Dataset
from minicnn.eager import EagerPlan
from minicnn.layer import asks_for
from minicnn.losses import LOSSES, Loss
from minicnn.metrics import METRICS, Mean, Metric
from minicnn.optimizers import OPTIMIZERS, Optimizer
from minicnn.session import random_stream
from minicnn.validation import Check, plain

Logs = dict[str, float]


class Trainer:
    """The part of a model that learns. The model has `layers`, `dtype` and `input_shape`."""

    def __init__(self):
        self.optimizer: Optimizer | None = None
        self.loss: Loss | None = None
        self.metrics: list[Metric] = []
        self.run_eagerly = False
        self.history: History | None = None  # of the latest `fit`
        self.stop_training = False  # callbacks set it to end a `fit`
        self._mean_loss = Mean("loss")
        self._shuffle_rng: np.random.Generator | None = None  # of the current `fit`

    def compile(
        self, optimizer: Any, loss: Any, *, metrics: Any = None, run_eagerly: bool = False
    ) -> None:
        """Choose how to learn, what to minimise, and what to report besides.

        Parameters
        ----------
        optimizer : "adam", "sgd" or Optimizer
        loss : "sparse_categorical_crossentropy" or Loss
        metrics : list of "accuracy" or SparseCategoricalAccuracy, optional
        run_eagerly : bool
            True runs the code of `minicnn.layers` and `minicnn.step` as it is written, where a
            debugger can stop; False computes the same numbers by `minicnn.engine`, much faster.
        """
        check = Check("compile")
        optimizer = check.choice(optimizer, "optimizer", OPTIMIZERS, Optimizer)
        loss = check.choice(loss, "loss", LOSSES, Loss)
        metrics = check.optional_list(metrics, "metrics")
        metrics = [check.choice(each, "a metric", METRICS, Metric) for each in metrics]
        self.run_eagerly = check.flag(run_eagerly, "run_eagerly")
        self.optimizer, self.loss, self.metrics = optimizer, loss, metrics

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_data: Any = None,
        shuffle: bool = True,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
    ) -> History:
        """Learn from labelled samples, continuing from the present weights and optimizer state.

        Parameters
        ----------
        x : (n, ...) array of any real dtype, or Dataset of (x, y) batches
        y : (n,) integers, or None with a Dataset
        batch_size : int, optional
            32 for arrays. The last batch may be smaller.
        epochs : int
            The number of the last one, counted from 1.
        verbose : "auto", 0, 1 or 2
            Silent (0), a bar if there is a terminal (1, "auto"), or one line an epoch (2).
        callbacks : list of Callback, optional
        validation_data : (x, y) or Dataset, optional
            Evaluated after each epoch.
        shuffle : bool
            Draw a new order of all samples for each epoch. A Dataset is taken as it comes.
        initial_epoch : int
            Epochs that an earlier `fit` has done, if this one continues it. A Dataset, made anew
            with the same seeds, continues by `.skip(initial_epoch * steps_per_epoch)`.
        steps_per_epoch : int, optional
            Batches in an epoch, instead of one pass over the data: see `batches.Epochs`.

        Returns
        -------
        History
            Also available as `model.history`.

        Raises
        ------
        TypeError, ValueError
            For arguments and data that cannot be used: before the first step, or, in a Dataset,
            before the batch's own.
        FloatingPointError
            If the loss becomes NaN or infinite: before the step that would spoil the weights.
        KeyboardInterrupt
            By Ctrl-C: between two steps, or at once with `run_eagerly=True`.
        """
        check = Check("fit")
        tell = CallbackList(callbacks, "fit")
        epochs, initial_epoch = check.epochs(epochs, initial_epoch)
        verbose = verbosity(verbose, "fit")
        shuffle_rng = random_stream() if check.flag(shuffle, "shuffle") else None
        batches = source(self, "fit", x, y, batch_size, shuffle_rng)
        train = Epochs(batches, steps_per_epoch, "steps_per_epoch")
        validation = self._validation(validation_data, batch_size)
        plan = self._plan(self.loss)
        history = History({"verbose": verbose, "epochs": epochs, "steps": train.steps})
        tell("set_model", self)
        tell("set_params", history.params)
        self.history, self.stop_training, self._shuffle_rng = history, False, shuffle_rng
        logs = None
        try:
            tell("on_train_begin")
            for epoch in range(initial_epoch, epochs):
                if verbose and epochs > 1:
                    print(f"Epoch {epoch + 1}/{epochs}", flush=True)
                tell("on_epoch_begin", epoch)
                with Progress(verbose, train.steps) as progress, plan:
                    self._learn(plan, train, epoch, tell, progress)
                logs = self._logs()
                if validation is not None:
                    val_logs = self._evaluate(validation, verbose=0)
                    logs |= {f"val_{name}": value for name, value in val_logs.items()}
                tell("on_epoch_end", epoch, logs)
                history.end_epoch(epoch, logs)
                progress.end(logs)
                if self.stop_training:
                    break
            tell("on_train_end", logs)
        finally:
            self._shuffle_rng = None
            train.close()
        return history

    def _learn(
        self, plan: Any, train: Epochs, epoch: int, tell: CallbackList, progress: Progress
    ) -> None:
        """The steps of one epoch."""
        self.reset_metrics()
        seed = self._seed()
        for batch, (x, y) in enumerate(train):
            tell("on_train_batch_begin", batch)
            try:
                outcome = plan.train(self.optimizer, x, y, (seed, self.optimizer.iterations))
            except FloatingPointError as error:
                where = f"step {batch + 1} of epoch {epoch + 1}"
                raise FloatingPointError(f"fit: in {where}, {error}") from None
            self.history.end_batch(self._update_metrics(y, *outcome))
            logs = self._logs()
            progress.step(logs)
            tell("on_train_batch_end", batch, logs)
            if self.stop_training:
                break

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics over labelled samples, each sample counting once; nothing is learned.

        Parameters
        ----------
        x, y, batch_size, verbose
            As in `fit`.
        steps : int, optional
            Batches to take; an endless Dataset needs it.
        return_dict : bool
            Return a dict by name.

        Returns
        -------
        [loss, metric, ...] in the order of `compile`, or the bare loss if there is no metric
        """
        verbose = verbosity(verbose, "evaluate")
        return_dict = Check("evaluate").flag(return_dict, "return_dict")
        logs = self._evaluate(Epochs(source(self, "evaluate", x, y, batch_size), steps), verbose)
        return logs if return_dict else self._results()

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps: int | None = None
    ) -> np.ndarray:
        """The model's output for each sample, (n, ...); for no samples, (0, ...).

        Parameters
        ----------
        x : (n, ...) array of any real dtype, or Dataset of x or (x, y) batches
        batch_size, verbose, steps
            As in `evaluate`.
        """
        verbose = verbosity(verbose, "predict")
        batches = source(self, "predict", x, None, batch_size, labelled=False)
        no_rows = np.empty((0, *self.output_shape), self.dtype)
        if not isinstance(x, Dataset) and batches.cardinality == 0:
            return no_rows
        epoch = Epochs(batches, steps)
        plan = self._plan()
        outputs = []
        with closing(epoch), Progress(verbose, epoch.steps) as progress, plan:
            for x, _ in epoch:
                outputs.append(plan.predict(x) if len(x) else no_rows)
                progress.step({})
        progress.end({})
        return np.concatenate(outputs)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """What `predict` returns for one array x (n, ...), in less time: for single images."""
        check = Check("predict_on_batch")
        build_from(x, self, check)
        x = check.samples(x, "x", self.input_shape)
        if len(x) == 0:
            return np.empty((0, *self.output_shape), self.dtype)
        return self._plan().predict_on_batch(plain(x, self.dtype))

    def train_on_batch(self, x: Any, y: Any) -> Any:
        """One step on one batch of arrays, as in `fit`.

        Returns what `evaluate` does, of this batch alone and from before the step.
        """
        x = Check("train_on_batch").real_array(x, "x")
        batches = source(self, "train_on_batch", x, y, batch_size=max(x.size, 1))
        ((x, y),) = batches.start_pass()  # one batch: it may have as many samples as x has numbers
        self.reset_metrics()
        with self._plan(self.loss) as plan:
            outcome = plan.train(self.optimizer, x, y, (self._seed(), self.optimizer.iterations))
        self._update_metrics(y, *outcome)
        return self._results()

    def reset_metrics(self) -> None:
        """Start the running means of loss and metrics anew."""
        for metric in (self._mean_loss, *self.metrics):
            metric.reset_state()

    def random_stream(self) -> np.random.Generator:
        """What draws the order of the next epoch, and the seed of its random layers."""
        return random_stream() if self._shuffle_rng is None else self._shuffle_rng

    def _plan(self, loss: Loss | None = None) -> Any:
        return (EagerPlan if self.run_eagerly else engine.Plan)(self.layers, loss)

    def _seed(self) -> int:
        """A seed for the random layers of one epoch; nothing is drawn if there are none."""
        if not any(asks_for(layer, "rng") for layer in self.layers):
            return 0
        return int(self.random_stream().integers(2**63))

    def _evaluate(self, data: Epochs, verbose: int) -> Logs:
        self.reset_metrics()
        plan = self._plan(self.loss)
        with closing(data), Progress(verbose, data.steps) as progress, plan:
            for x, y in data:
                self._update_metrics(y, *plan.evaluate(x, y))
                progress.step(self._logs())
        logs = self._logs()
        progress.end(logs)
        return logs

    def _update_metrics(self, y: np.ndarray, losses: np.ndarray, y_pred: np.ndarray) -> Logs:
        """Add a batch to the running means; returns its own values."""
        values = {"loss": self._mean_loss.update(losses)}
        for metric in self.metrics:
            values[metric.name] = metric.update(metric.per_sample(y, y_pred))
        return values

    def _logs(self) -> Logs:
        """Running values, sorted by name as in Keras 3."""
        values = {metric.name: metric.result() for metric in (self._mean_loss, *self.metrics)}
        return dict(sorted(values.items()))

    def _results(self) -> Any:
        values = [metric.result() for metric in (self._mean_loss, *self.metrics)]
        return values if self.metrics else values[0]

    def _validation(self, data: Any, batch_size: Any) -> Epochs | None:
        if data is None:
            return None
        who = "fit, validation_data"
        if isinstance(data, Dataset):
            return Epochs(source(self, who, data, None, None), None, None)
        x, y = Check(who).x_and_y(data)
        return Epochs(source(self, who, x, y, batch_size), None, None)
