"""Prompt → plan: prefill once, then one token after the other, the preview grid first and the target grid after it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import GLMImageError
from ..plan import DROPPED, Plan
from .grids import Grid, plan_grids, positions
from .model import KVCache, PlannerConfig, PlannerModel, rotary_table
from .prompt import PromptTokenizer
from .sampling import Sampling, sample, seeded_generators

OnToken = Callable[[int, Tensor], None]


def prefill(model: PlannerModel, prompt_ids: Tensor, rotary: tuple[Tensor, Tensor], cache: KVCache) -> Tensor:
    """Run the prompt [1 or B, P] through the model once; logits [1 or B, V] for the first new token."""
    n = prompt_ids.shape[1]
    hidden = model(prompt_ids, tuple(table[:n] for table in rotary), cache, 0)
    return model.lm_head(hidden[:, -1])


def decode_one_token(model: PlannerModel, ids: Tensor, rotary: tuple[Tensor, Tensor], cache: KVCache, at: int) -> Tensor:
    """Logits [B, V] for the token that follows ids [B] at position ``at`` of the cache."""
    hidden = model(ids[:, None], tuple(table[at : at + 1] for table in rotary), cache, at)
    return model.lm_head(hidden[:, 0])


def decode_n_tokens(model: PlannerModel, logits: Tensor, tokens: Tensor, rotary, cache: KVCache, at: int,
                    sampling: Sampling, generators: list[torch.Generator], on_token: OnToken) -> None:
    """Fill tokens [B, n], starting from the prompt's ``logits``. Only rows of the codebook can be drawn.

    The reference may also draw the 128 ids above the codebook or the end token inside a grid, and then fails.
    """
    codes = model.config.codebook_size
    for i in range(tokens.shape[1]):
        if i:
            logits = decode_one_token(model, tokens[:, i - 1], rotary, cache, at + i - 1)
        tokens[:, i] = sample(logits[:, :codes].expand(len(tokens), -1), sampling, generators)
        on_token(i, tokens)


@dataclass(frozen=True)
class Job:
    """What a run is made of: prompt_ids [1 or B, P], the prompt's segments, and the grids in the order they are written."""

    prompt_ids: Tensor
    segments: list[int | Grid]
    grids: list[Grid]

    @property
    def new_tokens(self) -> int:
        return sum(rows * columns for rows, columns in self.grids)

    @property
    def length(self) -> int:
        return self.prompt_ids.shape[1] + self.new_tokens


def prepare(tokenizer: PromptTokenizer, config: PlannerConfig, prompt: str, width: int, height: int,
            references: Sequence[Plan] = (), preview: bool = True) -> Job:
    """Lay a run out. Raises GLMImageError on a size that is not accepted, and on references of unequal batches.

    Text to image: told target and preview grid, the model writes the preview first (transformers lists the grids so and
    walks them backwards). With references: each picture's tokens between start and end, then the text, and no preview.
    ``preview`` False leaves it out without references too, which the released model was not made for.
    """
    target, small = plan_grids(width, height, config.preview_tokens)
    grids = [target, small] if preview and not references else [target]
    text = tokenizer.layout(prompt, grids, config.image_start_token_id)
    batch = max((reference.batch for reference in references), default=1)
    parts, segments = [], []
    for i, reference in enumerate(references, 1):
        if reference.batch not in (1, batch):
            raise GLMImageError(f"reference {i}: found a batch of {reference.batch} beside one of {batch}; accepted are 1 and {batch}")
        reference.check_codes(config.codebook_size)
        start, end = (torch.full((batch, 1), token) for token in (config.image_start_token_id, config.image_end_token_id))
        parts += [start, reference.ids.cpu().flatten(1).expand(batch, -1), end]
        segments += [1, tuple(reference.ids.shape[1:]), 1]
    prompt_ids = torch.cat([*parts, torch.tensor([text]).expand(batch, -1)], dim=1)
    return Job(prompt_ids, [*segments, len(text)], grids[::-1])


@torch.inference_mode()
def make_plan(model: PlannerModel, tokenizer: PromptTokenizer, prompt: str, width: int, height: int, *, batch: int = 1,
              seed: int = 0, sampling: Sampling = Sampling(), references: Sequence[Plan] = (), preview: bool = True, device="cpu",
              dtype=torch.float32, on_token: OnToken = lambda i, tokens: None) -> Plan:
    """Plan ``batch`` pictures of width x height pixels; item i is drawn from its own generator, seeded seed + i.

    ``references``: the tokens of pictures to edit, one for the whole batch or one an item; the plan then has no preview.
    ``preview``: as ``prepare`` takes it.
    ``device`` and ``dtype`` are those of the activations. ``on_token(i, tokens)`` is called after token i of
    tokens [B, all grids] is there (the rest is DROPPED); what it raises ends the run.
    Raises GLMImageError on sizes and batches that are not accepted.
    """
    job = prepare(tokenizer, model.config, prompt, width, height, references, preview)
    if len(job.prompt_ids) not in (1, batch):
        raise GLMImageError(f"references: found a batch of {len(job.prompt_ids)} for {batch} plans; accepted are 1 and {batch}")
    smallest, largest = model.config.trained_sides
    if min(width, height) < smallest or max(width, height) > largest:
        logging.info("the model was trained for sides of %d to %d pixels; %dx%d may look poorer", smallest, largest, width, height)

    rotary = rotary_table(positions([*job.segments, *job.grids]).to(device), model.config, dtype)
    cache = KVCache(model.config, batch, job.length, device, dtype)
    tokens = torch.full((batch, job.new_tokens), DROPPED, device=device)
    logits = prefill(model, job.prompt_ids.to(device), rotary, cache)
    decode_n_tokens(model, logits, tokens, rotary, cache, job.prompt_ids.shape[1], sampling,
                    seeded_generators(seed, batch, device), on_token)
    *small, target = split_grids(tokens, job.grids)
    return Plan(target, small[0] if small else None, prompt, seed)


def split_grids(tokens: Tensor, grids: list[Grid]) -> list[Tensor]:
    """Tokens [B, n] → [B, rows, columns] for each of the grids."""
    parts = tokens.split([rows * columns for rows, columns in grids], dim=1)
    return [part.unflatten(1, grid) for part, grid in zip(parts, grids)]
