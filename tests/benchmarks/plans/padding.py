"""Posters with new room on one side, into which the planner writes a new item."""

from collections.abc import Iterator

from torch import Tensor

from glm_core.evaluation.suites.codes import CodeResult, judge
from glm_core.geometry import TOKEN_PIXELS
from glm_core.planner import replan
from glm_core.plans import Plan, join, pad, select
from glm_core.posters import GRID, Item, Poster, caption, empty_code

from .cases import Addition, additions, first_seed, texts_of
from .composing import HALF
from .hard import judge_all
from .painting import Painter, WordReader, moved, shape_is_drawn, texts_of_plan
from .planner import EmbeddedPlanner
from .replanning import OTHER_SEEDS
from .table import Table

ROOM = HALF // TOKEN_PIXELS  # rows or columns of new cells


def padded(plan: Plan, side: str) -> tuple[Plan, Tensor]:
    return pad(plan, **{side: HALF})


def offset(side: str) -> tuple[int, int]:
    """Rows and columns of new cells before the old ones."""
    return (ROOM if side == "top" else 0), (ROOM if side == "left" else 0)


def old_part(ids: Tensor, side: str) -> Tensor:
    """The poster's own cells [..., 8, 8] of a padded grid [..., h, w]."""
    row, column = offset(side)
    return ids[..., row : row + GRID, column : column + GRID]


def window_start(side: str) -> tuple[int, int]:
    """Row and column of the window, which covers the new room and half of the old poster."""
    return (ROOM if side == "bottom" else 0), (ROOM if side == "right" else 0)


def new_room(ids: Tensor, side: str, background: int) -> Tensor:
    """The window [..., 8, 8] of a padded grid, in whose old half all cells show the background."""
    row, column = window_start(side)
    window = ids[..., row : row + GRID, column : column + GRID].clone()
    old = {"right": (..., slice(0, ROOM)), "left": (..., slice(ROOM, None)),
           "bottom": (..., slice(0, ROOM), slice(None)), "top": (..., slice(ROOM, None), slice(None))}[side]
    window[old] = background
    return window


def judge_room(plan: Plan, addition: Addition, quoted: list[str]) -> list[CodeResult]:
    """Of each item of a padded plan: the new room beside the window's poster."""
    room = new_room(plan.ids, addition.side, empty_code(addition.window))
    return [judge(codes, addition.window, quoted) for codes in room.tolist()]


def measure_padding(planner: EmbeddedPlanner, set_name: str, number: int) -> Iterator[Table]:
    """By codes all seeds of all cases; of the first half of the cases, one seed also in a picture."""
    table, pictures = Table("padded by half a poster"), Table("padded and drawn")
    painter, reader = Painter(), WordReader()
    for i, addition in enumerate(additions(set_name, number)):
        seed = first_seed(set_name, i)
        plan = planner.plan(caption(addition.before), seed)
        verdicts = judge_all(plan, addition.before)
        runs = [run for run, verdict in enumerate(verdicts) if verdict.whole]
        if not runs:
            continue
        old = join([select(plan, run) for run in runs])
        filled = replan(planner.writer, *padded(old, addition.side), caption(addition.window), seed=seed + OTHER_SEEDS)
        add_rooms(table, addition, old, filled, runs)
        if i < number // 2:
            item = i % len(runs)
            poster = Poster(addition.before.background, tuple(filter(None, verdicts[runs[item]].found)))
            add_picture(pictures, painter, reader, addition, poster, select(filled, item), runs[item])
        yield from (table, pictures)


def add_rooms(table: Table, addition: Addition, old: Plan, filled: Plan, runs: list[int]) -> None:
    kept = (old_part(filled.ids, addition.side) == old.ids).flatten(1).all(1).tolist()
    verdicts = [judge_room(filled, addition, texts) for texts in (texts_of_plan(filled), texts_of(addition.window))]
    what = "shape" if addition.window.shapes else "free word" if addition.window.items[0].size else "grid word"
    for run, is_kept, verdict, by_new_texts in zip(runs, kept, *verdicts):
        for row in ("all sides", addition.side):
            table.add(row, "old part kept", run, is_kept)
            table.add(row, what, run, verdict.found[0] is not None)
            table.add(row, "new part whole", run, verdict.whole)
            table.add(row, "whole by the new texts", run, by_new_texts.whole)


def add_picture(table: Table, painter: Painter, reader: WordReader, addition: Addition, old: Poster, plan: Plan,
                run: int) -> None:
    """old: the poster whose items have the boxes where the first plan shows them."""
    pixels = painter.draw(plan, 0, texts_of_plan(plan), run).pixels
    rows, columns = offset(addition.side)
    new = judge_room(plan, addition, texts_of_plan(plan))[0].found[0]
    row = "free" if addition.window.items[0].size else "grid"
    table.add(row, "old shapes", run, *(shape_is_drawn(pixels, moved(shape, rows, columns)) for shape in old.shapes))
    table.add(row, "old words", run, *reader.words(pixels, [word.text for word in old.words]))
    if addition.window.words:
        texts = texts_of(addition.window)
        table.add(row, "new word", run, *reader.words(pixels, texts))
        pixels = painter.draw(plan, 0, texts, run).pixels  # for where the old pixels are kept
        table.add(row, "new word by the new texts", run, *reader.words(pixels, texts))
    else:
        table.add(row, "new shape", run, new is not None and shape_is_drawn(pixels, in_picture(new, addition.side)))


def in_picture(item: Item, side: str) -> Item:
    """An item of the window's poster in the padded picture."""
    return moved(item, *window_start(side))
