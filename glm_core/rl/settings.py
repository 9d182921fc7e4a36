"""Settings of a run, which the command line offers as options."""

from dataclasses import dataclass, field
from typing import Any

from ..errors import GLMImageError
from ..pipeline.requests import check_seed


def setting(default: Any, help: str) -> Any:
    """A field that is an option of the command line."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class RLSettings:
    """Size of the run and of its updates. Raises GLMImageError on a value out of range."""

    prompts: int = setting(7, "number of prompts in a batch, from all kinds in turn")
    group: int = setting(8, "number of plans or pictures that are drawn for each prompt and compared")
    updates: int = setting(60, "number of updates of the weights")
    reuse: int = setting(1, "number of updates on each batch")
    learning_rate: float = setting(1e-4, "constant learning rate of AdamW")
    average: float = setting(0.95, "decay per update of the moving average of the weights (EMA), which is the result")
    seed: int = setting(0, "seed of prompts, plans and noise")
    save_every: int = setting(10, "save the state after this many updates; an interrupted run resumes from there")

    def __post_init__(self) -> None:
        for name in ("prompts", "updates", "reuse", "save_every"):
            check_least(name, getattr(self, name), 1)
        check_least("group", self.group, 2)
        check_seed(self.seed)
        check_open("learning_rate", self.learning_rate, 1.0)
        if not 0 <= self.average < 1:
            raise GLMImageError(f"--average must be from 0 to below 1 (got {self.average:g})")
        if self.updates % self.reuse:
            raise GLMImageError(f"--updates must be a multiple of --reuse, {self.reuse} (got {self.updates})")


@dataclass(frozen=True)
class GRPO:
    """Settings of the planner's loss. Raises GLMImageError on a value out of range."""

    clip: float = setting(0.2, "how far the ratio of new to old probability may differ from 1")
    kl: float = setting(0.01, "weight of the divergence from the starting weights")

    def __post_init__(self) -> None:
        check_open("clip", self.clip, 1.0)
        check_weight("kl", self.kl)


def check_least(name: str, value: int, least: int) -> None:
    """Raise GLMImageError, naming the option, if a value is below ``least``."""
    if value < least:
        raise GLMImageError(f"--{name.replace('_', '-')} must be at least {least} (got {value})")


def check_open(name: str, value: float, most: float) -> None:
    """Raise GLMImageError, naming the option, unless a value is above 0 and at most ``most``."""
    if not 0 < value <= most:
        raise GLMImageError(f"--{name.replace('_', '-')} must be above 0 and at most {most:g} (got {value:g})")


def check_weight(name: str, value: float) -> None:
    """Raise GLMImageError, naming the option, unless a value is a finite number from 0 up."""
    if not 0 <= value < float("inf"):
        raise GLMImageError(f"--{name.replace('_', '-')} must be at least 0 (got {value:g})")
