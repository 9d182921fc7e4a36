"""Coarse grids drawn as plans of their own: do their shapes stand where the prompt wants them?"""

from collections.abc import Iterator

from PIL import Image

from glm_core.evaluation.suites.posters import measure_shapes
from glm_core.planner import draft_plans, finish_plans
from glm_core.plans import Plan
from glm_core.posters import SIDE, Poster, caption
from tests.support.tasks import task_of

from .cases import SEEDS, first_seed, posters_with_shapes, style_of, texts_of
from .painting import Painter
from .planner import EmbeddedPlanner
from .table import Table

SHEET_STEPS = 4  # of a contact sheet


def measure_drafts(planner: EmbeddedPlanner, set_name: str, number: int) -> Iterator[Table]:
    """One draft of each poster, the same finished, both drawn in few steps; the seeds take turns."""
    table, painter = Table(f"drawn in {SHEET_STEPS} steps"), Painter()
    for i, poster in enumerate(posters_with_shapes(set_name, number)):
        seed, run = first_seed(set_name, i) + i % SEEDS, i % SEEDS
        draft = draft_plans(planner.writer, caption(poster), SIDE, SIDE, seed=seed)
        for name, plan in {"draft": draft, "finished": finish_plans(planner.writer, draft)}.items():
            row = f"{name}, {'free' if style_of(i).free else 'grid'}"
            table.add(row, "shapes", run, *drawn_shapes(painter, plan, poster, seed))
        yield table


def drawn_shapes(painter: Painter, plan: Plan, poster: Poster, seed: int) -> list[bool]:
    """For each shape of the poster, whether its kind and colour are drawn in its zone."""
    pixels = painter.draw(plan, 0, texts_of(poster), seed, SHEET_STEPS).pixels
    return [shape.right for shape in measure_shapes(task_of(poster), Image.fromarray(pixels))]
