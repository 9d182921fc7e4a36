"""Pictures of re-planned words: is the new word read, and does the rest of the picture stay?"""

from collections.abc import Iterator
from itertools import islice

from PIL import Image
from torch import Tensor

from glm_core.evaluation.suites.posters import measure_shapes
from glm_core.plans import grow, select
from glm_core.posters import Poster
from tests.support.tasks import task_of

from .cases import SEEDS, WORD_CHANGES, Change, texts_of
from .painting import Drawing, Painter, WordReader, mean_change, texts_of_plan
from .planner import EmbeddedPlanner
from .replanning import Start, repaired, replanned, starts
from .table import Table


def measure_redrawing(planner: EmbeddedPlanner, set_name: str, number: int) -> Iterator[Table]:
    """Changes of words, ``number`` of them, each with the plans of one seed; the seeds take turns."""
    table = Table("one word re-planned and drawn", note="Mean change: outside what was drawn again, of 255.")
    painter, reader = Painter(), WordReader()
    words = (start for start in starts(planner, set_name, 2 * number) if start.change.kind in WORD_CHANGES)
    for start in islice(words, number):
        item = start.seed // SEEDS % len(start.runs)
        change, run = start.change, start.runs[item]
        old = painter.draw(start.plan, item, texts_of(change.before), start.seed + run)
        add_words_and_shapes(table, "first picture", run, reader, old, change.before, change)
        for name, (drawing, region) in drawn_again(planner, painter, start, item, old).items():
            add_words_and_shapes(table, name, run, reader, drawing, change.after, change)
            table.add(name, "mean change", run, mean_change(old.pixels, drawing.pixels, region))
        yield table


def drawn_again(planner: EmbeddedPlanner, painter: Painter, start: Start, item: int,
                old: Drawing) -> dict[str, tuple[Drawing, Tensor]]:
    """The re-planned item, drawn in several ways, each with the cells that were drawn again, bool [h, w].

    A letter that begins inside a cell reaches into the next one, whose token need not change.
    """
    plan = replanned(planner, start)["mask on the item"]
    repaired_plan = repaired(planner, start, plan)
    changed = plan.ids[item] != start.plan.ids[item]
    around = grow(changed[None], 1, 1)[0]
    around_repaired = grow((repaired_plan.ids != start.plan.ids)[item][None], 1, 1)[0]
    seed, texts = start.seed + start.runs[item], texts_of_plan(select(plan, item))
    return {
        "all drawn again": (painter.draw(plan, item, texts, seed), around),
        "changed cells": (painter.redraw(plan, item, texts, old, changed), changed),
        "changed cells and those around": (painter.redraw(plan, item, texts, old, around), around),
        "the same, repaired": (painter.redraw(repaired_plan, item, texts, old, around_repaired), around_repaired),
    }


def add_words_and_shapes(table: Table, row: str, run: int, reader: WordReader, drawing: Drawing, poster: Poster,
                         change: Change) -> None:
    """What a picture shows of its poster."""
    wanted = [word.text for word in poster.words]
    read = dict(zip(wanted, reader.words(drawing.pixels, wanted)))
    table.add(row, "changed word", run, read.pop(poster.items[change.index].text))
    table.add(row, "other words", run, *read.values())
    shapes = measure_shapes(task_of(poster), Image.fromarray(drawing.pixels))
    table.add(row, "shapes", run, *(shape.right for shape in shapes))
