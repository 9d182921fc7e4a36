"""Logits → the next token of every item of the batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import GLMImageError


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn; the defaults are those of the released generation_config.json.

    top_k at or above the codebook size keeps every token; top_k = 1 is greedy.
    """

    temperature: float = 0.9
    top_p: float = 0.75
    top_k: int = 16384

    def __post_init__(self):
        for name, ok, accepted in (("temperature", self.temperature > 0, "above 0"),
                                   ("top_p", 0 < self.top_p <= 1, "above 0 and up to 1"),
                                   ("top_k", self.top_k >= 1, "1 or more")):
            if not ok:
                raise GLMImageError(f"{name}: found {getattr(self, name)}, accepted is {accepted}")


def seeded_generators(seed: int, batch: int, device) -> list[torch.Generator]:
    """One generator an item, seeded with seed + i, so that an item does not depend on its batch mates."""
    return [torch.Generator(device).manual_seed((seed + i) % 2**64) for i in range(batch)]


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    if k >= logits.shape[-1]:
        return logits
    smallest_kept = logits.topk(k).values[..., -1:]
    return logits.masked_fill(logits < smallest_kept, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the fewest most likely tokens whose mass reaches p."""
    if p >= 1:
        return logits
    ordered, order = logits.sort(descending=True)
    probabilities = ordered.softmax(-1)
    mass_before = probabilities.cumsum(-1) - probabilities
    mass_before[..., 0] = 0  # rounding must never drop the likeliest token
    dropped = torch.empty_like(mass_before, dtype=torch.bool).scatter(-1, order, mass_before >= p)
    return logits.masked_fill(dropped, -torch.inf)


def draw_race(generators: list[torch.Generator], codes: int, sampling: Sampling) -> Tensor | None:
    """The numbers that decide one token of every item: float32 [B, codes], Exponential(1), each row from its own generator.

    A call draws the same numbers whatever was drawn around it, so that ways of decoding can be compared; greedy needs none.
    """
    if sampling.top_k == 1:
        return None
    race = torch.empty(len(generators), codes, device=generators[0].device)
    for row, generator in zip(race, generators):
        row.exponential_(generator=generator)
    return race


def first_in_nucleus(probabilities: Tensor, score: Tensor, p: float) -> Tensor:
    """The best score [...] among the fewest most likely tokens whose mass reaches p: tries the best ones, and sorts nothing."""
    while True:
        best = score.argmax(-1, keepdim=True)
        heavier = probabilities > probabilities.gather(-1, best)
        outside = torch.where(heavier, probabilities, 0).sum(-1, keepdim=True) >= p
        if not outside.any():
            return best[..., 0]
        score = score.scatter(-1, best, torch.where(outside, -1, score.gather(-1, best)))


def sample(logits: Tensor, sampling: Sampling, race: Tensor | None) -> Tensor:
    """Ids [...] from logits [..., V] and their ``race``; on other devices than the CPU without a sync, which is why it sorts there.

    argmax(p / Exponential(1)) draws from p (the exponential race of gpt-fast). A tiny difference of the logits
    then changes a token only at a near tie, which keeps plans the same over batch sizes and programs.
    """
    if sampling.top_k == 1:
        return logits.argmax(-1)
    logits = keep_top_k(logits.float() / sampling.temperature, sampling.top_k)
    if logits.device.type != "cpu":
        return (keep_top_p(logits, sampling.top_p).softmax(-1) / race).argmax(-1)
    probabilities = logits.softmax(-1)
    if sampling.top_p >= 1:
        return (probabilities / race).argmax(-1)
    return first_in_nucleus(probabilities, probabilities / race, sampling.top_p)
