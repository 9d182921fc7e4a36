"""The picture of a plan that is saved: its grids, its prompt and its size."""

from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from ..fonts import Font, caption_font, readable, wrap
from ..images import to_image
from .draw import BOTH, LARGEST_CELL, LINES, Look, draw_plan
from .origin import Draft, Drawn, Edited, Origin, Read, prompts_of
from .plan import Plan
from .rulers import FRAME

GRID_SIDE, NARROWEST, MARGIN = 512, 512, 20  # pixels; GRID_SIDE: at most, of the target grid
FONT_SIZE, LINE = 20, 28
MOST_LETTERS, MOST_LINES = 600, 6  # of a prompt, and of the details
PROMPT_INK, DETAIL_INK = "#f0f0f0", "#9a9a9a"


def draw_card(plan: Plan, palette: Tensor | None = None) -> Image.Image:
    """A picture of a plan's first item. palette: as in ``draw_plan``, which also says what is raised."""
    cell = max(1, min(LARGEST_CELL, GRID_SIDE // max(plan.ids.shape[1:])))
    grids = to_image(draw_plan(plan, Look(BOTH, cell, marks=LINES), palette)[0])
    origin = plan.origins[0] if plan.origins else None
    texts = [prompt[:MOST_LETTERS] for prompt in prompts_of(origin)[:MOST_LINES]] if origin else []
    font = caption_font(texts, FONT_SIZE)
    width = max(grids.width, NARROWEST)
    prompt = shorten([line for text in texts for line in wrap(readable(text, font), font, width)])
    details = shorten(wrap(readable(details_of(plan, origin)[:MOST_LETTERS], font), font, width))
    return put_together(grids, prompt, details, width, font)


def shorten(lines: list[str]) -> list[str]:
    """At most MOST_LINES; the end of the last one makes room for an ellipsis."""
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1][:-3]} …"]


def details_of(plan: Plan, origin: Origin | None) -> str:
    """One line: the size of the picture and of the grid, and where the plan comes from."""
    rows, columns = plan.ids.shape[1:]
    return f"{plan.width} x {plan.height} pixels, {columns} x {rows} tokens{source_of(origin)}"


def source_of(origin: Origin | None) -> str:
    match origin:
        case Edited(operation=operation):
            return f", edited ({operation})"
        case Read(size=(width, height)):
            return f", read from an image of {width} x {height} pixels"
        case Draft(size=(width, height), seed=seed):
            return f", draft of an image of {width} x {height} pixels, seed {seed}"
        case Drawn(seed=seed):
            return f", seed {seed}"
    return ""


def put_together(grids: Image.Image, prompt: Sequence[str], details: Sequence[str], width: int,
                 font: Font) -> Image.Image:
    """The grids in the middle above the lines of text."""
    lines = [*((line, PROMPT_INK) for line in prompt), *((line, DETAIL_INK) for line in details)]
    height = MARGIN + grids.height + MARGIN + LINE * len(lines) + MARGIN // 2
    card = Image.new("RGB", (width + 2 * MARGIN, height), (round(FRAME * 255),) * 3)
    card.paste(grids, (MARGIN + (width - grids.width) // 2, MARGIN))
    draw = ImageDraw.Draw(card)
    for i, (line, ink) in enumerate(lines):
        draw.text((MARGIN, MARGIN + grids.height + MARGIN + LINE * i), line, fill=ink, font=font, anchor="lm")
    return card
