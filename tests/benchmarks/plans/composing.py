"""Shapes that are moved within a plan, and plans joined of two halves, in drawn pictures."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from glm_core.evaluation.suites.codes import is_right
from glm_core.geometry import TOKEN_PIXELS
from glm_core.plans import Plan, compose, crop
from glm_core.posters import GRID, SIDE, Item, Poster, caption, item_cells

from .cases import SEEDS, first_seed, pairs_to_join, posters_with_shapes
from .hard import judge_all
from .painting import Painter, WordReader, box_is_empty, moved, shape_is_drawn, texts_of_plan
from .planner import EmbeddedPlanner
from .table import Table

HALF = SIDE // 2
Area = tuple[int, int, int, int]  # left, top, width and height in pixels


@dataclass(frozen=True)
class Whole:
    """One whole plan of a poster, and the poster with its items where the plan shows them. run: number of its seed."""

    plan: Plan
    poster: Poster
    run: int
    seed: int


def whole_plan(planner: EmbeddedPlanner, poster: Poster, seed: int, run: int) -> Whole | None:
    """The poster's plan of run ``run``, whose seed is seed + run; None if it is not whole."""
    plan = planner.plan(caption(poster), seed + run, batch=1)
    (verdict,) = judge_all(plan, poster)
    if not verdict.whole:
        return None
    items = tuple(item for item in verdict.found if item)
    return Whole(plan, Poster(poster.background, items), run, seed + run)


def area(item: Item) -> Area:
    """What an item fills of the picture."""
    left, top, pitch = item.require_box()
    return left, top, (2 if item.kind else len(item.text)) * pitch, (2 if item.kind else 1) * pitch


def overlap(a: Item, b: Item) -> bool:
    """Whether the areas of two items have pixels in common."""
    (left, top, width, height), (other_left, other_top, other_width, other_height) = area(a), area(b)
    return (left < other_left + other_width and other_left < left + width
            and top < other_top + other_height and other_top < top + height)


def is_inside(item: Item) -> bool:
    left, top, width, height = area(item)
    return left >= 0 and top >= 0 and left + width <= SIDE and top + height <= SIDE


def free_places(items: Sequence[Item], item: Item) -> list[tuple[int, int]]:
    """By how many rows and columns of cells the item can be moved, to where neither an item is nor itself was."""
    offsets = [(rows, columns) for rows in range(-GRID, GRID) for columns in range(-GRID, GRID)]
    candidates = [(offset, moved(item, *offset)) for offset in offsets]
    return [offset for offset, candidate in candidates
            if is_inside(candidate) and not any(overlap(candidate, other) for other in items)]


def cell_rectangle(item: Item) -> Area:
    """The cells that a shape covers."""
    rows, columns = zip(*item_cells(item))
    left, top, right, bottom = min(columns), min(rows), max(columns) + 1, max(rows) + 1
    x, y, width, height = (TOKEN_PIXELS * cells for cells in (left, top, right - left, bottom - top))
    return x, y, width, height


def move_shape(plan: Plan, shape: Item, rows: int, columns: int) -> Plan:
    """The plan in which a shape and the background at its new place have changed places."""
    x, y, width, height = cell_rectangle(shape)
    new_x, new_y = x + columns * TOKEN_PIXELS, y + rows * TOKEN_PIXELS
    without = compose(plan, crop(plan, new_x, new_y, width, height), x, y)
    return compose(without, crop(plan, x, y, width, height), new_x, new_y)


def measure_moves(planner: EmbeddedPlanner, set_name: str, number: int) -> Iterator[Table]:
    """A shape of each poster is moved; the seeds take turns."""
    table, painter, rng = Table("one shape moved and drawn"), Painter(), random.Random(set_name)
    for i, poster in enumerate(posters_with_shapes(set_name, number)):
        whole = whole_plan(planner, poster, first_seed(set_name, i), i % SEEDS)
        if whole:
            add_move(table, painter, rng, whole)
        yield table


def add_move(table: Table, painter: Painter, rng: random.Random, whole: Whole) -> None:
    items, shape = whole.poster.items, rng.choice(whole.poster.shapes)
    places = free_places(items, shape)
    if not places:
        return
    place = rng.choice(places)
    plan = move_shape(whole.plan, shape, *place)
    pixels = painter.draw(plan, 0, texts_of_plan(plan), whole.seed).pixels
    row = "free" if shape.size else "grid"
    table.add(row, "shape at its new place", whole.run, shape_is_drawn(pixels, moved(shape, *place)))
    table.add(row, "hole empty", whole.run, box_is_empty(pixels, shape, whole.poster.background))
    others = [shape_is_drawn(pixels, other) for other in whole.poster.shapes if other is not shape]
    table.add(row, "other shapes", whole.run, *others)


def measure_joins(planner: EmbeddedPlanner, set_name: str, number: int) -> Iterator[Table]:
    """The left half of one plan beside the right half of another. Items that the seam cuts do not count."""
    table, painter, reader = Table("two halves joined and drawn"), Painter(), WordReader()
    for i, (left, right) in enumerate(pairs_to_join(set_name, number)):
        run = i % SEEDS
        plans = [whole_plan(planner, poster, first_seed(set_name, 2 * i + k), run)
                 for k, poster in enumerate((left, right))]
        if all(plans):
            add_join(table, painter, reader, *plans)
        yield table


def add_join(table: Table, painter: Painter, reader: WordReader, left: Whole, right: Whole) -> None:
    plan = compose(left.plan, crop(right.plan, HALF, 0, HALF, SIDE), HALF, 0)
    kept = [item for item in left.poster.items if area(item)[0] + area(item)[2] <= HALF]
    kept += [item for item in right.poster.items if area(item)[0] >= HALF]
    texts = texts_of_plan(plan)
    pixels = painter.draw(plan, 0, texts, left.seed).pixels
    row, words = "free" if left.poster.items[0].size else "grid", [item for item in kept if not item.kind]
    codes = plan.ids[0].tolist()
    table.add(row, "shapes", left.run, *(shape_is_drawn(pixels, item) for item in kept if item.kind))
    table.add(row, "words", left.run, *reader.words(pixels, [word.text for word in words]))
    table.add(row, "words by codes", left.run, *(is_right(codes, word, texts) for word in words))
    items = len(left.poster.items) + len(right.poster.items)
    table.add(row, "items in one half", left.run, *[True] * len(kept), *[False] * (items - len(kept)))
