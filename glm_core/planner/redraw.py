"""Plans in steps: draft and finish, draw a region again, repair.

All of it is writing with some tokens given (``Kept``), so that a seed means the same as when a plan is written at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GLMImageError
from ..geometry import LARGEST_SIDE, TOKEN_PIXELS, Grid, check_range
from ..plans import DROPPED, Draft, Drawn, Edited, Origin, Plan, check_batch, coarse_region, grow, planners_of
from .decode import Kept, item_seeds, plan_of_tokens
from .layout import PromptLayout, lay_out_prompt
from .model import PlannerConfig
from .prompt import PromptTokenizer
from .sampling import Sampling
from .score import check_grids, written_tokens

Write = Callable[[PromptLayout, Sequence[int], Sampling, Kept | None], tuple[Tensor, Tensor]]
MARGIN = 1, 3  # rows and columns: text runs along rows, and letters depend on those beside them


@dataclass(frozen=True)
class PlanWriter:
    """A planner and how it writes tokens.

    write: ``write_tokens`` of a loaded model on its device: (layout, seeds, sampling, kept) → tokens and
    log-probabilities [B, n].
    fingerprint: of the planner's weights; "" if unknown.
    """

    tokenizer: PromptTokenizer
    config: PlannerConfig
    write: Write
    fingerprint: str = ""

    def lay_out(self, prompt: str, width: int, height: int, references: Sequence[Plan] = ()) -> PromptLayout:
        return lay_out_prompt(self.tokenizer, self.config, prompt, width, height, references)

    def warn_of_another_planner(self, plan: Plan) -> None:
        """Log a message if the plan was written by a planner with other weights."""
        others = planners_of(plan.origins) - {self.fingerprint, ""}
        if self.fingerprint and others:
            logging.warning("the plan was made by a planner with other weights (%s, this one is %s); this works "
                            "well only if both have the same codebook", ", ".join(sorted(others)), self.fingerprint)


def draft_plans(planner: PlanWriter, prompt: str, width: int, height: int, *, batch: int = 1, seed: int = 0,
                sampling: Sampling = Sampling()) -> Plan:
    """Only the coarse grids of ``batch`` plans for pictures of width x height pixels, as plans of their own: ids
    [B, h', w'], origins Draft, log-probabilities of these tokens.

    Item i is drawn with the random numbers of seed + i, as in ``generate_plan``. Raises GLMImageError on a size that is
    not accepted.
    """
    layout, seeds = planner.lay_out(prompt, width, height), item_seeds(seed, batch)
    coarse = replace(layout, grids=layout.grids[:1])
    tokens, log_probs = planner.write(coarse, seeds, sampling, None)
    origins = tuple(Draft(prompt, seed, (width, height), asdict(sampling), planner.fingerprint) for seed in seeds)
    return plan_of_tokens(tokens, log_probs, coarse, origins)


def finish_plans(planner: PlanWriter, draft: Plan, *, sampling: Sampling = Sampling()) -> Plan:
    """The plans that the drafts are the coarse grids of, at the size that their origins name.

    Every item goes on with its own prompt and seed, so that with the sampling settings of the draft the result is what
    ``generate_plan`` writes; otherwise its origin is Edited. Raises GLMImageError if an item is not a draft, if the
    drafts differ in prompt or size, and if another kind of planner made them.
    """
    origins = check_drafts(draft)
    layout = planner.lay_out(origins[0].prompt, *origins[0].size)
    coarse, target = layout.grids
    if tuple(draft.ids.shape[1:]) != coarse:
        raise GLMImageError(f"draft: this planner's preview grid must have {coarse[0]}x{coarse[1]} tokens (got "
                            f"{draft.ids.shape[1]}x{draft.ids.shape[2]}); finish it with the planner that drafted it")
    draft.check_codes(planner.config.codebook_size, "draft")
    planner.warn_of_another_planner(draft)
    tokens = torch.cat([draft.ids.flatten(1).cpu(), torch.full((draft.batch, target[0] * target[1]), DROPPED)], dim=1)
    kept = Kept(tokens, tokens != DROPPED)
    written = planner.write(layout, [origin.seed for origin in origins], sampling, kept)
    return plan_of_tokens(*written, layout, tuple(finished(origin, sampling, planner) for origin in origins))


def check_drafts(draft: Plan) -> list[Draft]:
    """The origins of drafts. Raises GLMImageError if an item is none, or if they differ in prompt or size."""
    origins = [origin for origin in draft.origins if isinstance(origin, Draft)]
    if len(origins) < draft.batch:
        raise GLMImageError("draft: every plan must be a draft from GLM-Image Draft Plan (got "
                            f"{draft.batch - len(origins)} of another kind)")
    prompts, sizes = ({getattr(origin, name) for origin in origins} for name in ("prompt", "size"))
    for name, values in (("prompt", prompts), ("size", sizes)):
        if len(values) > 1:
            raise GLMImageError(f"draft: all drafts must have the same {name} (got {len(values)}); finish them in "
                                "separate batches")
    return origins


def finished(draft: Draft, sampling: Sampling, planner: PlanWriter) -> Origin:
    """The origin of a finished draft: Drawn if the same planner went on with the same settings."""
    if (draft.sampling, draft.planner) == (asdict(sampling), planner.fingerprint):
        return Drawn(draft.prompt, draft.seed, draft.size, draft.sampling, draft.planner)
    return Edited("finish", (draft,))


def replan(planner: PlanWriter, plan: Plan, region: Tensor, prompt: str, *, seed: int = 0,
           sampling: Sampling = Sampling(), margin: tuple[int, int] = MARGIN, references: Sequence[Plan] = ()) -> Plan:
    """The plan with the tokens of a region drawn anew for another prompt; item i with the random numbers of seed + i.

    region: bool [1 or B, h, w]. Cells without tokens always belong to it.
    margin: rows and columns around the region in which a token stays as long as it is in the nucleus under the new
    prompt. Everything beyond stays. There is none around cells without tokens.
    The coarse cells that region or margin touch are drawn anew before; where the plan has no coarse grid, all of them.
    Origins become Edited from the new prompt, which describes the whole picture: the old prompt's texts would only
    confuse the decoder. They are Drawn where the region is the whole picture. Where windows fill the region, the prompt
    is about what is new, and the old origins stay beside it. Log-probabilities are those of all tokens under the new
    prompt. An item with an empty region keeps its tokens and origin; if all are empty, the result is the plan itself.
    Raises GLMImageError on a region that does not fit the plan, on drafts, on ids outside the codebook, and on a margin
    that is negative or beyond the largest plan.
    """
    check_region(region, plan)
    for name, cells in zip(("margin_y", "margin_x"), margin, strict=True):
        check_range(name, cells, 0, LARGEST_SIDE // TOKEN_PIXELS)
    holes = (plan.ids == DROPPED).cpu()
    region = region.cpu().expand(plan.batch, -1, -1) | holes
    if not region.any():
        return plan
    check_no_drafts(plan)
    check_kept_codes(planner, plan)
    planner.warn_of_another_planner(plan)
    around = grow(region & ~holes, *margin) & ~region
    drawn = drawn_origins(planner, plan, prompt, seed, sampling)
    if max(plan.width, plan.height) > planner.config.trained_sides[1]:
        ids = fill_by_windows(planner, plan, region, around, prompt, seed, sampling, references)
        sources = [(origin,) for origin in plan.origins] or [()] * plan.batch
        edited = [Edited("replan", (new, *old)) for new, old in zip(drawn, sources)]
        return Plan(ids, origins=origins_after(plan, region, edited))
    is_whole = region.flatten(1).all(1).tolist()
    edited = [new if whole else Edited("replan", (new,)) for new, whole in zip(drawn, is_whole)]
    origins = origins_after(plan, region, edited)
    layout = planner.lay_out(prompt, plan.width, plan.height, references)
    kept = keep_all_but(plan, layout, region, around)
    return plan_of_tokens(*planner.write(layout, item_seeds(seed, plan.batch), sampling, kept), layout, origins)


def origins_after(plan: Plan, region: Tensor, edited: Sequence[Origin]) -> tuple[Origin, ...]:
    """The new origins; an item without a cell in the region, bool [B, h, w], keeps its old one, if it has one."""
    is_touched = region.flatten(1).any(1).tolist()
    return tuple(new if touched else old for old, new, touched in zip(plan.origins or edited, edited, is_touched))


def check_region(region: Tensor, plan: Plan) -> None:
    """Raise GLMImageError unless a region is bool [1 or B, h, w] with the plan's batch size and grid."""
    rows, columns = plan.ids.shape[1:]
    if region.dtype != torch.bool or region.ndim != 3 or region.shape[1:] != (rows, columns):
        raise GLMImageError(f"region must be bool [B, {rows}, {columns}], as the plan's grid is "
                            f"(got {region.dtype} {list(region.shape)})")
    check_batch("region", len(region), plan.batch, "the number of plans")


