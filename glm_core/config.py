"""A part's config.json → its dataclass, every value checked."""

from dataclasses import MISSING, fields
from math import isfinite
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from .errors import GLMImageError

Config = TypeVar("Config")
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def read_config(cls: type[Config], values: dict, source: str) -> Config:
    """Build the config dataclass ``cls`` from ``values`` (a parsed config.json).

    Unknown keys are ignored, and null stands for the default. Raises GLMImageError naming ``source`` and the key where one
    without a default is missing, or where a value is of another type or out of range.
    """
    given = {f.name: values[f.name] for f in fields(cls) if values.get(f.name) is not None}
    missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in given]
    if missing:
        raise GLMImageError(f"{source}: the configuration lacks {', '.join(missing)}")
    kinds = get_type_hints(cls)
    return cls(**{name: checked(value, kinds[name], f"{source}: {name}") for name, value in given.items()})


def checked(value: Any, kind: Any, name: str) -> Any:
    """``value`` as the annotation ``kind`` has it: a number, a truth value, or a tuple of numbers."""
    if get_origin(kind) is tuple:
        return checked_tuple(value, get_args(kind), name)
    plain = next((option for option in get_args(kind) if option is not NoneType), kind)  # int for int | None
    check_type(value, plain, name)
    check_range(value, plain, name)
    return value


def checked_tuple(values: Any, kinds: tuple, name: str) -> tuple:
    element, *others = kinds
    length = None if others == [Ellipsis] else len(kinds)
    if not isinstance(values, list | tuple) or length not in (None, len(values)):
        raise GLMImageError(f"{name} must be a list of {length or 'any number of'} numbers (got {values!r})")
    for value in values:
        check_type(value, element, name)
    return tuple(values)


def check_type(value: Any, kind: type, name: str) -> None:
    accepted = (int, float) if kind is float else kind
    is_other_type = not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool)
    if is_other_type or (kind is float and not isfinite(value)):
        raise GLMImageError(f"{name} must be {KINDS[kind]} (got {value!r})")


def check_range(value: Any, kind: type, name: str) -> None:
    """Sizes and counts start at 1, token ids at 0; rates are above 0."""
    if kind is int and value < (0 if name.endswith("_id") else 1):
        raise GLMImageError(f"{name} must be at least {0 if name.endswith('_id') else 1} (got {value})")
    if kind is float and value <= 0:
        raise GLMImageError(f"{name} must be above 0 (got {value})")
