"""Prompt → plan: prefill once, then decode one token after the other, first the coarse grid, then the target grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..geometry import Grid
from ..plans import DROPPED, Drawn, Origin, Plan, check_batch
from .layout import PromptLayout, lay_out_prompt
from .model import PlannerModel
from .noise import draw_noise, item_keys
from .prompt import PromptTokenizer
from .sampling import Sampling, in_nucleus, log_probabilities, sample
from .session import DecodeSession, GraphSession, OnChunk, Recorder, attention_of_new_tokens

OnToken = Callable[[int, Tensor], object]  # called with i and tokens [B, n] once token i is drawn; the rest is DROPPED
KEPT_PER_PASS = 64  # most kept tokens in a pass, which on a GPU then takes hardly longer than for one
SEEDS = 2**64


@dataclass(frozen=True)
class Kept:
    """Tokens that are given, int64 [B, n] on the CPU, in the order of writing; DROPPED where the planner draws freely.

    fixed: bool [B, n], where a given token stays whatever the planner makes of it. Elsewhere it stays as long as it is
    in the nucleus, given the tokens before it.
    """

    tokens: Tensor
    fixed: Tensor

    def is_given_somewhere(self) -> list[bool]:
        """For every token, whether it is given in any item."""
        return (self.tokens != DROPPED).any(0).tolist()

    def stretches(self) -> list[int]:
        """For every token, how many from it on are given in all items, up to KEPT_PER_PASS."""
        lengths = [0]
        for is_given in reversed((self.tokens != DROPPED).all(0).tolist()):
            lengths.append(min(lengths[-1] + 1, KEPT_PER_PASS) if is_given else 0)
        return lengths[:0:-1]


@dataclass(frozen=True)
class TokenSampler:
    """How each item's next token is drawn, with random numbers of its own.

    keys: int32 [B, 2], one of ``item_keys`` per item.
    Only rows of the codebook can be drawn. Upstream may also draw one of the 128 ids above them, or the end token
    inside a grid, and then fails.
    """

    sampling: Sampling
    keys: Tensor
    codebook_size: int

    def draw_noise(self, tokens: Tensor) -> Tensor | None:
        """The random numbers that decide these tokens [n] of every item, see ``draw_noise``; None if greedy."""
        return None if self.sampling.top_k == 1 else draw_noise(self.keys, tokens, self.codebook_size)

    def codes(self, logits: Tensor) -> Tensor:
        """Logits [1 or B, ..., V] → those of the codebook's rows, [B, ..., codebook size]."""
        codes = logits[..., : self.codebook_size]
        return codes.expand(len(self.keys), *codes.shape[1:])

    def sample(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """Ids [B, ...] from logits [1 or B, ..., V] and noise [B, ..., codebook size]."""
        return sample(self.codes(logits), self.sampling, noise)

    def sample_or_keep(self, logits: Tensor, noise: Tensor | None, given: Tensor, fixed: Tensor) -> Tensor:
        """As ``sample``, but tokens of ``given`` [B, ...] stay where ``Kept`` says so."""
        stays = fixed | in_nucleus(self.codes(logits), given.clamp(min=0), self.sampling)
        return torch.where((given != DROPPED) & stays, given, self.sample(logits, noise))


def draft_sources(grids: Sequence[Grid]) -> list[int]:
    """For every token, the index of the earlier one that it most likely repeats: its left neighbour.

    In the first column it is the one above.
    """
    sources = []
    for rows, columns in grids:
        start = len(sources)
        for i in range(rows * columns):
            is_first_column = i % columns == 0
            sources.append(start + i - (columns if is_first_column else 1))
    return [max(source, 0) for source in sources]


@dataclass(frozen=True)
class TokenWriter:
    """Writes the tokens of all items, pass by pass.

    Each pass draws the next token and verifies drafts of the tokens after it. The random numbers that decide a token
    are the same in every pass, so the token depends on its logits only: if the drafts before a token were right, what
    the pass draws for it is right too, unless rounding of the logits tips a near tie. All items advance by the number
    of drafts accepted in every item.

    Given tokens are drafts, so that many are checked in one pass. Look-ahead drafts others too: at first a token
    repeats the earlier one that ``draft_sources`` names, later drafts are what the last pass drew.

    first: position of the first new token. lookahead: number of tokens tried in a pass; 1 drafts only given tokens.
    Sources: Jacobi decoding, Song et al. 2021; sampling coupled as in Teng et al. 2024.
    """

    session: DecodeSession
    sampler: TokenSampler
    kept: Kept | None
    first: int
    grids: Sequence[Grid]
    lookahead: int

    @cached_property
    def is_given(self) -> list[bool] | None:
        return self.kept and self.kept.is_given_somewhere()

    def write(self, logits: Tensor, tokens: Tensor, log_probs: Tensor, on_token: OnToken) -> None:
        """Fill tokens [B, n] and their log-probabilities [B, n]. ``logits`` [1 or B, V]: those after the prompt."""
        logits, n = logits[:, None], tokens.shape[1]
        drafts = self.kept.tokens.to(tokens.device, copy=True) if self.kept else tokens.clone()
        stretches, sources = self.kept.stretches() if self.kept else [0] * n, draft_sources(self.grids)
        known, end, drafted = 0, 1, 1  # number of final tokens, end of the pass, number of tokens with a draft
        while known < n:
            if known:
                given = known + stretches[known]
                end = min(max(known + self.lookahead, given + 1), n)
                for i in range(max(drafted, given), end - 1):
                    drafts[:, i] = torch.where(drafts[:, i] == DROPPED, drafts[:, sources[i]], drafts[:, i])
                drafted = max(drafted, end)
                logits = self.session.decode(drafts[:, known - 1 : end - 1], self.first + known - 1)
            drawn, scores = self.draw(logits, known, end)
            accepted = 1 if end == known + 1 else count_accepted(drawn, drafts[:, known:end])
            drafts[:, known:end] = drawn
            tokens[:, known : known + accepted] = drawn[:, :accepted]
            log_probs[:, known : known + accepted] = scores[:, :accepted]
            for i in range(known, known + accepted):
                on_token(i, tokens)
            known += accepted

    def draw(self, logits: Tensor, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Tokens ``start`` to ``end`` and their log-probabilities, [B, end - start], by logits [1 or B, ..., V]."""
        noise = self.sampler.draw_noise(torch.arange(start, end, device=logits.device))
        if self.kept and self.is_given and any(self.is_given[start:end]):
            given, fixed = (tensor[:, start:end].to(logits.device) for tensor in (self.kept.tokens, self.kept.fixed))
            drawn = self.sampler.sample_or_keep(logits, noise, given, fixed)
        else:
            drawn = self.sampler.sample(logits, noise)
        return drawn, log_probabilities(self.sampler.codes(logits), drawn)


def count_accepted(drawn: Tensor, drafts: Tensor) -> int:
    """How many of the drawn tokens [B, n] are final in all items: a token is if all drafts before it were right."""
    matches = (drawn == drafts).all(0)[:-1]
    return 1 + int(matches.cumprod(0).sum())


def plan_prompt(model: PlannerModel, tokenizer: PromptTokenizer, prompt: str, width: int, height: int, *,
                references: Sequence[Plan] = (), coarse: bool = True, **options) -> Plan:
    """``lay_out_prompt``, then ``generate_plan`` with ``options``; raises the errors of both."""
    return generate_plan(model, lay_out_prompt(tokenizer, model.config, prompt, width, height, references, coarse),
                         **options)


def generate_plan(model: PlannerModel, layout: PromptLayout, *, batch: int = 1, seed: int = 0,
                  sampling: Sampling = Sampling(), fingerprint: str = "", **options) -> Plan:
    """Write ``batch`` plans for one layout; item i is drawn with the random numbers of seed + i.

    fingerprint: of the planner's weights, for the plan's origins. options: of ``write_tokens``, whose errors it raises.
    """
    seeds = item_seeds(seed, batch)
    tokens, log_probs = write_tokens(model, layout, seeds, sampling, **options)
    origins = tuple(Drawn(layout.prompt, seed, layout.size, asdict(sampling), fingerprint) for seed in seeds)
    return plan_of_tokens(tokens, log_probs, layout, origins)


def item_seeds(seed: int, batch: int) -> list[int]:
    """The seeds of a batch's items: seed + i, going on with 0 after 2^64 - 1."""
    return [(seed + i) % SEEDS for i in range(batch)]


@torch.inference_mode()
def write_tokens(model: PlannerModel, layout: PromptLayout, seeds: Sequence[int], sampling: Sampling = Sampling(),
                 kept: Kept | None = None, *, lookahead: int = 1, device: torch.device | str = "cpu",
                 dtype: torch.dtype = torch.float32, on_token: OnToken = lambda i, tokens: None,
                 on_chunk: OnChunk = lambda: None, recorder: Recorder = nullcontext()) -> tuple[Tensor, Tensor]:
    """The tokens of a layout's grids for items with these seeds: int64 [B, n] in the order of writing, and their
    log-probabilities, float32 [B, n], as ``Plan`` holds them.

    kept: tokens that items have already. lookahead: number of tokens tried in one pass, see ``TokenWriter``; 1 turns
    this off. device, dtype: those of the activations.
    on_chunk, on_token: called before every chunk of the prompt and for every token; an exception raised there ends
    the run.
    recorder: entered after the prompt and left at the end of the run. Inside, the weights must stay in place if it
    gives what records a pass (see ``GraphSession``) and not None.
    Raises GLMImageError if the references' batch is neither 1 nor the number of seeds.
    """
    batch, n = len(seeds), layout.new_tokens
    check_batch("references", len(layout.prompt_ids), batch, "the number of plans")
    session = DecodeSession.start(model, layout, batch, device, dtype)
    tokens = torch.full((batch, n), DROPPED, device=device)
    log_probs = torch.zeros(batch, n, device=device)
    first = layout.prompt_ids.shape[1]
    logits = session.prefill(layout.prompt_ids, on_chunk)
    sampler = TokenSampler(sampling, item_keys(seeds, device), model.config.codebook_size)
    with recorder as record, attention_of_new_tokens(device):
        if record and lookahead < n:
            session = GraphSession.record(session, first, lookahead, record)
        writer = TokenWriter(session, sampler, kept, first, layout.grids, lookahead)
        writer.write(logits, tokens, log_probs, on_token)
    return tokens, log_probs


def plan_of_tokens(tokens: Tensor, log_probs: Tensor | None, layout: PromptLayout, origins: tuple[Origin, ...]) -> Plan:
    """The plan of tokens [B, n] and their log-probabilities, in the order of writing."""
    *coarse, target = split_grids(tokens, layout.grids)
    return Plan(target, coarse[0] if coarse else None, origins, log_probs)


def split_grids(tokens: Tensor, grids: list[Grid]) -> list[Tensor]:
    """Tokens [B, n] → [B, rows, columns] for each of the grids."""
    parts = tokens.split([rows * columns for rows, columns in grids], dim=1)
    return [part.unflatten(1, grid) for part, grid in zip(parts, grids)]
