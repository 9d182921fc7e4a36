"""Prompts → pictures → figures, part by part, so that one part is in memory at a time."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..checkpoint import DIFFUSION, GLYPH, VAE, VISION
from ..errors import check_counts
from ..images import read_image
from ..pipeline import Place, decode_pixels, draw_noise, encode_glyphs, encode_images, load, load_planner, render_latent
from ..plan import Plan
from ..planner import plan_prompt
from ..planner.grids import check_size
from ..training.posters import Item
from ..vision import tokenize
from .metrics import WordResult, mean, pair_words
from .ocr import make_reader
from .shapes import seen_kinds
from .sheet import contact_sheet
from .tasks import Task, read_tasks

Reader = Callable[[np.ndarray], list[str]]
SETTINGS = ("model", "prompts", "width", "height", "steps", "guidance", "seed", "without")
PLAN, GLYPHS, PREVIEW = WITHOUT = ("plan", "glyphs", "preview")


@dataclass(frozen=True)
class ShapeResult:
    """A wanted shape, and the kind that stands in its zone in its colour (None: no shape)."""

    wanted: Item
    seen: str | None

    @property
    def right(self) -> bool:
        return self.seen == self.wanted.kind


@dataclass(frozen=True)
class PictureResult:
    task: Task
    read: list[str]
    words: list[WordResult]
    shapes: list[ShapeResult]

    def to_json(self) -> dict:
        return {
            "prompt": self.task.prompt, "texts": self.task.texts, "read": self.read,
            "words": [asdict(word) | {"right": word.right} for word in self.words],
            "shapes": [{"kind": shape.wanted.kind, "colour": shape.wanted.colour, "zone": shape.wanted.zone, "seen": shape.seen,
                        "right": shape.right} for shape in self.shapes],
        }


@contextmanager
def each_message_once() -> Iterator[None]:
    """The planner's remarks on the size are the same for every prompt."""
    seen = set()

    def is_new(record: logging.LogRecord) -> bool:
        known = record.getMessage() in seen
        seen.add(record.getMessage())
        return not known

    logging.getLogger().addFilter(is_new)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(is_new)


def tokenize_all(args, images: Sequence[list[Tensor]], place: Place) -> list[list[Plan]]:
    """The tokens of every prompt's pictures; without any, the tower is not loaded."""
    if not any(images):
        return [[] for _ in images]
    vision = load(args.model, VISION, place)
    return [[tokenize(vision, image, place.device, place.dtype) for image in of_prompt]
            for of_prompt in tqdm(images, desc="tokenize", unit="prompt")]


def plan_all(args, tasks: Sequence[Task], tokens: Sequence[list[Plan]], place: Place) -> list[Plan]:
    """Picture i is planned with seed + i."""
    planner = load_planner(args.model, place)
    bar = tqdm(tasks, desc="plan", unit="prompt")
    with each_message_once():
        return [plan_prompt(*planner, task.prompt, args.width, args.height, seed=args.seed + i, preview=args.without != PREVIEW,
                          references=references, device=place.device, dtype=place.dtype)
                for i, (task, references) in enumerate(zip(bar, tokens, strict=True))]


def encode_pictures(args, images: Sequence[list[Tensor]], tokens: Sequence[list[Plan]], place: Place) -> list[list[tuple[Tensor, Plan]]]:
    """Latent and tokens of every prompt's pictures."""
    if not any(images):
        return [[] for _ in images]
    vae = load(args.model, VAE, place)
    return [list(zip(encode_images(vae, of_prompt, plans, place), plans)) for of_prompt, plans in zip(images, tokens, strict=True)]


def encode_all(args, tasks: Sequence[Task], place: Place) -> tuple[list[Tensor], Tensor]:
    """Glyphs of every prompt, and those of no prompt."""
    encoder = load(args.model, GLYPH, place)
    bar = tqdm(tasks, desc="encode", unit="prompt")
    return [encode_glyphs(encoder, task.prompt, place) for task in bar], encode_glyphs(encoder, "", place)


