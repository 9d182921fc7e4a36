"""Prompt → plan: prefill once, then one token after the other, the preview grid first and the target grid after it."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from ..plan import DROPPED, Plan
from .grids import TRAINED, plan_grids, positions
from .model import KVCache, PlannerModel, rotary_table
from .prompt import PromptTokenizer
from .sampling import Sampling, sample, seeded_generators

OnToken = Callable[[int, Tensor], None]


def prefill(model: PlannerModel, prompt_ids: Tensor, rotary: tuple[Tensor, Tensor], cache: KVCache) -> Tensor:
    """Run the prompt [1, P] through the model once for the whole batch; logits [1, V] for the first new token."""
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


def run_length(tokenizer: PromptTokenizer, prompt: str, width: int, height: int) -> int:
    """Tokens of prompt, preview and target together: the length of the cache that ``make_plan`` will need."""
    target, preview = plan_grids(width, height)
    return len(tokenizer.layout(prompt, [target, preview], 0)) + sum(rows * columns for rows, columns in (preview, target))


@torch.inference_mode()
def make_plan(model: PlannerModel, tokenizer: PromptTokenizer, prompt: str, width: int, height: int, *, batch: int = 1,
              seed: int = 0, sampling: Sampling = Sampling(), device="cpu", dtype=torch.float32,
              on_token: OnToken = lambda i, tokens: None) -> Plan:
    """Plan ``batch`` pictures of width x height pixels; item i is drawn from its own generator, seeded seed + i.

    ``device`` and ``dtype`` are those of the activations. ``on_token(i, tokens)`` is called after token i of
    tokens [B, preview + target] is there (the rest is DROPPED); what it raises ends the run.
    Raises GLMImageError on sizes that are not accepted.
    """
    target, preview = plan_grids(width, height)
    if width not in TRAINED or height not in TRAINED:
        logging.info("GLM-Image was trained for sides of 512 to 2048 pixels; %dx%d may look poorer", width, height)
    prompt_ids = tokenizer.layout(prompt, [target, preview], model.config.image_start_token_id)

    # told the target first, the model writes the preview first: transformers lists the grids so and walks them backwards
    where = positions(len(prompt_ids), [preview, target]).to(device)
    rotary = rotary_table(where, model.config, dtype)
    cache = KVCache(model.config, batch, where.shape[1], device, dtype)
    tokens = torch.full((batch, where.shape[1] - len(prompt_ids)), DROPPED, device=device)

    logits = prefill(model, torch.tensor([prompt_ids], device=device), rotary, cache)
    decode_n_tokens(model, logits, tokens, rotary, cache, len(prompt_ids), sampling,
                    seeded_generators(seed, batch, device), on_token)
    first, second = tokens.split((preview[0] * preview[1], target[0] * target[1]), dim=1)
    return Plan(second.unflatten(1, target), first.unflatten(1, preview), prompt, seed)
