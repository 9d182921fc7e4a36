"""Edits of posters: the poster before and after, and the sentence that asks for the change."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from .random_posters import position_item, random_poster
from .scene import BACKGROUNDS, COLUMNS, GRID, ROWS, Item, Poster, Style, contrasting, replace_item
from .words import random_word

KINDS = "recolour", "move", "remove", "repaint"


@dataclass(frozen=True)
class Edit:
    """The poster before and after an edit, and the sentence that asks for it."""

    before: Poster
    after: Poster
    sentence: str


def recolour(rng: random.Random, poster: Poster, item: Item) -> Edit:
    """Another colour for an item, which contrasts with the background."""
    colours = [name for name in contrasting(poster.background) if name != item.colour]
    colour = rng.choice(colours)
    after = replace_item(poster, item, replace(item, colour=colour))
    return Edit(poster, after, f"Make the {item.noun} {item.zone_phrase} {colour}.")


def rewrite(rng: random.Random, poster: Poster, new_word: Callable[[], str]) -> Edit:
    """A new word in place of one of the poster's words, in the same zone."""
    old = rng.choice(poster.words)
    text = new_word()
    new = position_item(rng, replace(old, text=text), free=bool(old.size))
    return Edit(poster, replace_item(poster, old, new), f'Change the word {old.zone_phrase} to "{text}".')


def free_zones(poster: Poster, item: Item) -> list[tuple[str, str]]:
    """Zones to which an item can move. A word needs a row without other items, a shape a row without words."""
    others = [other for other in poster.items if other is not item]
    closed_rows = {other.zone[0] for other in others if not item.kind or not other.kind}
    taken = {other.zone for other in others} | {item.zone}
    open_rows = [row for row in ROWS if row not in closed_rows]
    return [(row, column) for row in open_rows for column in COLUMNS if (row, column) not in taken]


def move(rng: random.Random, poster: Poster, item: Item) -> Edit:
    """Another zone for an item. Raises IndexError if there is no free zone."""
    zone = rng.choice(free_zones(poster, item))
    moved = position_item(rng, replace(item, zone=zone), free=bool(item.size))
    after = replace_item(poster, item, moved)
    return Edit(poster, after, f"Move the {item.noun} {item.zone_phrase} to the {moved.zone_name}.")


def remove(poster: Poster, item: Item) -> Edit:
    return Edit(poster, replace_item(poster, item, None), f"Remove the {item.noun} {item.zone_phrase}.")


def repaint(rng: random.Random, poster: Poster) -> Edit:
    """Another background that contrasts with all items; the same one if there is none."""
    colours = {item.colour for item in poster.items}
    others = [name for name in BACKGROUNDS if name != poster.background and colours <= set(contrasting(name))]
    background = rng.choice(others or [poster.background])
    return Edit(poster, replace(poster, background=background), f"Make the background {background}.")


def edit_poster(rng: random.Random, poster: Poster, new_word: Callable[[], str] | None) -> Edit:
    """One change: if ``new_word`` is given, of a word; otherwise of a colour, a zone, the background, or a removal."""
    if new_word:
        return rewrite(rng, poster, new_word)
    item = rng.choice(poster.items)
    kind = rng.choice(KINDS)
    if kind == "recolour":
        return recolour(rng, poster, item)
    if kind == "repaint":
        return repaint(rng, poster)
    if kind == "move" and free_zones(poster, item):
        return move(rng, poster, item)
    return remove(poster, item)


def random_edit(rng: random.Random, letters: int, held_out: frozenset[str] = frozenset(),
                style: Style = Style()) -> Edit:
    """An edit of a random poster: a new word with this many letters, or another kind of change if ``letters`` is 0."""
    poster = random_poster(rng, None, held_out, style)

    def new_word() -> str:
        return random_word(rng, letters, held_out, style.chinese)

    return edit_poster(rng, poster, new_word if letters else None)


def random_letters(rng: random.Random) -> int:
    """The argument ``letters`` of ``random_edit``: 0 for half of the edits."""
    return rng.choice((0, rng.randint(1, GRID)))
