"""Unknown keyword arguments: a sentence that says what is there, instead of Python's bare error.

An argument that Keras has and minicnn has not is accepted where its value is Keras' default, since
it then changes nothing. With any other value it is an error that says so.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

# Of Keras' arguments that minicnn has not: the values that change nothing, and what to do instead.
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "activity_regularizer": (None,),
    "amsgrad": (False,),
    "auto_scale_loss": (True,),
    "autocast": (True,),
    "batch_size": (None,),
    "beta_constraint": (None,),
    "beta_regularizer": (None,),
    "bias_constraint": (None,),
    "brightness_range": (None,),
    "centered": (False,),
    "channel_shift_range": (0, 0.0),
    "by_name": (False,),
    "clipnorm": (None,),
    "clipvalue": (None,),
    "cycle": (False,),
    "data_format": (None, "channels_last"),
    "dilation_rate": (1, (1, 1), [1, 1]),
    "dtype": (None, "float32"),
    "ema_momentum": (0.99,),
    "expand_nested": (False, True),
    "featurewise_center": (False,),
    "featurewise_std_normalization": (False,),
    "fill_value": (0, 0.0),
    "gamma_constraint": (None,),
    "gamma_regularizer": (None,),
    "global_clipnorm": (None,),
    "gradient_accumulation_steps": (None,),
    "groups": (1,),
    "ignore_class": (None,),
    "include_optimizer": (True,),
    "jit_compile": (None, "auto", False, True),
    "kernel_constraint": (None,),
    "label_smoothing": (0, 0.0),
    "layer_range": (None,),
    "line_length": (None,),
    "loss_scale_factor": (None,),
    "loss_weights": (None,),
    "lora_rank": (None,),
    "noise_shape": (None,),
    "quantization_config": (None,),
    "options": (None,),
    "positions": (None,),
    "rankdir": ("TB",),
    "reduction": ("sum_over_batch_size",),
    "renorm": (False,),
    "safe_mode": (True,),
    "samplewise_center": (False,),
    "samplewise_std_normalization": (False,),
    "sample_weight": (None,),
    "save_format": (None, "h5", "keras"),
    "save_to_dir": (None,),
    "show_layer_activations": (False,),
    "show_trainable": (False,),
    "skip_mismatch": (False,),
    "sparse": (None, False),
    "steps_per_execution": (1,),
    "synchronized": (False,),
    "use_ema": (False,),
    "validation_batch_size": (None,),
    "weight_decay": (None,),
    "weighted_metrics": (None,),
    "zca_whitening": (False,),
}
INSTEAD = {
    "decay": "pass a schedule as learning_rate, ExponentialDecay or InverseTimeDecay for instance",
    "epochs": "call fit",
    "input_dim": "start the model with Input((size,))",
    "lr": "it is called learning_rate",
    "period": "it is called save_freq",
    "nb_epoch": "it is called epochs",
    "weights": "build the layer and call set_weights",
    "workers": "minicnn.set_num_threads says how many threads to use",
    "use_multiprocessing": "minicnn.set_num_threads says how many threads to use",
    "max_queue_size": "Dataset.prefetch reads ahead",
}


# Arguments that change no result, whatever their value.
WITHOUT_EFFECT = {"deterministic", "num_parallel_calls"}


# What to use instead of methods that Keras and tf.data have.
METHODS_INSTEAD = {
    "Dataset": {
        "as_numpy_iterator": "iterate over the Dataset itself: its elements are NumPy arrays",
        "cache": "leave it out: arrays given to from_tensor_slices stay in memory; to do slow work "
        "once, do it before that",
        "concatenate": "join the arrays with np.concatenate before from_tensor_slices",
        "enumerate": "use Python's enumerate(dataset) in a for loop",
        "filter": "select samples with NumPy before from_tensor_slices: keep = y < 5; "
        "from_tensor_slices((x[keep], y[keep]))",
        "interleave": "join the streams in a generator, for from_generator",
        "padded_batch": "bring all samples to one shape before batch, in map",
        "range": "use from_tensor_slices(np.arange(n))",
        "reduce": "use functools.reduce, or a for loop",
        "shard": "use skip and take, or give from_tensor_slices x[rank::workers]",
        "unbatch": "leave out the batch before it, or split batches in a generator",
        "zip": "pass a tuple: from_tensor_slices((x, y))",
    }
}


def _unknown_name(kind: type, name: str) -> AttributeError:
    reason = METHODS_INSTEAD.get(kind.__name__, {}).get(name)
    if reason is None:
        has = ", ".join(each for each in dir(kind) if not each.startswith("_"))
        reason = f"a {kind.__name__} has {has}"
    return AttributeError(f"{kind.__name__}.{name} is not part of minicnn; {reason}")


class AnswersUnknownNames:
    """Base class of objects whose missing attributes are answered in words."""

    def __getattr__(self, name: str) -> Any:
        raise _unknown_name(type(self), name)


class ClassAnswersUnknownNames(type):
    """The same for a class itself, which has static methods in Keras: `Dataset.zip`."""

    def __getattr__(cls, name: str) -> Any:
        raise _unknown_name(cls, name)


def answers_unknown_keywords(function: Callable) -> Callable:
    """The same function, or method, with a TypeError in words for keywords that it has not.

    A function with a parameter like `**options` passes them on and is returned as it is.
    """
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return function

    @functools.wraps(function)
    def checked(*args: Any, **keywords: Any) -> Any:
        __tracebackhide__ = True  # IPython and pytest leave this function out of tracebacks
        unknown = [name for name in keywords if name not in parameters]
        for name in unknown:
            _refuse_unless_default(name, keywords.pop(name), function, args)
        return function(*args, **keywords)

    return checked


def _refuse_unless_default(name: str, value: Any, function: Callable, args: tuple) -> None:
    defaults = DEFAULTS.get(name, ())
    if name in WITHOUT_EFFECT or any(
        type(value) is type(default) and value == default for default in defaults
    ):
        return
    who = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
    known = list(inspect.signature(function).parameters)
    known = ", ".join(parameter for parameter in known if parameter != "self")
    if defaults:
        reason = f"expected {name}={defaults[0]!r}, the only value that minicnn supports"
    else:
        advice = f"; {INSTEAD[name]}" if name in INSTEAD else f"; it has {known}"
        reason = f"it has no argument {name!r}{advice}"
    raise TypeError(f"{who}: {reason}, received {name}={value!r}")
