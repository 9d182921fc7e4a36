"""What a planner or decoder does before and after, in figures that are no rewards of its training.

Plans are judged by their codes, the planner's at its usual sampling and at that of training. Pictures of right plans
are read by OCR, and looked at for shapes, fonts of Chinese letters, and faint edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..evaluation.suites.codes import judge
from ..evaluation.suites.drawn import drawn_poster, to_pixels
from ..evaluation.suites.faint_edges import faint_edges
from ..evaluation.suites.posters import measure
from ..evaluation.suites.serifs import serifs
from ..glyph import quoted_texts
from ..ocr import Reader
from ..planner import PlannerModel, PromptTokenizer, Sampling, generate_plan, lay_out_prompt
from ..plans import Plan
from ..posters import Poster
from ..posters.words import CHINESE
from .pictures import Painter
from .shares import Shares, add_counts
from .tasks import RLTask

SAMPLINGS = {"default": Sampling(), "T 1": Sampling(temperature=1.0, top_p=1.0)}
ALL_KINDS = "all kinds"
LOOK_AHEAD = 8  # as ``generate`` has it; it saves time and changes no plan

Count = Callable[[], Any]  # called after each task


def require_poster(task: RLTask) -> Poster:
    """The task's poster. Raises ValueError if there is none."""
    if task.poster is None:
        raise ValueError(f"a task to measure must have a poster (got none for {task.prompt!r})")
    return task.poster


def measure_planner(model: PlannerModel, tokenizer: PromptTokenizer, tasks: Sequence[RLTask], plans: int,
                    device: torch.device, count: Count = lambda: None) -> Shares:
    """Words and whole plans that are right: a row for each sampling and kind of task.

    plans: of every task. Those of task i have the seeds from i * plans on, at both samplings.
    """
    shares: Shares = {}
    for i, task in enumerate(tasks):
        layout = lay_out_prompt(tokenizer, model.config, task.prompt, task.width, task.height, task.references)
        for name, sampling in SAMPLINGS.items():
            drawn = generate_plan(model, layout, batch=plans, seed=i * plans, sampling=sampling, device=device,
                                  lookahead=LOOK_AHEAD)
            for kind in (task.kind, ALL_KINDS):
                add_plans(shares, f"{kind}, {name}", task, drawn)
        count()
    return shares


def add_plans(shares: Shares, row: str, task: RLTask, plans: Plan) -> None:
    """Count what is right in all plans [B, h, w] of a task."""
    results = [judge(codes, require_poster(task), quoted_texts(task.prompt)) for codes in plans.ids.tolist()]
    words = [right for result in results for right in result.words]
    add_counts(shares, row, words=(sum(words), len(words)),
               whole_plans=(sum(result.whole for result in results), len(results)))


def measure_decoder(painter: Painter, tasks: Sequence[RLTask], reader: Reader,
                    count: Count = lambda: None) -> Shares:
    """Words that are read, shapes that are right, Chinese letters and posters in the wanted font, and faint edges: a
    row for each kind of task. Every picture is of the task's own plan, with the number of the task as its seed.
    """
    shares: Shares = {}
    for i, task in enumerate(tasks):
        assert task.plan is not None
        counts = picture_counts(task, painter.draw(task.plan, task.prompt, i), reader)
        for kind in (task.kind, ALL_KINDS):
            add_counts(shares, kind, **counts)
        count()
    return shares


def picture_counts(task: RLTask, picture: Image.Image, reader: Reader) -> dict[str, tuple[int, int]]:
    """The counts of each figure."""
    poster, pixels = require_poster(task), to_pixels(picture)
    result, edges = measure(task, picture, reader), faint_edges(pixels, drawn_poster(poster))
    counts = {"words_read": (sum(word.right for word in result.words), len(result.words)),
              "shapes": (sum(shape.right for shape in result.shapes), len(result.shapes)),
              "faint_edges": tuple(edges)}
    return counts | font_counts(poster, pixels)


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
