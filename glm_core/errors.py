"""The one error that bad input raises, and the checks of counts and configuration values that share it."""

from dataclasses import MISSING, fields


class GLMImageError(ValueError):
    """Bad input from the user: the message names the input, what was found and what is accepted."""


def check_counts(args, *names: str) -> None:
    """Of the parsed arguments ``names``: GLMImageError when one is given and less than 1."""
    for name in names:
        count = getattr(args, name)
        if count is not None and count < 1:
            raise GLMImageError(f"--{name.replace('_', '-')}: found {count}, accepted is 1 or more")


def read_config(cls, values: dict, where: str):
    """Build the config dataclass ``cls`` from ``values`` (a parsed config.json); unknown keys are ignored.

    Raises GLMImageError naming ``where`` and the key when one without a default is missing.
    """
    missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in values]
    if missing:
        raise GLMImageError(f"{where}: the configuration lacks {', '.join(missing)}")
    known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
    return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in known.items()})