def draw_all(args, plans: Sequence[Plan], glyphs: Sequence[Tensor], no_glyphs: Tensor, references: Sequence[list[tuple[Tensor, Plan]]],
             place: Place) -> list[Tensor]:
    """Normalised latents; picture i starts from the noise of seed + i."""
    dit = load(args.model, DIFFUSION, place)
    latents = []
    with tqdm(total=len(plans) * args.steps, desc="draw", unit="step") as bar:
        for i, (plan, glyph, pictures) in enumerate(zip(plans, glyphs, references, strict=True)):
            noise = draw_noise(args.seed + i, 1, plan.width, plan.height)
            latents.append(render_latent(dit, plan, glyph, no_glyphs, noise, place, steps=args.steps, guidance=args.guidance,
                                         references=pictures, on_step=lambda i: bar.update()))
    return latents


def decode_all(args, latents: Sequence[Tensor], place: Place) -> list[Image.Image]:
    vae = load(args.model, VAE, place)
    bar = tqdm(latents, desc="decode", unit="picture")
    return [Image.fromarray((decode_pixels(vae, latent, place)[0] * 255).round().byte().numpy()) for latent in bar]


def measure(task: Task, picture: Image.Image, reader: Reader) -> PictureResult:
    read = reader(np.asarray(picture))
    return PictureResult(task, read, pair_words(task.words, read), measure_shapes(task, picture))


def measure_shapes(task: Task, picture: Image.Image) -> list[ShapeResult]:
    return [ShapeResult(shape, kind) for shape, kind in zip(task.shapes, seen_kinds(np.asarray(picture), task.shapes))]


def exchanged(items: Sequence) -> list:
    """Everybody gets what belongs to the next one."""
    return [*items[1:], items[0]]


def summary(results: Sequence[PictureResult]) -> dict:
    """All figures; those that nothing was wanted for are None."""
    words = [word for result in results for word in result.words]
    shapes = [shape for result in results for shape in result.shapes]
    return {
        "prompts": len(results), "words": len(words), "word_accuracy": mean([word.right for word in words]),
        "ned": mean([word.ned for word in words]), "shapes": len(shapes), "shape_accuracy": mean([shape.right for shape in shapes]),
    }


def table(figures: dict) -> str:
    cells = [f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value) for value in figures.values()]
    titles = [{"ned": "NED"}.get(name, name.replace("_", " ")) for name in figures]
    widths = [max(map(len, pair)) for pair in zip(titles, cells)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in (titles, cells))


@torch.inference_mode()
def draw_pictures(args, tasks: Sequence[Task], place: Place) -> list[Image.Image]:
    images = [[read_image(path) for path in task.images] for task in tasks]
    tokens = tokenize_all(args, images, place)
    plans = plan_all(args, tasks, tokens, place)
    if args.without == PLAN:
        plans = exchanged(plans)
    glyphs, no_glyphs = encode_all(args, tasks, place)
    if args.without == GLYPHS:
        glyphs = [no_glyphs] * len(tasks)
    references = encode_pictures(args, images, tokens, place)
    return decode_all(args, draw_all(args, plans, glyphs, no_glyphs, references, place), place)


def evaluate(args, place: Place) -> None:
    """Draw the prompts of ``args.prompts``, print the figures, and write ``args.json`` and ``args.sheet`` where given.

    ``args.without``: plan gives every prompt the next one's plan (and also counts the shapes of that prompt), glyphs spells
    no texts, preview plans without a preview grid.
    """
    check_counts(args, "steps", "limit")
    check_size(args.width, args.height)
    tasks = read_tasks(args.prompts, args.limit)
    reader = make_reader()
    pictures = draw_pictures(args, tasks, place)
    results = [measure(task, picture, reader) for task, picture in zip(tqdm(tasks, desc="read", unit="picture"), pictures)]
    figures = summary(results)
    if args.without == PLAN:
        followed = [shape.right for task, picture in zip(exchanged(tasks), pictures) for shape in measure_shapes(task, picture)]
        figures["plans_shape_accuracy"] = mean(followed)
    print(table(figures))
    if args.json:
        settings = {name: value if isinstance(value := getattr(args, name), int | float) else str(value) for name in SETTINGS}
        data = figures | {"settings": settings, "pictures": [result.to_json() for result in results]}
        args.json.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    if args.sheet:
        contact_sheet(pictures, [[result.task.prompt, f"read: {' '.join(result.read) or '-'}"] for result in results]).save(args.sheet)
