"""Edits of posters: the poster before and after, and the sentence that asks for it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from .scene import BACKGROUNDS, COLUMNS, GRID, ROWS, Item, Poster, Style, contrasting, place, random_poster, random_word


@dataclass(frozen=True)
class Edit:
    before: Poster
    after: Poster
    sentence: str


def exchange(poster: Poster, old: Item, new: Item | None) -> Poster:
    """The poster with ``new``, or nothing, in place of ``old``."""
    return replace(poster, items=tuple(item for item in (new if item is old else item for item in poster.items) if item))


def recolour(rng: random.Random, poster: Poster, item: Item) -> tuple[Poster, str]:
    colour = rng.choice([name for name in contrasting(poster.background) if name != item.colour])
    return exchange(poster, item, replace(item, colour=colour)), f"Make the {item.noun} {item.where} {colour}."


def rewrite(rng: random.Random, poster: Poster, new_word: Callable[[], str]) -> tuple[Poster, str]:
    word = rng.choice(poster.words)
    fresh = replace(word, text=new_word())
    return exchange(poster, word, place(rng, fresh, bool(word.size))), f'Change the word {word.where} to "{fresh.text}".'


def free_zones(poster: Poster, item: Item) -> list[tuple[str, str]]:
    """Where an item can move: a word to a row without other items, a shape to a place without any, in a row without words."""
    others = [other for other in poster.items if other is not item]
    closed = {other.zone[0] for other in others if not item.kind or not other.kind}
    taken = {other.zone for other in others} | {item.zone}
    return [(row, column) for row in ROWS if row not in closed for column in COLUMNS if (row, column) not in taken]


def move(rng: random.Random, poster: Poster, item: Item) -> tuple[Poster, str]:
    moved = place(rng, replace(item, zone=rng.choice(free_zones(poster, item))), bool(item.size))
    return exchange(poster, item, moved), f"Move the {item.noun} {item.where} to the {moved.zone_name}."


def remove(poster: Poster, item: Item) -> tuple[Poster, str]:
    return exchange(poster, item, None), f"Remove the {item.noun} {item.where}."


def repaint(rng: random.Random, poster: Poster) -> tuple[Poster, str]:
    fits = [name for name in BACKGROUNDS if name != poster.background and {item.colour for item in poster.items} <= {*contrasting(name)}]
    background = rng.choice(fits or [poster.background])
    return replace(poster, background=background), f"Make the background {background}."


def edit_poster(rng: random.Random, before: Poster, new_word: Callable[[], str] | None) -> Edit:
    """One change: a new word, or, without one, of an item's colour or place, or of the background."""
    if new_word:
        return Edit(before, *rewrite(rng, before, new_word))
    item = rng.choice(before.items)
    kind = rng.choice(("recolour", "move", "remove", "repaint"))
    if kind == "recolour":
        return Edit(before, *recolour(rng, before, item))
    if kind == "move" and free_zones(before, item):
        return Edit(before, *move(rng, before, item))
    return Edit(before, *(repaint(rng, before) if kind == "repaint" else remove(before, item)))


def random_edit(rng: random.Random, letters: int, held_out: frozenset[str] = frozenset(), style: Style = Style()) -> Edit:
    """Of a random poster; with ``letters``, a new word of that many."""
    before = random_poster(rng, None, held_out, style)
    return edit_poster(rng, before, (lambda: random_word(rng, letters, held_out, style.chinese)) if letters else None)


def random_letters(rng: random.Random) -> int:
    """For ``random_edit``: every other edit writes a word."""
    return rng.choice((0, rng.randint(1, GRID)))