def check_no_drafts(plan: Plan) -> None:
    """Raise GLMImageError on drafts, whose tokens are a coarse grid and not a picture of half the size."""
    drafts = sum(isinstance(origin, Draft) for origin in plan.origins)
    if drafts:
        raise GLMImageError("plan: every plan must be finished by GLM-Image Finish Plan before it is changed "
                            f"(got {drafts} draft{'s' * (drafts > 1)})")


def check_kept_codes(planner: PlanWriter, plan: Plan) -> None:
    """Raise GLMImageError on an id outside the codebook, in target or coarse grid. Cells without tokens are allowed."""
    for name, grid in (("plan", plan.ids), ("preview grid", plan.coarse)):
        if grid is not None:
            Plan(torch.where(grid == DROPPED, 0, grid)).check_codes(planner.config.codebook_size, name)


def keep_all_but(plan: Plan, layout: PromptLayout, region: Tensor, around: Tensor) -> Kept:
    """The plan's tokens in the order of writing without those of a region; in ``around`` they only stay if likely.

    region, around: bool [B, h, w].
    """
    target = torch.where(region, DROPPED, plan.ids.cpu())
    grids, fixed = [target.flatten(1)], [~around.flatten(1)]
    for grid in layout.grids[:-1]:
        coarse = coarse_tokens(plan, grid)
        coarse = torch.where(coarse_region(region | around, *grid), DROPPED, coarse)
        grids.insert(0, coarse.flatten(1))
        fixed.insert(0, torch.ones_like(grids[0], dtype=torch.bool))
    return Kept(torch.cat(grids, dim=1), torch.cat(fixed, dim=1))


