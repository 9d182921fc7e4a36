"""What a planner or decoder does before and after, in figures that are no rewards of its training.

Plans are judged by their codes, the planner's at its usual sampling and at that of training. Pictures of right plans
are read by OCR, and looked at for shapes, fonts of Chinese letters, and faint edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from ..evaluation.suites.codes import judge
from ..evaluation.suites.drawn import drawn_poster, to_pixels
from ..evaluation.suites.faint_edges import faint_edges
from ..evaluation.suites.posters import PosterResult, measure
from ..evaluation.suites.serifs import serifs
from ..glyph import quoted_texts
from ..ocr import Reader
from ..pipeline import Compute, LoadedPlanner
from ..planner import Sampling, generate_plan, lay_out_prompt
from ..plans import Plan, select
from ..posters import Poster
from ..posters.words import CHINESE
from .pictures import Painter
from .shares import Shares, add_counts
from .tasks import RLTask

SAMPLINGS = {"default": Sampling(), "T 1": Sampling(temperature=1.0, top_p=1.0)}
ALL_KINDS = "all kinds"
LOOK_AHEAD = 8  # as ``generate`` has it; it saves time and changes no plan

Count = Callable[[], Any]  # called after each task


class Look(NamedTuple):
    """What draws pictures, and what reads them."""

    painter: Painter
    reader: Reader


def measure_planner(planner: LoadedPlanner, compute: Compute, tasks: Sequence[RLTask], plans: int, look: Look | None,
                    count: Count = lambda: None) -> Shares:
    """A row for each sampling and kind of task: words and whole plans that are right by the codes, if a task has a
    poster; words that are read and shapes in a picture of its first plan, if it has no reference images.

    plans: of every task. Those of task i have the seeds from i * plans on, at both samplings. look: None for no
    pictures.
    """
    model, shares, totals = planner.model, Shares(), Shares()
    for i, task in enumerate(tasks):
        layout = lay_out_prompt(planner.tokenizer, model.config, task.prompt, task.width, task.height, task.references)
        for name, sampling in SAMPLINGS.items():
            drawn = generate_plan(model, layout, batch=plans, seed=i * plans, sampling=sampling, lookahead=LOOK_AHEAD,
                                  device=compute.device, dtype=compute.dtype)
            counts = plan_counts(task.poster, task.prompt, drawn) if task.poster else {}
            if look and not task.references:
                picture = look.painter.draw(select(drawn, 0), task.prompt, i)
                counts |= read_counts(measure(task, picture, look.reader))
            add_counts(shares, f"{task.kind}, {name}", **counts)
            add_counts(totals, f"{ALL_KINDS}, {name}", **counts)
        count()
    return shares | totals


def plan_counts(poster: Poster, prompt: str, plans: Plan) -> dict[str, tuple[int, int]]:
    """What is right in all plans [B, h, w] for a poster's prompt, by their codes."""
    results = [judge(codes, poster, quoted_texts(prompt)) for codes in plans.ids.tolist()]
    words = [right for result in results for right in result.words]
    return {"words": (sum(words), len(words)),
            "whole_plans": (sum(result.whole for result in results), len(results))}


def read_counts(result: PosterResult) -> dict[str, tuple[int, int]]:
    """What is right in a picture."""
    return {"words_read": (sum(word.right for word in result.words), len(result.words)),
            "shapes": (sum(shape.right for shape in result.shapes), len(result.shapes))}


def measure_decoder(look: Look, tasks: Sequence[RLTask], count: Count = lambda: None) -> Shares:
    """Words that are read, shapes that are right, Chinese letters and posters in the wanted font, and faint edges: a
    row for each kind of task. Every picture is of the task's own plan, with the number of the task as its seed.
    """
    shares, totals = Shares(), Shares()
    for i, task in enumerate(tasks):
        assert task.plan is not None
        counts = picture_counts(task, look.painter.draw(task.plan, task.prompt, i), look.reader)
        add_counts(shares, task.kind, **counts)
        add_counts(totals, ALL_KINDS, **counts)
        count()
    return shares | totals


def picture_counts(task: RLTask, picture: Image.Image, reader: Reader) -> dict[str, tuple[int, int]]:
    """The counts of each figure; those of fonts and edges only for a task with a poster."""
    counts = read_counts(measure(task, picture, reader))
    if task.poster is None:
        return counts
    pixels = to_pixels(picture)
    edges = faint_edges(pixels, drawn_poster(task.poster))
    return counts | {"faint_edges": (edges.faint, edges.flat)} | font_counts(task.poster, pixels)


def font_counts(poster: Poster, pixels: Tensor) -> dict[str, tuple[int, int]]:
    """How many Chinese letters have serifs if they should, or none if they should not, and the same of the poster by
    the mean of its letters. pixels: [H, W, 3] in 0...1."""
    words = [word for word in poster.words if word.text[0] in CHINESE]
    if not words:
        return {}
    sign = 1 if poster.font else -1
    found = [sign * value for word in words for value in serifs(pixels, word, poster.background)]
    return {"letters_in_font": (sum(value > 0 for value in found), len(found)),
            "posters_in_font": (int(sum(found) > 0), 1)}
