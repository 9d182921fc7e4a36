"""Practice for the embedded model: posters at random, never with a held-out word."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from ..geometry import TOKEN_PIXELS
from ..glyph import quoted_texts
from ..plans import Plan
from ..posters import (
    GRID,
    HELD_OUT_WORDS,
    LARGE_LETTERS,
    Edit,
    Poster,
    Style,
    caption,
    cell_codes,
    random_edit,
    random_letters,
    random_poster,
    random_short_text,
)
from .tasks import RLTask, TaskSource

THREE_WORDS = 3  # which training never shows the planner
FEWEST_LETTERS = 3  # of a word in the harder kinds

DrawPoster = Callable[[random.Random], Poster]


def poster_task(poster: Poster, kind: str, prompt: str) -> RLTask:
    """A poster as a task, with the plan that shows it."""
    codes = cell_codes(poster, quoted_texts(prompt))
    side = poster.cells * TOKEN_PIXELS
    return RLTask(prompt, tuple(word.text for word in poster.words), (), tuple(poster.shapes), kind, side, side, poster,
                  plan=Plan(torch.tensor([codes])))


def styled(rng: random.Random, font: str = "", chinese: bool = False, free: bool | None = None,
           lengths: tuple[int, ...] | None = None) -> Poster:
    """A random poster. free: None for one or the other at random."""
    style = Style(rng.random() < 0.5 if free is None else free, chinese, font)
    return random_poster(rng, lengths, HELD_OUT_WORDS, style)


def with_lengths(rng: random.Random, count: int, longest: int, free: bool | None = None) -> Poster:
    """A random poster with ``count`` words of up to ``longest`` letters."""
    lengths = tuple(rng.randint(FEWEST_LETTERS, longest) for _ in range(count))
    return styled(rng, free=free, lengths=lengths)


PLANNER_POSTERS: dict[str, DrawPoster] = {
    "grid": partial(styled, free=False),
    "free": partial(styled, free=True),
    "large words": partial(with_lengths, count=2, longest=LARGE_LETTERS, free=True),
    "chinese": partial(styled, chinese=True),
    "serif": partial(styled, font="serif"),
    "three words": partial(with_lengths, count=THREE_WORDS, longest=GRID),
}
EDITS = "edits"
FONTS = {"": "sans", "serif": "serif"}


def captioned(kind: str, draw: DrawPoster, rng: random.Random) -> RLTask:
    poster = draw(rng)
    return poster_task(poster, kind, caption(poster))


def edit_task(rng: random.Random) -> RLTask:
    """A random edit of a poster."""
    style = Style(rng.random() < 0.5, font=rng.choice(tuple(FONTS)))
    return edit_as_task(random_edit(rng, random_letters(rng), HELD_OUT_WORDS, style))


def edit_as_task(edit: Edit) -> RLTask:
    """An edit as a task, whose reference image is the poster before it."""
    before = Plan(torch.tensor([cell_codes(edit.before)]))
    return replace(poster_task(edit.after, EDITS, edit.sentence), references=(before,))


def sign_task(kind: str, style: Style, rng: random.Random) -> RLTask:
    """Short words on a page of a quarter of a poster, which costs the decoder little."""
    lengths = tuple(rng.randint(1, GRID // 2) for _ in range(rng.choice((1, 2))))
    sign = random_short_text(rng, lengths, HELD_OUT_WORDS, style)
    return poster_task(sign, kind, " ".join(f'"{word.text}"' for word in sign.words))


def planner_source(kinds: Sequence[str] = (*PLANNER_POSTERS, EDITS)) -> TaskSource:
    """Prompts of posters and edits."""
    drawing = {kind: partial(captioned, kind, draw) for kind, draw in PLANNER_POSTERS.items()}
    return TaskSource({kind: edit_task if kind == EDITS else drawing[kind] for kind in kinds})


def decoder_source() -> TaskSource:
    """Signs with words of both languages and fonts, and posters with shapes, each with its plan."""
    signs = {f"{'chinese' if chinese else 'english'} {name}": Style(chinese=chinese, font=font)
             for chinese in (False, True) for font, name in FONTS.items()}
    drawing = {kind: partial(sign_task, kind, style) for kind, style in signs.items()}
    return TaskSource({**drawing, "posters": partial(captioned, "posters", styled)})
