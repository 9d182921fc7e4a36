"""A part's config.json → its dataclass, with every value checked."""

from dataclasses import MISSING, fields
from math import isfinite
from types import NoneType
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints

from .errors import GLMImageError
from .files import quote


class Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Config = TypeVar("Config", bound=Dataclass)
MOST = 2**31  # of whole numbers; what must fit the tensors is compared with them besides
LARGEST = 1e12  # of other numbers
LONGEST_LIST = 256
TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def read_config(cls: type[Config], values: dict, source: str) -> Config:
    """Build the config dataclass ``cls`` from ``values`` (a parsed config.json).

    Unknown keys are ignored, and null stands for the default. Whole numbers must be at least 1 (at least 0 if they are
    token ids or in a list) and at most MOST; other numbers must be above 0 unless they are in a list, and at most
    LARGEST.

    Raises GLMImageError, naming ``source`` and the key, if a key without a default is missing, or if a value has
    another type or is out of range.
    """
    given = {field.name: values[field.name] for field in fields(cls) if values.get(field.name) is not None}
    missing = [field.name for field in fields(cls) if field.default is MISSING and field.name not in given]
    if missing:
        raise GLMImageError(f"{source}: the configuration lacks {', '.join(missing)}")
    types = get_type_hints(cls)
    return cls(**{name: checked(value, types[name], f"{source}: {name}") for name, value in given.items()})


def checked(value: Any, annotation: Any, name: str) -> Any:
    """``value`` if it suits its field's ``annotation``; a list becomes a tuple. Raises GLMImageError otherwise."""
    is_optional = NoneType in get_args(annotation)  # int | None
    expected = get_args(annotation)[0] if is_optional else annotation
    if get_origin(expected) is tuple:
        return checked_tuple(value, get_args(expected), name)
    check_type(value, expected, name)
    if expected is float and value <= 0:
        raise GLMImageError(f"{name} must be above 0 (got {value})")
    if expected is int:
        check_at_least(0 if name.endswith("_id") else 1, value, name)
    return value


def checked_tuple(values: Any, types: tuple, name: str) -> tuple:
    """``types``: one for each element, or (int, ...) for a list of any length."""
    any_length = types[-1] is Ellipsis
    if not isinstance(values, list | tuple) or (not any_length and len(values) != len(types)):
        length = "" if any_length else f"{len(types)} "
        raise GLMImageError(f"{name} must be a list of {length}numbers (got {quote(values)})")
    if not 1 <= len(values) <= LONGEST_LIST:
        raise GLMImageError(f"{name} must be a list of 1 to {LONGEST_LIST} numbers (got {quote(values)})")
    for value in values:
        check_type(value, types[0], name)
        if types[0] is int:
            check_at_least(0, value, name)
    return tuple(values)


def check_type(value: Any, expected: type, name: str) -> None:
    accepted = (int, float) if expected is float else expected
    matches = isinstance(value, accepted)
    if isinstance(value, bool):  # to Python, a bool is an int
        matches = expected is bool
    if not matches or (isinstance(value, float) and not isfinite(value)):
        raise GLMImageError(f"{name} must be {TYPE_NAMES[expected]} (got {quote(value)})")
    most = {int: MOST, float: LARGEST}.get(expected)
    if most is not None and abs(value) > most:
        raise GLMImageError(f"{name} must be at most {most:g} (got {quote(value)})")


def check_at_least(smallest: int, value: int, name: str) -> None:
    if value < smallest:
        raise GLMImageError(f"{name} must be at least {smallest} (got {value})")


def check_at_most(largest: int, source: str, **values: int) -> None:
    """Raise GLMImageError if one of the values, by name, is larger."""
    for name, value in values.items():
        if value > largest:
            raise GLMImageError(f"{source}: {name} must be at most {largest} (got {value})")


def section(config: dict, name: str, source: str) -> dict:
    """The object ``name`` of a config; empty where it is missing or null. Raises GLMImageError on other values."""
    value = config.get(name)
    if value is not None and not isinstance(value, dict):
        raise GLMImageError(f"{source}: {name} must be an object (got {quote(value)})")
    return value or {}


def check_each_channel(values: tuple[float, ...], channels: int, name: str) -> None:
    if len(values) != channels:
        raise GLMImageError(f"{name} must have a number for each of {channels} channels (got {len(values)})")


def check_latent_statistics(config: Any, channels: int, source: str) -> None:
    """Raise GLMImageError unless ``latents_mean`` and ``latents_std`` have a number a channel, the second above 0, and
    ``latents_rgb``, if there is one, three a channel and three more."""
    check_each_channel(config.latents_mean, channels, f"{source}: latents_mean")
    check_each_channel(config.latents_std, channels, f"{source}: latents_std")
    if min(config.latents_std) <= 0:
        raise GLMImageError(f"{source}: latents_std must be above 0 (got {min(config.latents_std)})")
    if config.latents_rgb is not None and len(config.latents_rgb) != 3 * (channels + 1):
        raise GLMImageError(f"{source}: latents_rgb must be three numbers for each of {channels} channels and three "
                            f"more (got {len(config.latents_rgb)})")
