"""Objects as plain data: `get_config` and `from_config`, as in Keras."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.activations import ACTIVATIONS, Activation

Known = dict[str, Callable]

KNOWN: Known = {}  # classes that a file may mention; `minicnn.saving.model_file` fills it


class Configurable:
    """Base class of objects that are described by the arguments of their `__init__`.

    It works for every class that stores each argument in an attribute of the same name; any other
    class has to define `get_config` itself.
    """

    def get_config(self) -> dict[str, Any]:
        """The arguments by name, as strings, numbers, None, lists and dicts, ready for JSON.

        Raises
        ------
        NotImplementedError
            If an argument is not stored in an attribute of its name, or cannot be described.
        """
        who = type(self).__name__
        config = {}
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if name == "input_shape":  # deprecated; the model stores the shape
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or (
                not hasattr(self, name)
            ):
                raise NotImplementedError(
                    f"{who}: the argument {name!r} is not kept in an attribute of that name; "
                    "keep it, or define get_config"
                )
            try:
                config[name] = plain_data(getattr(self, name))
            except TypeError as error:
                raise NotImplementedError(f"{who}: {name}: {error}; define get_config") from None
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Known | None = None) -> Any:
        """A new object, made with these arguments.

        Parameters
        ----------
        config : dict
            From `get_config`.
        custom_objects : dict, optional
            Your own classes and functions that `config` mentions, by name.

        Raises
        ------
        ValueError
            If `config` mentions other names.
        """
        values = from_plain_data(list(config.values()), KNOWN | (custom_objects or {}))
        return cls(**dict(zip(config, values, strict=True)))


def plain_data(value: Any) -> Any:
    """`value` as JSON can hold it; an object becomes the name of its class and its config.

    Raises
    ------
    TypeError
        If `value` cannot be described.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, Activation):
        # One of the user's own must not become a built-in one that happens to have its name.
        built_in = ACTIVATIONS.get(value.name) == value
        return value.name if built_in else {"function_name": value.name}
    if hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    if getattr(value, "__name__", "").isidentifier():
        return {"function_name": value.__name__}
    if type(value) in (list, tuple):
        return [plain_data(item) for item in value]
    raise TypeError(f"{value!r} cannot be described")


def from_plain_data(data: Any, known: Known) -> Any:
    """The value that `plain_data` described, made of classes and functions in `known` alone.

    Raises
    ------
    ValueError
        If `data` mentions other names.
    """
    require_known(data, known)
    return _made(data, known)


def require_known(data: Any, known: Known) -> None:
    """Raise a ValueError with all names that `data` mentions and that are not in `known`."""
    unknown = [repr(name) for name in dict.fromkeys(_mentioned(data, known)) if name not in known]
    if unknown:
        *others, last = unknown
        names = f"{', '.join(others)} and {last}" if others else last
        missing = ", ".join(f"{name}: ..." for name in unknown)
        raise ValueError(
            f"it uses {names}, which minicnn does not know; pass custom_objects={{{missing}}}"
        )


def _mentioned(data: Any, known: Known) -> Iterator[str]:
    """The names of classes and functions in `data`, in their order."""
    if isinstance(data, list):
        for item in data:
            yield from _mentioned(item, known)
    elif isinstance(data, dict) and set(data) == {"function_name"}:
        yield data["function_name"]
    elif isinstance(data, dict) and set(data) == {"class_name", "config"}:
        name = data["class_name"]
        yield name
        # What is in the config of a class with a from_config of its own, it alone can tell.
        if name not in known or _takes_arguments(known[name]):
            yield from _mentioned(list(data["config"].values()), known)


def _takes_arguments(made_by: Callable) -> bool:
    """Whether it is a class with the `from_config` of `Configurable`."""
    own = getattr(made_by, "from_config", None)
    return getattr(own, "__func__", None) is Configurable.from_config.__func__


def _made(data: Any, known: Known) -> Any:
    if isinstance(data, list):
        return [_made(item, known) for item in data]
    if not isinstance(data, dict):
        return data
    if set(data) == {"function_name"}:
        return known[data["function_name"]]
    if set(data) != {"class_name", "config"}:
        raise ValueError(f"expected a class_name with its config, found {sorted(data)}")
    made_by, config = known[data["class_name"]], data["config"]
    if _takes_arguments(made_by):
        return made_by(**{name: _made(value, known) for name, value in config.items()})
    if not hasattr(made_by, "from_config"):
        return made_by(**config)
    if "custom_objects" not in inspect.signature(made_by.from_config).parameters:
        return made_by.from_config(config)
    custom = {name: value for name, value in known.items() if KNOWN.get(name) is not value}
    return made_by.from_config(config, custom)
