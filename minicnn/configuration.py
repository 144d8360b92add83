"""What something was made with, as plain data: `get_config` and `from_config`, as in Keras."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.activations import Activation

Known = dict[str, Callable]


class Configurable:
    """Base of what can be described by the arguments it was made with.

    It works for every class that keeps each argument of its `__init__` in an attribute of the same
    name; any other class defines `get_config` itself.
    """

    def get_config(self) -> dict[str, Any]:
        """The arguments by name, as text, numbers, None, lists and dicts: fit for JSON.

        Raises
        ------
        NotImplementedError
            If an argument was not kept, or cannot be described.
        """
        who = type(self).__name__
        config = {}
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if name == "input_shape":  # deprecated; the model knows the shape
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
        """A new one, made with these arguments.

        Parameters
        ----------
        config : dict
            From `get_config`.
        custom_objects : dict, optional
            Classes and functions of your own that it mentions, by name.
        """
        known = KNOWN | (custom_objects or {})
        return cls(**{name: from_plain_data(value, known) for name, value in config.items()})


KNOWN: Known = {}  # what files may name; `minicnn.model_file` fills it


def plain_data(value: Any) -> Any:
    """`value` in terms of JSON; an object becomes the name of its class and its config."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if isinstance(value, np.dtype | Activation):
        return value.name
    if hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    if getattr(value, "__name__", "").isidentifier():
        return {"function_name": value.__name__}
    if type(value) in (list, tuple):
        return [plain_data(item) for item in value]
    raise TypeError(f"{value!r} cannot be described")


def from_plain_data(data: Any, known: Known) -> Any:
    """What `plain_data` described; `known` are the only classes and functions it can come to.

    Raises
    ------
    ValueError
        For other names.
    """
    if isinstance(data, list):
        return [from_plain_data(item, known) for item in data]
    if not isinstance(data, dict):
        return data
    if set(data) not in ({"class_name", "config"}, {"function_name"}):
        raise ValueError(f"expected a class_name with its config, found {sorted(data)}")
    name = data.get("class_name") or data["function_name"]
    if name not in known:
        raise ValueError(
            f"it uses {name!r}, which minicnn does not know; pass custom_objects={{{name!r}: ...}}"
        )
    if "function_name" in data:
        return known[name]
    made_by = known[name]
    if hasattr(made_by, "from_config"):
        custom = {key: value for key, value in known.items() if KNOWN.get(key) is not value}
        takes_custom = "custom_objects" in inspect.signature(made_by.from_config).parameters
        return made_by.from_config(data["config"], *([custom] if takes_custom else []))
    return made_by(**data["config"])
