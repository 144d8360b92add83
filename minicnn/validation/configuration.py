"""Objects as plain data: `get_config` and `from_config`, as in Keras."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.activations import NAMED, Activation
from minicnn.validation.keywords import answers_unknown_keywords

Known = dict[str, Callable]

PROMISES = ("samples_are_independent", "elementwise")  # see `Layer`, `Loss` and `Optimizer`

KNOWN: Known = {}  # what files may mention: `saving.model_file` and `keras` add theirs


class Configurable:
    """Base class of objects that are described by the arguments of their `__init__`.

    It works for every class that stores each argument in an attribute of the same name; any other
    class has to define `get_config` itself.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for promise in PROMISES:  # holds for the code of one class; a subclass has its own
            if hasattr(cls, promise) and promise not in vars(cls):
                setattr(cls, promise, False)
        if "__init__" in vars(cls):
            cls.__init__ = answers_unknown_keywords(cls.__init__)

    def get_config(self) -> dict[str, Any]:
        """The arguments by name, as strings, numbers, None, lists and dicts, ready for JSON.

        Raises
        ------
        NotImplementedError
            If an argument is not stored in an attribute of its name, or cannot be described.
        """
        who = type(self).__name__
        config = {}
        for name, parameter in _arguments(type(self)).items():
            if name == "input_shape":  # deprecated; the model stores the shape
                continue
            if parameter.kind is parameter.VAR_POSITIONAL or not hasattr(self, name):
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


def _arguments(cls: type) -> dict[str, inspect.Parameter]:
    """The parameters of a class; those of its base class, too, if `**options` go there."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base) and base is not object:
            own = dict(inspect.signature(base.__init__).parameters)
            del own[next(iter(own))]  # self
            rest = [name for name, p in own.items() if p.kind is p.VAR_KEYWORD]
            found |= {name: own[name] for name in own if name not in (*rest, *found)}
            if not rest:
                break
    return found


def plain_data(value: Any) -> Any:
    """`value` as JSON can hold it; an object becomes the name of its class and its config."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, Activation):
        # One of the user's own must not become a built-in one that happens to have its name.
        built_in = NAMED.get(value.name) == value
        return value.name if built_in else {"function_name": value.name}
    if hasattr(value, "get_config"):
        kind = type(value)
        described = {"class_name": kind.__name__, "config": value.get_config()}
        # One of the user's own must not become a built-in one that has its name, now or later.
        return described if kind.__module__.startswith("minicnn.") else described | {"own": True}
    if getattr(value, "__name__", "").isidentifier():
        return {"function_name": value.__name__}
    if type(value) in (list, tuple):
        return [plain_data(item) for item in value]
    raise TypeError(f"{value!r} cannot be described")


def from_plain_data(data: Any, known: Known) -> Any:
    """The value that `plain_data` described, made of classes and functions in `known` alone."""
    require_known(data, known)
    return _made(data, known)


def require_known(data: Any, known: Known) -> None:
    """Raise a ValueError with all names that `data` mentions and that are not in `known`."""
    unknown = [repr(name) for name in dict.fromkeys(_missing(data, known))]
    if unknown:
        *others, last = unknown
        names = f"{', '.join(others)} and {last}" if others else last
        missing = ", ".join(f"{name}: ..." for name in unknown)
        raise ValueError(
            f"it uses {names}, which minicnn does not know; pass custom_objects={{{missing}}}"
        )


def _missing(data: Any, known: Known) -> Iterator[str]:
    """The names of classes and functions in `data` that are not in `known`, in their order."""
    if isinstance(data, list):
        for item in data:
            yield from _missing(item, known)
    elif isinstance(data, dict) and set(data) == {"function_name"}:
        if data["function_name"] not in known:
            yield data["function_name"]
    elif _is_object(data):
        made_by = known.get(data["class_name"])
        if made_by is None or (data.get("own") and KNOWN.get(data["class_name"]) is made_by):
            made_by = None
            yield data["class_name"]
        # What is in the config of a class with a from_config of its own, it alone can tell.
        if made_by is None or _takes_arguments(made_by):
            yield from _missing(list(data["config"].values()), known)


def _is_object(data: Any) -> bool:
    return isinstance(data, dict) and set(data) - {"own"} == {"class_name", "config"}


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
    if not _is_object(data):
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
