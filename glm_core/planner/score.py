"""How likely the tokens of a plan are: one differentiable pass over prompt and tokens, to train or to rank plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GLMImageError
from ..plans import Plan, check_batch
from .layout import PromptLayout
from .model import PlannerConfig, PlannerModel, attend, rotary_table
from .positions import positions


class NoCache:
    """Stands in for a KV cache when a whole sequence is run at once and must stay differentiable."""

    @staticmethod
    def attend(layer: int, position: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See ``attend``; nothing is stored."""
        return attend(q, k, v)


def batched_rotary(layouts: Sequence[PromptLayout], length: int, config: PlannerConfig,
                   dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines [B, 1, length, head size] of each item's own positions; after its end, those of position 0."""
    tables = [positions([*layout.segments, *layout.grids]) for layout in layouts]
    # a table has one position more than the model reads: its last token is only written
    padded = torch.stack([F.pad(table, (0, length + 1 - table.shape[1]))[:, :length] for table in tables], dim=1)
    cos, sin = rotary_table(padded.flatten(1), config, dtype)
    return cos.view(len(layouts), 1, length, -1), sin.view(len(layouts), 1, length, -1)


def token_logits(model: PlannerModel, layouts: Sequence[PromptLayout], tokens: Tensor,
                 device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """Logits [B, n, V] for tokens [B, n] in the order of writing, each given its prompt and the tokens before it.

    layouts: one per item, whose prompt is [1, P]. Shorter rows are padded at the end, where nothing attends to them.
    tokens: int64, on the CPU. device, dtype: those of the activations.
    """
    n = tokens.shape[1]
    prompts = [layout.prompt_ids[0] for layout in layouts]
    length = max(map(len, prompts)) + n - 1
    ids = torch.zeros(len(prompts), length, dtype=torch.int64)
    for row, prompt, written in zip(ids, prompts, tokens):
        row[: len(prompt)] = prompt
        row[len(prompt) : len(prompt) + n - 1] = written[:-1]
    cos, sin = batched_rotary(layouts, length, model.config, dtype)
    hidden = model(model.embed(ids, device, dtype), (cos.to(device), sin.to(device)), NoCache(), 0)
    last = torch.tensor([len(prompt) - 1 for prompt in prompts])[:, None] + torch.arange(n)
    return model.lm_head(hidden.gather(1, last[..., None].expand(-1, -1, hidden.shape[-1]).to(device)))


def written_tokens(plan: Plan) -> Tensor:
    """Tokens [B, n] in the order of writing: the coarse grid, then the target."""
    grids = [plan.ids] if plan.coarse is None else [plan.coarse, plan.ids]
    return torch.cat([grid.flatten(1) for grid in grids], dim=1)


def check_grids(layout: PromptLayout, plan: Plan) -> None:
    """Raise GLMImageError unless a plan has the grids of a layout."""
    grids = [tuple(grid.shape[1:]) for grid in (plan.coarse, plan.ids) if grid is not None]
    if grids != layout.grids:
        raise GLMImageError(f"plan: its grids (rows, columns) must be {layout.grids} for this prompt and these "
                            f"references (got {grids})")


def score(model: PlannerModel, layout: PromptLayout, plan: Plan, device: torch.device | str = "cpu",
          dtype: torch.dtype = torch.float32) -> Tensor:
    """Log-probabilities, float32 [B, n], of a plan's tokens in the order of writing, as Plan.log_probs holds them.

    From the full softmax over the codebook at temperature 1, before top-k and top-p. Differentiable unless the caller
    turns gradients off. device, dtype: those of the activations.
    Raises GLMImageError if the plan's grids or batch size are not those of the layout, or if cells have no token.
    """
    check_grids(layout, plan)
    check_batch("references", len(layout.prompt_ids), plan.batch, "the number of plans")
    plan.check_complete()
    prompts = layout.prompt_ids.expand(plan.batch, -1)
    layouts = [replace(layout, prompt_ids=prompt[None]) for prompt in prompts]
    tokens = written_tokens(plan).to(device)
    logits = token_logits(model, layouts, tokens.cpu(), device, dtype)[..., : model.config.codebook_size].float()
    return logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
