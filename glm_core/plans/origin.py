"""Where an item of a plan comes from, and how a file's metadata say so."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import GLMImageError

PROMPT_SEPARATOR = "\x1e"  # ASCII's record separator: a quotation cannot run on from one prompt into the next


@dataclass(frozen=True)
class Drawn:
    """A planner wrote the item.

    prompt: what the user wrote. seed: the item's own. size: width and height of the picture in pixels.
    sampling: the planner's sampling settings by name; {} if unknown.
    planner: fingerprint of its weights; "" if unknown.
    """

    prompt: str
    seed: int
    size: tuple[int, int]
    sampling: dict[str, float] = field(default_factory=dict, hash=False)
    planner: str = ""


@dataclass(frozen=True)
class Draft(Drawn):
    """A planner wrote only the coarse grid of a picture of this size, and this grid is the item."""


@dataclass(frozen=True)
class Read:
    """The vision tower read the item off an image. size: width and height of that image in pixels."""

    size: tuple[int, int]


@dataclass(frozen=True)
class Edited:
    """An operation made the item from others. sources: their origins, as far as they are known.

    In place of an edited source stand its own sources, and each source is named once. So a plan that was edited many
    times has an origin as short as after one edit; only the last operation is known.
    """

    operation: str
    sources: tuple[Origin, ...] = ()

    def __post_init__(self) -> None:
        flat = [part for source in self.sources for part in unedited(source)]
        object.__setattr__(self, "sources", tuple(dict.fromkeys(flat)))


Origin = Drawn | Read | Edited


def unedited(origin: Origin) -> tuple[Origin, ...]:
    """The items, drawn or read, that this one is or was made of."""
    return origin.sources if isinstance(origin, Edited) else (origin,)


def prompts_of(origin: Origin) -> tuple[str, ...]:
    """The prompts of all the drawn items that this one is or was made of, each once."""
    return tuple(dict.fromkeys(source.prompt for source in unedited(origin) if isinstance(source, Drawn)))


def planners_of(origins: Iterable[Origin]) -> set[str]:
    """Fingerprints of all planners that had a part in items with these origins."""
    return {source.planner for origin in origins for source in unedited(origin) if isinstance(source, Drawn)}


def common_prompt(origins: tuple[Origin, ...]) -> str:
    """The prompts that all items of a plan are made of, in the first item's order, with PROMPT_SEPARATOR between them.

    Raises GLMImageError where an item has no known prompt, or other prompts than the first one.
    """
    found = [prompts_of(origin) for origin in origins] or [()]
    for i, prompts in enumerate(found):
        if not prompts:
            raise GLMImageError(f"the plan must have a prompt of its own, but its item {i} (counted from 0) does not "
                                "come from a known prompt; connect prompt")
        if set(prompts) != set(found[0]):
            raise GLMImageError(f"all plans of the batch must have the same prompts, but items 0 and {i} (counted from "
                                "0) differ; select one plan with GLM-Image Select Plan, or connect prompt")
    return PROMPT_SEPARATOR.join(found[0])


KINDS: dict[str, type] = {"drawn": Drawn, "draft": Draft, "read": Read, "edited": Edited}
NAMES = {kind: name for name, kind in KINDS.items()}


def to_json(origins: tuple[Origin, ...]) -> str:
    """In ASCII, so that it can be stored whatever characters a prompt has."""
    return json.dumps([to_dict(origin) for origin in origins])


def to_dict(origin: Origin) -> dict[str, Any]:
    if isinstance(origin, Edited):
        return {"kind": "edited", "operation": origin.operation,
                "sources": [to_dict(source) for source in origin.sources]}
    return {"kind": NAMES[type(origin)], **asdict(origin)}


def from_json(text: str) -> tuple[Origin, ...]:
    """Inverse of ``to_json``."""
    return tuple(from_dict(values) for values in json.loads(text))


def from_dict(values: dict[str, Any]) -> Origin:
    values = dict(values)
    kind = KINDS[values.pop("kind")]
    if kind is Edited:
        check_types(values, operation=str, sources=list)
        return Edited(values["operation"], tuple(from_dict(source) for source in values["sources"]))
    width, height = values.pop("size")
    check_types({"width": width, "height": height}, width=int, height=int)
    if issubclass(kind, Drawn):
        check_types(values, prompt=str, seed=int, sampling=dict, planner=str)
    return kind(size=(width, height), **values)


def check_types(values: dict[str, Any], **types: type) -> None:
    for name, expected in types.items():
        if name in values and type(values[name]) is not expected:
            raise TypeError(f"{name} must be {expected.__name__}")
