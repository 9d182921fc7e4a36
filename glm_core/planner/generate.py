"""Prompt → plan: prefill once, then one token after the other, the preview grid first and the target grid after it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import GLMImageError
from ..plan import DROPPED, TOKEN_PIXELS, Plan
from .grids import Grid, plan_grids
from .model import KVCache, PlannerConfig, PlannerModel
from .prompt import PromptTokenizer
from .run import Capture, CapturedRun, Job, Run
from .sampling import Sampling, draw_race, sample, seeded_generators

OnToken = Callable[[int, Tensor], None]


def bytes_in_memory(config: PlannerConfig, job: Job, batch: int, ahead: int, dtype: torch.dtype) -> int:
    """What a run holds beside the weights: the cache, the codebook's embeddings, and then first the prompt's activations, at most
    in the feed-forward, and later the logits being sorted."""
    cache = KVCache.size_in_bytes(config, batch, job.length, dtype)
    codes = config.codebook_size * config.hidden_size * dtype.itemsize
    prompt = job.prompt_ids.numel() * 4 * (config.intermediate_size + config.hidden_size) * dtype.itemsize
    logits = 8 * batch * ahead * config.vision_vocab_size * torch.float32.itemsize
    return cache + codes + max(prompt, logits)


def decode_n_tokens(run: Run, logits: Tensor, tokens: Tensor, at: int, sampling: Sampling, generators: list[torch.Generator],
                    on_token: OnToken) -> None:
    """Fill tokens [B, n], starting from the prompt's ``logits``. Only rows of the codebook can be drawn.

    The reference may also draw the 128 ids above the codebook or the end token inside a grid, and then fails.
    """
    codes = run.model.config.codebook_size
    for i in range(tokens.shape[1]):
        if i:
            logits = run.decode(tokens[:, i - 1 : i], at + i - 1)[:, 0]
        tokens[:, i] = sample(logits[:, :codes].expand(len(tokens), -1), sampling, draw_race(generators, codes, sampling))
        on_token(i, tokens)


def neighbours(grids: list[Grid]) -> list[int]:
    """For every token the earlier one that it most likely repeats: its left neighbour, in the first column the one above."""
    sources = []
    for rows, columns in grids:
        start = len(sources)
        sources += [start + i - (1 if i % columns else columns) for i in range(rows * columns)]
    return [max(source, 0) for source in sources]


def decode_ahead(run: Run, logits: Tensor, tokens: Tensor, at: int, sampling: Sampling, generators: list[torch.Generator],
                 on_token: OnToken, sources: list[int], ahead: int) -> None:
    """The tokens that ``decode_n_tokens`` writes, in fewer passes: each takes guesses of the next ``ahead - 1`` tokens along.

    The numbers that decide a token are drawn beforehand, so a token is a function of its logits alone, and a guess that
    comes out as guessed is that token, bit for bit but for rounding of the logits (Jacobi decoding, Song et al. 2021, with
    the sampling coupled as in Teng et al. 2024). First guesses repeat ``sources``, later ones are what the last pass drew.
    The batch goes on together, by as many tokens as are right in every item.
    """
    codes, n = run.model.config.codebook_size, tokens.shape[1]
    races = [draw_race(generators, codes, sampling)]
    tokens[:, 0] = sample(logits[:, :codes].expand(len(tokens), -1), sampling, races[0])
    on_token(0, tokens)
    guesses, guessed, known = tokens.clone(), 1, 1
    while known < n:
        end = min(known + ahead, n)
        for i in range(guessed, end):
            guesses[:, i] = guesses[:, sources[i]]
        races += [draw_race(generators, codes, sampling) for _ in range(len(races), end)]
        race = None if sampling.top_k == 1 else torch.stack(races[known:end], dim=1)
        drawn = sample(run.decode(guesses[:, known - 1 : end - 1], at + known - 1)[..., :codes], sampling, race)
        right = (drawn == guesses[:, known:end]).all(0)[:-1]
        accepted = 1 + int(right.cumprod(0).sum())
        guesses[:, known:end] = drawn
        tokens[:, known : known + accepted] = drawn[:, :accepted]
        for i in range(known, known + accepted):
            races[i] = None
            on_token(i, tokens)
        known, guessed = known + accepted, end


def prepare(tokenizer: PromptTokenizer, config: PlannerConfig, prompt: str, width: int, height: int,
            references: Sequence[Plan] = (), preview: bool = True) -> Job:
    """Lay a run out. Raises GLMImageError on a size that is not accepted, and on references of unequal batches.

    ``references``: the tokens of pictures to edit, one for all plans or one a plan.

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
    return Job(prompt, prompt_ids, [*segments, len(text)], grids[::-1])


def make_plan(model: PlannerModel, tokenizer: PromptTokenizer, prompt: str, width: int, height: int, *,
              references: Sequence[Plan] = (), preview: bool = True, **options) -> Plan:
    """Plan pictures of width x height pixels: ``prepare`` and ``write_plan``, whose ``options`` and errors it has."""
    return write_plan(model, prepare(tokenizer, model.config, prompt, width, height, references, preview), **options)


@torch.inference_mode()
def write_plan(model: PlannerModel, job: Job, *, batch: int = 1, seed: int = 0, sampling: Sampling = Sampling(), ahead: int = 1,
               device="cpu", dtype=torch.float32, on_token: OnToken = lambda i, tokens: None, capture: Capture | None = None) -> Plan:
    """Write ``batch`` plans of one job; item i is drawn from its own generator, seeded seed + i.

    ``ahead``: tokens of one pass, see ``decode_ahead``. ``device`` and ``dtype`` are those of the activations.
    ``capture``: what records a token's pass to replay it, see ``CapturedRun``; the weights must stay where they are.
    ``on_token(i, tokens)`` is called after token i of tokens [B, all grids] is there (the rest is DROPPED); what it raises
    ends the run. Raises GLMImageError when the references' batch is neither 1 nor ``batch``.
    """
    if len(job.prompt_ids) not in (1, batch):
        raise GLMImageError(f"references: found a batch of {len(job.prompt_ids)} for {batch} plans; accepted are 1 and {batch}")
    smallest, largest = model.config.trained_sides
    height, width = (side * TOKEN_PIXELS for side in job.grids[-1])
    if min(width, height) < smallest or max(width, height) > largest:
        logging.info("the model was trained for sides of %d to %d pixels; %dx%d may look poorer", smallest, largest, width, height)

    run = Run.of(model, job, batch, device, dtype)
    tokens = torch.full((batch, job.new_tokens), DROPPED, device=device)
    first = run.prefill(job.prompt_ids)
    if capture:
        run = CapturedRun.of_run(run, job.prompt_ids.shape[1], capture)
    given = run, first, tokens, job.prompt_ids.shape[1], sampling, seeded_generators(seed, batch, device), on_token
    if ahead > 1:
        decode_ahead(*given, neighbours(job.grids), ahead)
    else:
        decode_n_tokens(*given)
    *small, target = split_grids(tokens, job.grids)
    return Plan(target, small[0] if small else None, job.prompt, seed)


def split_grids(tokens: Tensor, grids: list[Grid]) -> list[Tensor]:
    """Tokens [B, n] → [B, rows, columns] for each of the grids."""
    parts = tokens.split([rows * columns for rows, columns in grids], dim=1)
    return [part.unflatten(1, grid) for part, grid in zip(parts, grids)]
