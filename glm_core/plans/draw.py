"""Pictures of a plan's token grids."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import GLMImageError
from ..geometry import check_range
from .palette import heat_colours, look_up
from .plan import DROPPED, Plan
from .rulers import FRAME, add_numbers, add_scale

LARGEST_CELL = 64
LEAST_CELL_WITH_LINES = 4
CELL_OF_A_LINE = 32  # pixels of a cell for each pixel of a line's width
GAP = 16  # pixels between two grids
TARGET, COARSE, BOTH = GRIDS = "target", "preview", "both"
TOKENS, CONFIDENCE = SUBJECTS = "tokens", "confidence"
PLAIN, LINES, NUMBERS = MARKS = "none", "lines", "lines and numbers"


@dataclass(frozen=True)
class Look:
    """How a plan is drawn.

    grid: "target", "preview" (the coarse one), or "both" side by side where the plan has both.
    cell: side of a target token's square in pixels; with "both", the coarse grid has the same height.
    show: "tokens", or "confidence": the probability of each, see ``heat_colours``.
    marks: "none", "lines" between the squares, or "lines and numbers" of rows and columns, counted from 0; what is too
    small to be seen or read is left out.

    Raises GLMImageError unless cell is from 1 to 64 and the others are among these.
    """

    grid: str = TARGET
    cell: int = 16
    show: str = TOKENS
    marks: str = PLAIN

    def __post_init__(self) -> None:
        check_range("cell", self.cell, 1, LARGEST_CELL)
        for name, choices in (("grid", GRIDS), ("show", SUBJECTS), ("marks", MARKS)):
            if getattr(self, name) not in choices:
                raise GLMImageError(f"{name} must be one of {', '.join(choices)} (got {getattr(self, name)!r})")


def draw_grid(ids: Tensor, cell: int, palette: Tensor | None = None) -> Tensor:
    """Draw token grids [B, h, w] as squares of ``cell`` pixels: float32 [B, h * cell, w * cell, 3] in 0...1.

    palette: colours of the codes [codes, 3], from ``codebook_colours``; without it every id has some fixed colour.
    Raises GLMImageError unless cell is from 1 to 64, or if an id is not in the palette.
    """
    check_range("cell", cell, 1, LARGEST_CELL)
    return look_up(ids, palette).repeat_interleave(cell, 1).repeat_interleave(cell, 2)


@dataclass(frozen=True)
class Panel:
    """Where a picture of a plan shows a grid.

    grid: "target" or "preview". box: left, top, width and height of all its squares together, in pixels.
    """

    grid: str
    box: tuple[int, int, int, int]


def draw_plan(plan: Plan, look: Look, palette: Tensor | None = None) -> Tensor:
    """Draw the grids of a plan: float32 [B, H, W, 3] in 0...1 on the CPU. palette: as in ``draw_grid``.

    Without numbers and with one grid, a token is a square of ``look.cell`` pixels. Raises GLMImageError if the plan
    lacks what is to be drawn, or if an id is not in the palette.
    """
    return draw_panels(plan, look, palette)[0]


def draw_panels(plan: Plan, look: Look, palette: Tensor | None = None) -> tuple[Tensor, list[Panel]]:
    """What ``draw_plan`` draws, and where its grids are."""
    plan = plan.to("cpu")
    grids = wanted_grids(plan, look.grid)
    squares = [look_up(plan.grid(name), palette) for name in grids]
    if look.show == CONFIDENCE:
        squares = [probability_colours(plan, name) for name in grids]
    height = plan.grid(grids[-1]).shape[1] * look.cell
    drawn = [draw_panel(panel, height, look.marks) for panel in squares]
    picture = side_by_side(drawn)
    if look.marks == NUMBERS and look.show == CONFIDENCE:
        picture = add_scale(picture)
    return picture, locate_panels(plan, grids, drawn, height)


def locate_panels(plan: Plan, grids: list[str], drawn: list[Tensor], height: int) -> list[Panel]:
    """Where ``side_by_side`` puts drawn panels [B, H, W, 3], whose squares are ``height`` pixels high.

    Numbers stand above the squares and on their left, so squares end where their panel ends.
    """
    panels, right = [], -GAP
    for name, picture in zip(grids, drawn):
        rows, columns = plan.grid(name).shape[1:]
        width = int(edges(columns, height / rows)[-1])
        right += GAP + picture.shape[2]
        panels.append(Panel(name, (right - width, picture.shape[1] - height, width, height)))
    return panels


def wanted_grids(plan: Plan, grid: str) -> list[str]:
    if grid == BOTH:
        return [TARGET] if plan.coarse is None else [COARSE, TARGET]
    return [grid]


def probability_colours(plan: Plan, name: str) -> Tensor:
    """Colours [B, h, w, 3] of the probabilities of a grid's tokens.

    Raises GLMImageError if the plan has none, or NaN.
    """
    log_probs = grid_log_probs(plan, name)
    if log_probs is None:
        raise GLMImageError("show = confidence: the plan must have the probabilities of its tokens (got none); plans "
                            "read from an image or a file of version 0.1, cropped, composed or padded have none")
    if log_probs.isnan().any():
        raise GLMImageError("show = confidence: the probabilities of the plan's tokens must be numbers (got "
                            f"{int(log_probs.isnan().sum())} NaN, as from a damaged planner)")
    return heat_colours(log_probs) * (plan.grid(name) != DROPPED)[..., None]


def grid_log_probs(plan: Plan, name: str) -> Tensor | None:
    """The log-probabilities of a grid's tokens, float32 [B, h, w]; None if the plan has none."""
    if plan.log_probs is None:
        return None
    grid = plan.grid(name)
    coarse = plan.log_probs.shape[1] - plan.ids[0].numel()
    log_probs = plan.log_probs[:, :coarse] if name == COARSE else plan.log_probs[:, coarse:]
    return log_probs.view(grid.shape)


def draw_panel(squares: Tensor, height: int, marks: str) -> Tensor:
    """One grid [B, h, w, 3] as squares, ``height`` pixels high, with its lines and numbers."""
    rows, columns = squares.shape[1:3]
    cell = height / rows
    row_edges, column_edges = (edges(count, cell) for count in (rows, columns))
    picture = squares.repeat_interleave(row_edges.diff(), 1).repeat_interleave(column_edges.diff(), 2)
    if marks != PLAIN and cell >= LEAST_CELL_WITH_LINES:
        draw_lines(picture, row_edges, column_edges, max(1, round(cell / CELL_OF_A_LINE)))
    return add_numbers(picture, row_edges, column_edges) if marks == NUMBERS else picture


def edges(count: int, cell: float) -> Tensor:
    """Where ``count`` cells begin and end, whole pixels [count + 1]."""
    return torch.arange(count + 1).mul(cell).round().long()


def draw_lines(picture: Tensor, row_edges: Tensor, column_edges: Tensor, width: int) -> None:
    """Lines in place, at the upper and left edge of every cell but the first ones."""
    for offset in range(width):
        picture[:, row_edges[1:-1] + offset] = FRAME
        picture[:, :, column_edges[1:-1] + offset] = FRAME


def side_by_side(panels: list[Tensor]) -> Tensor:
    """Pictures [B, H, W, 3] of one height in a row, with gaps."""
    first, *others = panels
    for panel in others:
        first = torch.cat((first, first.new_full((*first.shape[:2], GAP, 3), FRAME), panel), dim=2)
    return first
