"""Prompt → plan: prefill once, then decode one token after the other, first the coarse grid, then the target grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ..geometry import Grid
from ..plans import DROPPED, Drawn, Plan, check_batch
from .layout import PromptLayout, lay_out_prompt
from .model import PlannerModel
from .noise import draw_noise, item_keys
from .prompt import PromptTokenizer
from .sampling import Sampling, sample
from .session import DecodeSession, GraphSession, OnChunk, Recorder, attention_of_new_tokens

OnToken = Callable[[int, Tensor], object]  # called with i and tokens [B, n] once token i is drawn; the rest is DROPPED


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

    def draw_noise(self, tokens: int | Tensor) -> Tensor | None:
        """The random numbers that decide these tokens of every item, see ``draw_noise``; None for greedy sampling."""
        return None if self.sampling.top_k == 1 else draw_noise(self.keys, tokens, self.codebook_size)

    def sample(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """Ids [B, ...] from logits [1 or B, ..., V] and noise [B, ..., codebook size]."""
        codes = logits[..., : self.codebook_size]
        return sample(codes.expand(len(self.keys), *codes.shape[1:]), self.sampling, noise)


def decode_n_tokens(session: DecodeSession, logits: Tensor, tokens: Tensor, first: int, sampler: TokenSampler,
                    on_token: OnToken) -> None:
    """Fill tokens [B, n], which begin at position ``first``. ``logits`` [1 or B, V]: those after the prompt."""
    for i in range(tokens.shape[1]):
        if i:
            logits = session.decode(tokens[:, i - 1 : i], first + i - 1)[:, 0]
        tokens[:, i] = sampler.sample(logits, sampler.draw_noise(i))
        on_token(i, tokens)


def draft_sources(grids: list[Grid]) -> list[int]:
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


def decode_jacobi(session: DecodeSession, logits: Tensor, tokens: Tensor, first: int, sampler: TokenSampler,
                  on_token: OnToken, sources: list[int], lookahead: int) -> None:
    """Write the tokens that ``decode_n_tokens`` writes, in fewer passes.

    Each pass also verifies drafts of the next ``lookahead - 1`` tokens. The random numbers that decide a token are the
    same in every pass, so the token depends on its logits only: if the drafts before a token were right, what the pass
    draws for it is right too, unless rounding of the logits tips a near tie. The first draft of a token repeats the
    earlier one that ``sources`` names, later drafts are what the last pass drew. All items advance by the number of
    drafts accepted in every item.

    Sources: Jacobi decoding, Song et al. 2021; sampling coupled as in Teng et al. 2024.
    """
    n = tokens.shape[1]
    tokens[:, 0] = sampler.sample(logits, sampler.draw_noise(0))
    on_token(0, tokens)
    drafts, drafted, known = tokens.clone(), 1, 1  # drafted, known: number of tokens with a draft, of final tokens
    while known < n:
        end = min(known + lookahead, n)
        for i in range(drafted, end):
            drafts[:, i] = drafts[:, sources[i]]
        pass_logits = session.decode(drafts[:, known - 1 : end - 1], first + known - 1)
        drawn = sampler.sample(pass_logits, sampler.draw_noise(torch.arange(known, end, device=tokens.device)))
        matches = (drawn == drafts[:, known:end]).all(0)[:-1]
        accepted = 1 + int(matches.cumprod(0).sum())  # a drawn token is right if all drafts before it were right
        drafts[:, known:end] = drawn
        tokens[:, known : known + accepted] = drawn[:, :accepted]
        for i in range(known, known + accepted):
            on_token(i, tokens)
        known, drafted = known + accepted, end


def plan_prompt(model: PlannerModel, tokenizer: PromptTokenizer, prompt: str, width: int, height: int, *,
                references: Sequence[Plan] = (), coarse: bool = True, **options) -> Plan:
    """``lay_out_prompt``, then ``generate_plan`` with ``options``; raises the errors of both."""
    return generate_plan(model, lay_out_prompt(tokenizer, model.config, prompt, width, height, references, coarse),
                         **options)


@torch.inference_mode()
def generate_plan(model: PlannerModel, layout: PromptLayout, *, batch: int = 1, seed: int = 0,
                  sampling: Sampling = Sampling(), lookahead: int = 1, device: torch.device | str = "cpu",
                  dtype: torch.dtype = torch.float32, on_token: OnToken = lambda i, tokens: None,
                  on_chunk: OnChunk = lambda: None, recorder: Recorder = nullcontext(),
                  fingerprint: str = "") -> Plan:
    """Write ``batch`` plans for one layout; item i is drawn with the random numbers of seed + i.

    lookahead: number of tokens tried in one pass, see ``decode_jacobi``; 1 turns this off.
    device, dtype: those of the activations.
    on_chunk, on_token: called before every chunk of the prompt and for every token; an exception raised there ends
    the run.
    recorder: entered after the prompt and left at the end of the run. Inside, the weights must stay in place if it
    gives what records a pass (see ``GraphSession``) and not None.
    fingerprint: of the planner's weights, for the plan's origins.
    Raises GLMImageError if the references' batch is neither 1 nor ``batch``.
    """
    check_batch("references", len(layout.prompt_ids), batch, "the number of plans")
    session = DecodeSession.start(model, layout, batch, device, dtype)
    tokens = torch.full((batch, layout.new_tokens), DROPPED, device=device)
    first = layout.prompt_ids.shape[1]
    logits = session.prefill(layout.prompt_ids, on_chunk)
    sampler = TokenSampler(sampling, item_keys(seed, batch, device), model.config.codebook_size)
    with recorder as record, attention_of_new_tokens(device):
        if record and lookahead < layout.new_tokens:
            session = GraphSession.record(session, first, lookahead, record)
        if lookahead > 1:
            decode_jacobi(session, logits, tokens, first, sampler, on_token, draft_sources(layout.grids), lookahead)
        else:
            decode_n_tokens(session, logits, tokens, first, sampler, on_token)
    *coarse, target = split_grids(tokens, layout.grids)
    origins = tuple(Drawn(layout.prompt, (seed + i) % 2**64, layout.size, asdict(sampling), fingerprint)
                    for i in range(batch))
    return Plan(target, coarse[0] if coarse else None, origins)


def split_grids(tokens: Tensor, grids: list[Grid]) -> list[Tensor]:
    """Tokens [B, n] → [B, rows, columns] for each of the grids."""
    parts = tokens.split([rows * columns for rows, columns in grids], dim=1)
    return [part.unflatten(1, grid) for part, grid in zip(parts, grids)]
