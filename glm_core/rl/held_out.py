"""What is measured before and after: posters with words that no practice shows.

The words fall into two halves. Choose settings by one half and report figures of the other.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import GLMImageError
from ..posters import (
    CHINESE_WORDS,
    ENGLISH_WORDS,
    GRID,
    LARGE_LETTERS,
    Style,
    caption,
    held_out_edit,
    held_out_poster,
)
from .posters import EDITS, FONTS, THREE_WORDS, edit_as_task, poster_task
from .tasks import RLTask

HALVES = "choose", "report"  # of the words, which take turns in alphabetical order


@dataclass(frozen=True)
class Kind:
    """Posters of one kind. styles: in turn. counts: of words, one of which is drawn. longest: letters of a word."""

    styles: tuple[Style, ...]
    counts: tuple[int, ...] = (1, 1, 2)
    longest: int = GRID

    def task(self, rng: random.Random, i: int, half: str, name: str) -> RLTask:
        """The i-th task of this kind, ``name``."""
        style = self.styles[i % len(self.styles)]
        poster = held_out_poster(rng, style, held_out_words(half, style.chinese, self.longest), self.counts)
        return poster_task(poster, name, caption(poster))


def both(chinese: bool = False, font: str = "") -> tuple[Style, ...]:
    """On the token grid, and free."""
    return Style(False, chinese, font), Style(True, chinese, font)


PLANNER_KINDS = {
    "grid": Kind((Style(),)),
    "free": Kind((Style(free=True),)),
    "large words": Kind((Style(free=True),), counts=(2,), longest=LARGE_LETTERS),
    "chinese": Kind(both(chinese=True)),
    "serif": Kind((*both(font="serif"), *both(chinese=True, font="serif"))),
    "three words": Kind(both(), counts=(THREE_WORDS,)),
}
DECODER_KINDS = {f"{'chinese' if chinese else 'english'} {name}": Kind(both(chinese, font))
                 for chinese in (False, True) for font, name in FONTS.items()}


def held_out_words(half: str, chinese: bool = False, longest: int = GRID) -> list[str]:
    """The held-out words of a half with up to ``longest`` letters. Raises GLMImageError on other halves than HALVES."""
    if half not in HALVES:
        raise GLMImageError(f"half must be one of {', '.join(HALVES)} (got {half!r})")
    words = (CHINESE_WORDS if chinese else ENGLISH_WORDS)[HALVES.index(half) :: len(HALVES)]
    return [word for word in words if len(word) <= longest]


def edit_tasks(half: str, count: int) -> list[RLTask]:
    """Edits of posters on the token grid, every other one of a word."""
    rng = random.Random(f"{half} {EDITS}")
    return [edit_as_task(held_out_edit(rng, i % 2 > 0, held_out_words(half))) for i in range(count)]


def kind_tasks(name: str, kind: Kind, half: str, count: int) -> list[RLTask]:
    rng = random.Random(f"{half} {name}")
    return [kind.task(rng, i, half, name) for i in range(count)]


def planner_tasks(half: str, count: int, kinds: Sequence[str] = (*PLANNER_KINDS, EDITS)) -> list[RLTask]:
    """``count`` tasks of each kind, the same ones every time."""
    return [task for name in kinds for task in (
        edit_tasks(half, count) if name == EDITS else kind_tasks(name, PLANNER_KINDS[name], half, count))]


def decoder_tasks(half: str, count: int) -> list[RLTask]:
    """``count`` posters of each kind with their plans, the same ones every time."""
    return [task for name, kind in DECODER_KINDS.items() for task in kind_tasks(name, kind, half, count)]