def coarse_tokens(plan: Plan, grid: Grid) -> Tensor:
    """The plan's coarse grid, int64 [B, *grid] on the CPU; DROPPED where it has none of these rows and columns."""
    if plan.coarse is not None and tuple(plan.coarse.shape[1:]) == grid:
        return plan.coarse.cpu()
    return torch.full((plan.batch, *grid), DROPPED)


def drawn_origins(planner: PlanWriter, plan: Plan, prompt: str, seed: int, sampling: Sampling) -> list[Drawn]:
    """What the items' origins were if the planner wrote all of their tokens for this prompt."""
    size, settings = (plan.width, plan.height), asdict(sampling)
    return [Drawn(prompt, seed, size, settings, planner.fingerprint) for seed in item_seeds(seed, plan.batch)]


def fill_by_windows(planner: PlanWriter, plan: Plan, region: Tensor, around: Tensor, prompt: str, seed: int,
                    sampling: Sampling, references: Sequence[Plan]) -> Tensor:
    """Ids [B, h, w] of a plan larger than the model was trained for, its region drawn in windows of a trained size.

    A window is planned as a picture of its own and gives the cells of the region. Where it fills cells that had no
    tokens, the old ones in it are context that stays as long as it is in the nucleus, since the prompt need not mention
    what they show. Window k of item i is drawn with the random numbers of seed + i + k * B.
    """
    largest = planner.config.trained_sides[1] // TOKEN_PIXELS
    rows, columns = (min(side, largest) for side in plan.ids.shape[1:])
    layout = planner.lay_out(prompt, columns * TOKEN_PIXELS, rows * TOKEN_PIXELS, references)
    ids, left = torch.where(region, DROPPED, plan.ids.cpu()), region.clone()
    holes, k = (plan.ids == DROPPED).cpu(), 0
    while left.any():
        window = next_window(left.any(0), rows, columns)
        is_context = around[window] | holes[window].flatten(1).any(1)[:, None, None]
        present = Plan(ids[window])
        kept = keep_all_but(present, layout, left[window], is_context & ~left[window])
        tokens, _ = planner.write(layout, item_seeds(seed + k * plan.batch, plan.batch), sampling, kept)
        drawn = plan_of_tokens(tokens, None, layout, ()).ids.cpu()
        ids[window] = torch.where(left[window] | around[window], drawn, ids[window])
        left[window], k = False, k + 1
    return ids.to(plan.ids.device)


