"""What ComfyUI's page shows of a plan under the mouse: its tokens as JSON."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .draw import Panel, grid_log_probs
from .plan import Plan


def token_table(plan: Plan, picture: Tensor, panels: Sequence[Panel]) -> dict[str, Any]:
    """The tokens of the grids that a picture [B, H, W, 3] shows, in lists and numbers that JSON has.

    size: width and height of the picture in pixels. grids: for each panel its name, its box (see ``Panel``), its number
    of rows and columns, and in reading order a list for each item of the batch: ids, and percents, the probability of
    each token, rounded to 0.01 %; null if the plan has none, or NaN, which JSON lacks.
    """
    return {"size": [picture.shape[2], picture.shape[1]], "grids": [describe(plan, panel) for panel in panels]}


def describe(plan: Plan, panel: Panel) -> dict[str, Any]:
    ids, log_probs = plan.grid(panel.grid), grid_log_probs(plan, panel.grid)
    rows, columns = ids.shape[1:]
    return {"name": panel.grid, "box": list(panel.box), "rows": rows, "columns": columns,
            "ids": ids.flatten(1).tolist(),
            "percents": None if log_probs is None or log_probs.isnan().any() else percents(log_probs.flatten(1))}


def percents(log_probs: Tensor) -> list[list[float]]:
    """In float64, whose numbers of two decimals are short in JSON."""
    return (log_probs.cpu().double().exp() * 100).round(decimals=2).clamp(max=100).tolist()
