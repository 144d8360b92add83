"""What a model learns and how: compile, fit, evaluate, predict; epochs and batches.

One step is in `minicnn.step`; where batches come from, in `minicnn.batches`.
"""

from contextlib import closing
from typing import Any

import numpy as np

from minicnn import engine
from minicnn.batches import Epochs, build_from, source
from minicnn.callbacks import CallbackList, History
from minicnn.callbacks.output import say
from minicnn.callbacks.progress import Progress, verbosity
from minicnn.data import Dataset, as_dataset
from minicnn.eager import EagerPlan
from minicnn.layer import asks_for
from minicnn.losses import LOSSES, Loss, WeightedLoss
from minicnn.metrics import METRICS, Mean, Metric
from minicnn.optimizers import OPTIMIZERS, Optimizer
from minicnn.session import random_stream
from minicnn.validation import Check, answers_unknown_keywords, plain

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

    @answers_unknown_keywords
    def compile(
        self, optimizer: Any, loss: Any, *, metrics: Any = None, run_eagerly: bool = False
    ) -> None:
        """Choose how to learn, what to minimise, and what to report besides.

        Parameters
        ----------
        optimizer : "adam", "sgd" or Optimizer
        loss : "sparse_categorical_crossentropy", "categorical_crossentropy" or Loss
        metrics : list of "accuracy" or Metric, optional
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

    @answers_unknown_keywords
    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Learn from labelled samples, continuing from the present weights and optimizer state.

        Parameters
        ----------
        x : (n, ...) array of any real dtype; or Dataset or generator of (x, y) batches
        y : (n,) integers or what else the loss takes, or None with a Dataset
        batch_size : int, optional
            32 for arrays. The last batch may be smaller.
        epochs : int
            The number of the last one, counted from 1.
        verbose : "auto", 0, 1 or 2
            Silent (0), a bar on terminals and in notebooks (1, "auto"), a line an epoch (2).
        callbacks : list of Callback, optional
        validation_split : float
            The share of samples, the last ones of the arrays, to validate with and not to train.
        validation_data : (x, y), (x, y, sample_weight) or Dataset, optional
            Evaluated after each epoch, or after some: see `validation_freq`.
        shuffle : bool
            Draw a new order of all samples for each epoch. A Dataset is taken as it comes.
        class_weight, sample_weight : dict by label, (n,) array, optional
            What the loss of a sample is multiplied by; 1 for other labels.
        initial_epoch : int
            Epochs that an earlier `fit` has done, if this one continues it. A Dataset, made anew
            with the same seeds, continues by `.skip(initial_epoch * steps_per_epoch)`.
        steps_per_epoch : int, optional
            Batches in an epoch, instead of one pass over the data: see `batches.Epochs`.
        validation_steps, validation_freq : int
            Batches of `validation_data` to take; epochs between validations, or a list of epochs.

        Returns the `History`, which is also `model.history`.

        Arguments and data that cannot be used are a TypeError or ValueError, before the first step
        or, in a Dataset, before the batch's own; a loss that is NaN or infinite is a
        FloatingPointError, before the step that would spoil the weights. Ctrl-C acts between two
        steps, or at once with `run_eagerly=True`.
        """
        check = Check("fit")
        tell = CallbackList(callbacks, "fit")
        epochs, initial_epoch = check.epochs(epochs, initial_epoch)
        verbose = verbosity(verbose, "fit")
        shuffle_rng = random_stream() if check.flag(shuffle, "shuffle") else None
        if validation_split:
            (x, y, sample_weight), validation_data = check.split(
                x, y, sample_weight, validation_split, validation_data
            )
        loss = self._weighted_loss(check, sample_weight, class_weight)
        batches = source(self, check, x, y, loss, batch_size, shuffle_rng)
        train = Epochs(batches, steps_per_epoch, "steps_per_epoch")
        validation = self._validation(validation_data, batch_size, validation_steps)
        validates = check.validates(validation_freq)
        plan = self._plan(loss)
        history = History({"verbose": verbose, "epochs": epochs, "steps": train.steps})
        tell("set_model", self)
        tell("set_params", history.params)
        self.history, self.stop_training, self._shuffle_rng = history, False, shuffle_rng
        logs = None
        try:
            tell("on_train_begin")
            for epoch in range(initial_epoch, epochs):
                if verbose and epochs > 1:
                    say(f"Epoch {epoch + 1}/{epochs}")
                tell("on_epoch_begin", epoch)
                with Progress(verbose, train.steps) as progress:
                    with plan:
                        self._learn(plan, train, epoch, tell, progress)
                    logs = self._logs()
                    if validation is not None and validates(epoch + 1):
                        val_logs = self._evaluate(*validation, tell, verbose=0)
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
            penalty = self._penalty()
            try:
                outcome = plan.train(self.optimizer, x, y, (seed, self.optimizer.iterations))
            except FloatingPointError as error:
                if tell.stops_at_nan:
                    self.stop_training = True
                    break
                where = f"step {batch + 1} of epoch {epoch + 1}"
                raise FloatingPointError(f"fit: in {where}, {error}") from None
            self.history.end_batch(self._update_metrics(y, *outcome, penalty))
            logs = self._logs()
            progress.step(logs)
            tell("on_train_batch_end", batch, logs)
            if self.stop_training:
                break

    @answers_unknown_keywords
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics over labelled samples, each sample counting once; nothing is learned.

        Returns [loss, metric, ...] in the order of `compile`, or the bare loss if there is no
        metric; a dict by name with `return_dict`. `steps` is how many batches to take, which an
        endless Dataset needs; other parameters are those of `fit`.
        """
        verbose = verbosity(verbose, "evaluate")
        check, tell = Check("evaluate"), CallbackList(callbacks, "evaluate", self)
        return_dict = check.flag(return_dict, "return_dict")
        loss = self._weighted_loss(check, sample_weight)
        batches = source(self, check, x, y, loss, batch_size)
        logs = self._evaluate(Epochs(batches, steps), loss, tell, verbose)
        return logs if return_dict else self._results()

    @answers_unknown_keywords
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> np.ndarray:
        """The model's output for each sample, (n, ...); for no samples, (0, ...).

        x is an (n, ...) array of any real dtype, or a Dataset of x or (x, y) batches; other
        parameters are those of `evaluate`.
        """
        verbose, tell = verbosity(verbose, "predict"), CallbackList(callbacks, "predict", self)
        batches = source(self, Check("predict"), x, None, None, batch_size)
        no_rows = np.empty((0, *self.output_shape), self.dtype)
        if not isinstance(x, Dataset) and batches.cardinality == 0:
            return no_rows
        epoch = Epochs(batches, steps)
        plan = self._plan()
        outputs = []
        with closing(epoch), Progress(verbose, epoch.steps) as progress, plan:
            for x, _ in tell.batches("predict", epoch):
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
        plan = self._plan() if self.run_eagerly else engine.plan_to_predict(self)
        return plan.predict_on_batch(plain(x, self.dtype))

    def train_on_batch(self, x: Any, y: Any) -> Any:
        """One step on one batch of arrays, as in `fit`.

        Returns what `evaluate` does, of this batch alone and from before the step.
        """
        check = Check("train_on_batch")
        x = check.real_array(x, "x")
        batches = source(self, check, x, y, check.compiled(self.loss), max(x.size, 1))
        ((x, y),) = batches.start_pass()  # one batch: it may have as many samples as x has numbers
        self.reset_metrics()
        penalty = self._penalty()
        with self._plan(self.loss) as plan:
            outcome = plan.train(self.optimizer, x, y, (self._seed(), self.optimizer.iterations))
        self._update_metrics(y, *outcome, penalty)
        return self._results()

    def reset_metrics(self) -> None:
        """Start the running means of loss and metrics anew."""
        for metric in (self._mean_loss, *self.metrics):
            metric.reset_state()

    def random_stream(self) -> np.random.Generator:
        """What draws the order of the next epoch, and the seed of its random layers."""
        return random_stream() if self._shuffle_rng is None else self._shuffle_rng

    def _penalty(self) -> float:
        return sum(layer.penalty() for layer in self.layers)

    def _weighted_loss(self, check: Check, sample_weight: Any, class_weight: Any = None) -> Loss:
        loss, weigh = check.compiled(self.loss), check.weighing(sample_weight, class_weight)
        return loss if weigh is None else WeightedLoss(loss, weigh)

    def _plan(self, loss: Loss | None = None) -> Any:
        return (EagerPlan if self.run_eagerly else engine.Plan)(self.layers, loss)

    def _seed(self) -> int:
        """A seed for the random layers of one epoch; nothing is drawn if there are none."""
        if not any(asks_for(layer, "rng") for layer in self.layers):
            return 0
        return int(self.random_stream().integers(2**63))

    def _evaluate(self, data: Epochs, loss: Loss, tell: CallbackList, verbose: int) -> Logs:
        self.reset_metrics()
        plan, penalty = self._plan(loss), self._penalty()
        with closing(data), Progress(verbose, data.steps) as progress, plan:
            for x, y in tell.batches("test", data, self._logs):
                self._update_metrics(y, *plan.evaluate(x, y), penalty)
                progress.step(self._logs())
        logs = self._logs()
        progress.end(logs)
        return logs

    def _update_metrics(
        self, y: np.ndarray, losses: np.ndarray, y_pred: np.ndarray, penalty: float
    ) -> Logs:
        """Add a batch to the running means; returns its own values."""
        y = y["y"] if y.dtype.names else y  # targets with weights
        values = {"loss": self._mean_loss.update(losses + penalty)}
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

    def _validation(self, data: Any, batch_size: Any, steps: Any) -> tuple[Epochs, Loss] | None:
        if data is None:
            return None
        check, data = Check("fit, validation_data"), as_dataset(data)
        x, y, weight = data, None, None
        if isinstance(data, Dataset):
            batch_size = None
        else:
            x, y, weight = check.x_y_weight(data)
        loss = self._weighted_loss(check, weight)
        batches = source(self, check, x, y, loss, batch_size)
        return Epochs(batches, steps, "validation_steps"), loss