def next_window(left: Tensor, rows: int, columns: int) -> tuple[slice, slice, slice]:
    """The window of rows x columns that has most cells of ``left``, bool [h, w], among those half of whose cells are
    done; without such a window, the one with the fewest. All of them have at least one cell of ``left``."""
    counts = F.avg_pool2d(left[None].float(), (rows, columns), 1)[0].mul(rows * columns).round().long()
    half = rows * columns // 2
    suitable = torch.where(counts <= half, counts, 0)
    best = suitable if suitable.any() else torch.where(counts > 0, -counts, -rows * columns - 1)
    top, start = divmod(int(best.argmax()), best.shape[1])
    return slice(None), slice(top, top + rows), slice(start, start + columns)


def repair(planner: PlanWriter, plan: Plan, prompt: str, *, seed: int = 0, sampling: Sampling = Sampling(),
           references: Sequence[Plan] = ()) -> Plan:
    """The plan with only those tokens drawn again that are not in the nucleus under ``prompt``, in the order of writing
    and given the repaired tokens before them; item i with the random numbers of seed + i.

    A missing coarse grid is drawn first. Origins become Edited, from ``prompt``, where a token of the target changed;
    log-probabilities are those of all tokens under the prompt. Raises GLMImageError on drafts and on ids outside the
    codebook.
    """
    plan.check_complete()
    check_no_drafts(plan)
    check_kept_codes(planner, plan)
    planner.warn_of_another_planner(plan)
    layout = planner.lay_out(prompt, plan.width, plan.height, references)
    grids = [*(coarse_tokens(plan, grid) for grid in layout.grids[:-1]), plan.ids.cpu()]
    tokens = torch.cat([grid.flatten(1) for grid in grids], dim=1)
    kept = Kept(tokens, torch.zeros_like(tokens, dtype=torch.bool))
    repaired = plan_of_tokens(*planner.write(layout, item_seeds(seed, plan.batch), sampling, kept), layout, ())
    edited = [Edited("repair", (new,)) for new in drawn_origins(planner, plan, prompt, seed, sampling)]
    is_same = (repaired.ids.cpu() == plan.ids.cpu()).flatten(1).all(1).tolist()
    return replace(repaired, origins=tuple(old if same else new for old, new, same in
                                           zip(plan.origins or edited, edited, is_same)))


def score_plans(planner: PlanWriter, plan: Plan, prompt: str, references: Sequence[Plan] = ()) -> Plan:
    """The plan with the log-probabilities of its tokens under ``prompt``; all else stays.

    A plan without a coarse grid is scored by its target alone, and a draft as the coarse grid that it is. Raises
    GLMImageError on ids outside the codebook, on cells without a token, and as ``written_layout`` does.
    """
    for name, grid in (("plan", plan.ids), ("preview grid", plan.coarse)):
        if grid is not None:
            Plan(grid).check_codes(planner.config.codebook_size, name)
    layout = written_layout(planner, plan, prompt, references)
    check_grids(layout, plan)
    tokens = written_tokens(plan).cpu()
    kept = Kept(tokens, torch.ones_like(tokens, dtype=torch.bool))
    _, log_probs = planner.write(layout, [0] * plan.batch, Sampling(top_k=1), kept)
    return replace(plan, log_probs=log_probs)


def written_layout(planner: PlanWriter, plan: Plan, prompt: str, references: Sequence[Plan]) -> PromptLayout:
    """The layout in which a plan's tokens are written, and no others.

    Raises GLMImageError if some of its items are drafts and others not, or drafts of pictures of other sizes.
    """
    sizes = [origin.size for origin in plan.origins if isinstance(origin, Draft)]
    if plan.coarse is not None or not sizes:
        return lay_out_prompt(planner.tokenizer, planner.config, prompt, plan.width, plan.height, references,
                              coarse=plan.coarse is not None)
    if len(sizes) < plan.batch or len(set(sizes)) > 1:
        raise GLMImageError("plan: all plans must be drafts of pictures of one size, or none a draft "
                            f"(got {len(sizes)} drafts of {len(set(sizes))} sizes among {plan.batch} plans)")
    layout = planner.lay_out(prompt, *sizes[0], references)
    return replace(layout, grids=layout.grids[:1])
