"""What a run trains on, and its held-out prompts: those of a file, or random posters for the embedded model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..checkpoint import DIFFUSION, locate, read_config_only
from ..errors import GLMImageError
from ..evaluation.suites import posters
from ..pipeline import Compute, PlanRequest, Progress, plan
from ..plans import load_plan
from ..posters import CODEBOOK_SIZE
from .held_out import decoder_tasks, planner_tasks
from .posters import EDITS, PLANNER_POSTERS, decoder_source, planner_source
from .tasks import RLTask, TaskSource

MEASURED = 10  # every tenth prompt of a file is held out for the figures
KIND = "prompts"  # of all prompts of a file


class Prompts(NamedTuple):
    source: TaskSource
    measured: list[RLTask]


def planner_posters(half: str, count: int, edits: bool) -> Prompts:
    """Random posters, and ``count`` tasks of each kind with words of this half of the held-out ones.

    edits: whether to train on edits, too; they are measured in any case.
    """
    kinds = (*PLANNER_POSTERS, EDITS) if edits else tuple(PLANNER_POSTERS)
    return Prompts(planner_source(kinds), planner_tasks(half, count))


def decoder_posters(half: str, count: int) -> Prompts:
    """As ``planner_posters``, with their plans."""
    return Prompts(decoder_source(), decoder_tasks(half, count))


def check_posters(model: Path) -> None:
    """Raise GLMImageError unless a model has the embedded model's codes, in which random posters are written."""
    codes = read_config_only(locate(model, DIFFUSION), DIFFUSION).get("prior_vq_quantizer_codebook_size")
    if codes != CODEBOOK_SIZE:
        raise GLMImageError(f"--tasks must be given: random posters need the embedded model's {CODEBOOK_SIZE} codes "
                            f"(got {codes})")


def read_tasks(path: Path, side: int) -> list[RLTask]:
    """The tasks of a JSONL file, for pictures of side x side pixels.

    Raises GLMImageError if there are fewer than two, if one has reference images, or as ``posters.tasks`` does.
    """
    tasks = posters.tasks(path)
    if len(tasks) < 2:
        raise GLMImageError(f"{path}: must have at least two prompts, one to train on and one to measure "
                            f"(got {len(tasks)})")
    for task in tasks:
        if task.images:
            raise GLMImageError(f"{path}: prompts to train on must have no reference images (got {task.prompt!r})")
    return [RLTask(task.prompt, task.texts, (), task.shapes, KIND, side, side) for task in tasks]


def split_tasks(tasks: Sequence[RLTask], count: int) -> Prompts:
    """Every tenth task is measured, up to ``count``; the others are trained on, in random order, but none that has the
    prompt of such a tenth one. Raises GLMImageError if nothing is left to train on.
    """
    held_out = {task.prompt for task in tasks[::MEASURED]}
    others = [task for task in tasks if task.prompt not in held_out]
    if not others:
        raise GLMImageError("--tasks must have a prompt to train on beside those to measure (got the same ones)")
    return Prompts(TaskSource({KIND: lambda rng: rng.choice(others)}), list(tasks[::MEASURED][:count]))


def with_plans(tasks: Sequence[RLTask], model: Path, compute: Compute, folder: Path, progress: Progress,
               seed: int) -> list[RLTask]:
    """The tasks with plans of the model's planner, which are kept in ``folder`` and not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:05}.safetensors" for i in range(len(tasks))]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    requests = [PlanRequest(tasks[i].prompt, tasks[i].width, tasks[i].height, seed=seed + i) for i in missing]
    for i, made in zip(missing, plan(model, requests, compute, progress) if missing else []):
        partial = paths[i].with_suffix(".partial")
        made.save(partial)
        partial.replace(paths[i])
    return [replace(task, plan=load_plan(path)) for task, path in zip(tasks, paths)]
