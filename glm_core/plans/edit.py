"""Operations on plans: free functions that say what becomes of origins, coarse grid and log-probabilities."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GLMImageError
from ..geometry import LARGEST_SIDE, SMALLEST_SIDE, TOKEN_PIXELS, check_size, to_tokens
from .batch import check_batch
from .origin import Edited, Origin
from .plan import DROPPED, Plan
from .regions import token_region


def select(plan: Plan, index: int, count: int = 1) -> Plan:
    """The ``count`` items from ``index`` on, counted from 0. They stay as they are, so all of their parts are kept.

    Raises GLMImageError if the batch does not have these items.
    """
    if not 0 <= index < plan.batch:
        raise GLMImageError(f"index must be from 0 to {plan.batch - 1}, as the batch has {plan.batch} plans "
                            f"(got {index})")
    rest = plan.batch - index
    if not 1 <= count <= rest:
        raise GLMImageError(f"count must be from 1 to {rest}, as {rest} of {plan.batch} plans are left from index "
                            f"{index} on (got {count})")
    return take(plan, range(index, index + count))


def take(plan: Plan, items: Sequence[int]) -> Plan:
    """These items, by their numbers from 0 and in this order, as they are. Raises GLMImageError if one is not there."""
    for index in items:
        if not 0 <= index < plan.batch:
            raise GLMImageError(f"indices must be from 0 to {plan.batch - 1}, as the batch has {plan.batch} plans "
                                f"(got {index})")
    indices = torch.tensor(list(items), device=plan.ids.device)
    coarse, log_probs = (tensor if tensor is None else tensor[indices] for tensor in (plan.coarse, plan.log_probs))
    return Plan(plan.ids[indices], coarse, tuple(plan.origins[i] for i in items) if plan.origins else (), log_probs)


def join(plans: Sequence[Plan]) -> Plan:
    """One batch of the items of all plans, in order.

    Origins are kept; one that is not known becomes Edited without sources, unless none is known. Coarse grids are kept
    if all plans have one, and log-probabilities if all plans have them and either all or none have a coarse grid.
    Raises GLMImageError if the plans, or their coarse grids, are of different sizes.
    """
    plans = [plan.to(plans[0].ids.device) for plan in plans]
    check_sizes("plans to join must have the same size, rows x columns", [plan.ids for plan in plans])
    coarse = [plan.coarse for plan in plans if plan.coarse is not None]
    check_sizes("plans to join must have preview grids of the same size, rows x columns", coarse)
    log_probs = [plan.log_probs for plan in plans if plan.log_probs is not None]
    has_coarse, has_log_probs = len(coarse) == len(plans), len(log_probs) == len(plans)
    origins = [origin for plan in plans for origin in plan.origins or (Edited("join"),) * plan.batch]
    return Plan(torch.cat([plan.ids for plan in plans]), torch.cat(coarse) if has_coarse else None,
                tuple(origins) if any(plan.origins for plan in plans) else (),
                torch.cat(log_probs) if has_log_probs and (has_coarse or not coarse) else None)


def check_sizes(rule: str, grids: Sequence[Tensor]) -> None:
    """Raise GLMImageError with ``rule`` unless all grids [B, rows, columns] are of one size."""
    found = dict.fromkeys("x".join(map(str, grid.shape[1:])) for grid in grids)
    if len(found) > 1:
        raise GLMImageError(f"{rule} (got {', '.join(found)})")


def crop(plan: Plan, x: int, y: int, width: int, height: int) -> Plan:
    """The part of width x height pixels whose top left corner is x, y; all four are multiples of 32.

    Origins become Edited. Coarse grid and log-probabilities are dropped: they are those of the whole picture.
    Raises GLMImageError if the part is not inside the plan.
    """
    reason = f", as the plan is {plan.width}x{plan.height} pixels"
    left = to_tokens("x", x, 0, plan.width - TOKEN_PIXELS, reason)
    top = to_tokens("y", y, 0, plan.height - TOKEN_PIXELS, reason)
    columns = to_tokens("width", width, TOKEN_PIXELS, plan.width - x, f" for x = {x}{reason}")
    rows = to_tokens("height", height, TOKEN_PIXELS, plan.height - y, f" for y = {y}{reason}")
    return plan.edited("crop", plan.ids[:, top : top + rows, left : left + columns])


def compose(base: Plan, other: Plan, x: int = 0, y: int = 0, mask: Tensor | None = None) -> Plan:
    """``base`` with the tokens of ``other``, or of the part of it that a mask marks, at x, y.

    A token keeps its meaning only together with its neighbours, so whole items should be moved, not parts of them.

    x, y: top left corner of ``other`` in pixels, multiples of 32. They may be negative; what lies outside is cut off.
    mask: of ``other``, see ``token_region``; a region of its tokens is one, too. None: all of it.
    The batches of plans and mask are equal or 1. Item i gets the origin Edited, whose sources are base's item i and
    other's. Coarse grid and log-probabilities are dropped: they are those of a layout that is no more.
    Raises GLMImageError if ``other`` lies outside altogether, if batches do not match, and on a mask as
    ``token_region`` does.
    """
    batch = max(base.batch, other.batch)
    check_batch("base", base.batch, batch, "that of other")
    check_batch("other", other.batch, batch, "that of base")
    reason = f", as other is {other.width}x{other.height} pixels and base {base.width}x{base.height}"
    column = to_tokens("x", x, TOKEN_PIXELS - other.width, base.width - TOKEN_PIXELS, reason)
    row = to_tokens("y", y, TOKEN_PIXELS - other.height, base.height - TOKEN_PIXELS, reason)
    rows, columns = other.ids.shape[1:]
    region = torch.ones(1, rows, columns).bool() if mask is None else token_region(mask, batch, rows, columns)
    (base_rows, base_columns), device = base.ids.shape[1:], base.ids.device
    shift = column, base_columns - columns - column, row, base_rows - rows - row  # negative: so much is cut off
    ids = torch.where(F.pad(region.to(device), shift), F.pad(other.ids.to(device), shift), base.ids)
    return Plan(ids, origins=edited_origins("compose", batch, base, other))


def pad(plan: Plan, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0) -> tuple[Plan, Tensor]:
    """The plan with so many pixels of room on each side, multiples of 32, and the region of all cells without tokens.

    New cells are DROPPED until they are planned. region: bool [B, rows, columns], with those that had no token before.
    Origins become Edited. Coarse grid and log-probabilities are dropped: they are those of the smaller picture.
    Raises GLMImageError if the result would be larger than a picture can be.
    """
    sides = {"left": left, "right": right, "top": top, "bottom": bottom}
    cells = [to_tokens(name, pixels, 0, LARGEST_SIDE - SMALLEST_SIDE) for name, pixels in sides.items()]
    padded = plan.edited("pad", F.pad(plan.ids, cells, value=DROPPED))
    check_size(padded.width, padded.height)
    return padded, padded.ids == DROPPED


def edited_origins(operation: str, batch: int, *plans: Plan) -> tuple[Origin, ...]:
    """Edited for each item of ``batch``: made of the item of the same number of each plan, or of its only one."""
    known = [plan.origins * (batch if plan.batch == 1 else 1) for plan in plans if plan.origins]
    return tuple(Edited(operation, sources) for sources in zip(*known)) if known else (Edited(operation),) * batch
