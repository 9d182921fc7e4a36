"""Logits → the next token of every item of the batch."""

from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from ..geometry import check_range


def setting(default: float | int, least: float | int, most: float | int, step: float | int, help: str) -> Any:
    """A field of Sampling. The node's widget, the command line's option and the check all use this range."""
    return field(default=default, metadata={"least": least, "most": most, "step": step, "help": help})


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn; the defaults are those of the released generation_config.json.

    A top_k of the codebook size or more keeps every token; top_k = 1 is greedy.
    Raises GLMImageError if a value is out of its range.
    """

    temperature: float = setting(0.9, 0.05, 2.0, 0.05,
                                 "Lower is safer, higher is more varied. The model was released with 0.9.")
    top_p: float = setting(0.75, 0.01, 1.0, 0.01,
                           "Sample from the most likely tokens whose probabilities add up to this value; 1 keeps all. "
                           "The model was released with 0.75.")
    top_k: int = setting(16384, 1, 16384, 1,
                         "Sample from this many of the most likely tokens. 1 always takes the most likely one; 16384 "
                         "keeps all.")

    def __post_init__(self) -> None:
        for entry in fields(self):
            check_range(entry.name, getattr(self, entry.name), entry.metadata["least"], entry.metadata["most"])


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits [..., V] with all but the k largest at -inf."""
    if k >= logits.shape[-1]:
        return logits
    smallest_kept = logits.topk(k).values[..., -1:]
    return logits.masked_fill(logits < smallest_kept, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Logits [..., V] with all but the nucleus at -inf: the fewest most likely tokens whose probabilities sum to p."""
    if p >= 1:
        return logits
    ordered, order = logits.sort(descending=True)
    probabilities = ordered.softmax(-1)
    mass_before = probabilities.cumsum(-1) - probabilities
    mass_before[..., 0] = 0  # rounding must never drop the most likely token
    dropped = torch.empty_like(mass_before, dtype=torch.bool).scatter(-1, order, mass_before >= p)
    return logits.masked_fill(dropped, -torch.inf)


def best_in_nucleus(probabilities: Tensor, score: Tensor, p: float) -> Tensor:
    """Index [...] of the highest score [..., V] inside the nucleus of probabilities [..., V], found without sorting.

    Scores are at least 0. Each round takes the best score. If the tokens more likely than it already reach p, it lies
    outside the nucleus: its score becomes -1, and the next round takes the next best.
    """
    while True:
        best = score.argmax(-1, keepdim=True)
        is_likelier = probabilities > probabilities.gather(-1, best)
        is_outside = torch.where(is_likelier, probabilities, 0).sum(-1, keepdim=True) >= p
        if not is_outside.any():
            return best[..., 0]
        score = score.scatter(-1, best, torch.where(is_outside, -1, score.gather(-1, best)))


def sample(logits: Tensor, sampling: Sampling, noise: Tensor | None) -> Tensor:
    """Ids [...] from logits [..., V] and Exp(1) noise [..., V], see ``draw_noise``; greedy sampling needs none.

    argmax(p / Exp(1)) draws from p (the Gumbel-max trick, as in gpt-fast). A tiny difference in the logits then changes
    a token only at a near tie, so plans stay the same across batch sizes and hosts. On a GPU the nucleus is found by
    sorting, because the search without sorting would wait for the device in every round.
    """
    if sampling.top_k == 1 or noise is None:
        return logits.argmax(-1)
    logits = keep_top_k(logits.float() / sampling.temperature, sampling.top_k)
    if logits.device.type != "cpu":
        return (keep_top_p(logits, sampling.top_p).softmax(-1) / noise).argmax(-1)
    probabilities = logits.softmax(-1)
    if sampling.top_p >= 1:
        return (probabilities / noise).argmax(-1)
    return best_in_nucleus(probabilities, probabilities / noise, sampling.top_p)


def in_nucleus(logits: Tensor, ids: Tensor, sampling: Sampling) -> Tensor:
    """bool [...]: whether ids [...] are among those that ``sample`` can draw from logits [..., V]."""
    if sampling.top_k == 1:
        return logits.argmax(-1) == ids
    probabilities = keep_top_k(logits.float() / sampling.temperature, sampling.top_k).softmax(-1)
    own = probabilities.gather(-1, ids[..., None])
    likelier = torch.where(probabilities > own, probabilities, 0).sum(-1)
    return (own[..., 0] > 0) & ((likelier < sampling.top_p) | (sampling.top_p >= 1))


def log_probabilities(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities, float32 [...], of ids [...] from the full softmax of logits [..., V] at temperature 1."""
    logits = logits.float()
    return logits.gather(-1, ids[..., None])[..., 0] - logits.logsumexp(-1)
