"""Posters with held-out words, and what is to be changed in them.

Each set has its own posters and seeds: thresholds are chosen on one and reported on another.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

from glm_core.glyph import quoted_texts
from glm_core.posters import (
    COLUMNS,
    ENGLISH_WORDS,
    GRID,
    LARGE_LETTERS,
    ROWS,
    SHAPES,
    Item,
    Poster,
    Style,
    caption,
    held_out_poster,
    position_item,
    random_poster,
    with_words,
)
from glm_core.posters.scene import contrasting, replace_item

SETS = {"report": 0, "choose": 2**32}  # name → seed of its first plan
SEEDS = 3  # plans of a case, whose seeds follow one another
CHANGES = "same length", "colour", "longer", "colour", "shorter", "kind", "same length"  # in turn
WORD_CHANGES = "same length", "longer", "shorter"
HARD_LENGTHS = {  # kind of hard prompt → letters of its words
    "three words": range(3, GRID + 1), "two large": range(3, LARGE_LETTERS + 1),
    "three large": range(3, LARGE_LETTERS + 1), "two long": range(7, GRID + 1),
}
SIDES = "right", "bottom", "left", "top"  # where padding makes room, in turn
SHORT = 3, 4  # letters of the words that fit into half a poster, free ones and those on the grid

Case = TypeVar("Case")


@dataclass(frozen=True)
class Change:
    """Two posters that differ in the item ``index`` alone. kind: one of CHANGES."""

    kind: str
    before: Poster
    after: Poster
    index: int

    @property
    def is_free(self) -> bool:
        return bool(self.before.items[self.index].size)

    @property
    def quoted(self) -> list[str]:
        """The texts of both prompts, which the decoder gets."""
        return all_texts(self.after, self.before)


@dataclass(frozen=True)
class Addition:
    """A poster, and the poster of the window that covers its half at ``side`` and as much new room beyond that side.

    The window's poster has only the new item, which stands in the new room.
    """

    before: Poster
    window: Poster
    side: str

    @property
    def quoted(self) -> list[str]:
        """The texts of both prompts, which the decoder gets."""
        return all_texts(self.window, self.before)


def texts_of(poster: Poster) -> list[str]:
    return quoted_texts(caption(poster))


def all_texts(*posters: Poster) -> list[str]:
    """The quoted texts of the posters' prompts, each once."""
    return list(dict.fromkeys(text for poster in posters for text in texts_of(poster)))


def first_seed(set_name: str, case: int) -> int:
    """Seed of the first plan of a case of a set."""
    return SETS[set_name] + SEEDS * case


def style_of(case: int) -> Style:
    """Every other poster is free."""
    return Style(free=case % 2 > 0)


def make_cases(make: Callable[[random.Random, int], Case | None], name: str, number: int) -> list[Case]:
    """``number`` cases, the i-th with make(rng, i), which is tried again where it gives None."""
    rng = random.Random(name)

    def attempts(i: int) -> Iterator[Case]:
        return (case for _ in count() if (case := make(rng, i)) is not None)

    return [next(attempts(i)) for i in range(number)]


def changes(set_name: str, number: int) -> list[Change]:
    """Single items of posters that become others; see CHANGES."""
    return make_cases(make_change, f"{set_name} changes", number)


def make_change(rng: random.Random, i: int) -> Change | None:
    poster, kind = held_out_poster(rng, style_of(i)), CHANGES[i % len(CHANGES)]
    candidates = {"colour": poster.items, "kind": poster.shapes}.get(kind, poster.words)
    if not candidates:
        return None
    item = rng.choice(candidates)
    options = changed_items(poster, item, kind)
    if not options:
        return None
    after = replace_item(poster, item, replace(rng.choice(options), box=None))
    return Change(kind, poster, after, poster.items.index(item))


def changed_items(poster: Poster, item: Item, kind: str) -> list[Item]:
    """All that the item can become by a change of this kind."""
    if kind == "colour":
        return [replace(item, colour=colour) for colour in contrasting(poster.background) if colour != item.colour]
    if kind == "kind":
        return [replace(item, kind=shape) for shape in SHAPES if shape != item.kind]
    most = LARGE_LETTERS if item.size == "large" else GRID
    texts = {word.text for word in poster.words}
    lengths = {"same length": [len(item.text)], "longer": range(len(item.text) + 1, most + 1),
               "shorter": range(len(item.text))}[kind]
    return [replace(item, text=word) for word in ENGLISH_WORDS if len(word) in lengths and word not in texts]


def hard_posters(set_name: str, number: int) -> list[Poster]:
    """Free posters with many, large or long words: the kinds of HARD_LENGTHS in turn."""
    return make_cases(make_hard_poster, f"{set_name} hard", number)


def make_hard_poster(rng: random.Random, i: int) -> Poster:
    kind, lengths = list(HARD_LENGTHS.items())[i % len(HARD_LENGTHS)]
    candidates = [word for word in ENGLISH_WORDS if len(word) in lengths]
    words = rng.sample(candidates, 3 if kind.startswith("three") else 2)
    poster = with_words(random_poster(rng, tuple(map(len, words)), style=Style(free=True)), words)
    if not kind.endswith("large"):
        return poster
    items = [item if item.kind else replace(item, size="large", box=None) for item in poster.items]
    return replace(poster, items=tuple(items))


def posters_with_shapes(set_name: str, number: int) -> list[Poster]:
    return make_cases(make_poster_with_shapes, f"{set_name} shapes", number)


def make_poster_with_shapes(rng: random.Random, i: int) -> Poster | None:
    poster = held_out_poster(rng, style_of(i))
    return poster if poster.shapes else None


def pairs_to_join(set_name: str, number: int) -> list[tuple[Poster, Poster]]:
    """Two posters with the same background and at least one shape each."""
    return make_cases(make_pair, f"{set_name} pairs", number)


def make_pair(rng: random.Random, i: int) -> tuple[Poster, Poster] | None:
    left, right = make_poster_with_shapes(rng, i), make_poster_with_shapes(rng, i)
    return (left, right) if left and right and left.background == right.background else None


def additions(set_name: str, number: int) -> list[Addition]:
    """Shapes and words, half of each, that are added beside a poster, at each of SIDES in turn."""
    return make_cases(make_addition, f"{set_name} additions", number)


def make_addition(rng: random.Random, i: int) -> Addition | None:
    poster, side = held_out_poster(rng, style_of(i)), SIDES[i // 4 % len(SIDES)]
    in_row = side in ("top", "bottom")
    zone = (side, rng.choice(COLUMNS)) if in_row else (rng.choice(ROWS), side)
    colour = rng.choice(contrasting(poster.background))
    longest = GRID if in_row else SHORT[0] if style_of(i).free else SHORT[1]
    is_shape = i // 2 % 2 > 0
    text = "" if is_shape else rng.choice([word for word in ENGLISH_WORDS if len(word) <= longest])
    item = position_item(rng, Item(colour, zone, text, rng.choice(SHAPES) if is_shape else None), style_of(i).free)
    if not in_row and item.size == "large" and text:
        return None
    return Addition(poster, Poster(poster.background, (item,)), side)
