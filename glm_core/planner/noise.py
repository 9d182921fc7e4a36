"""The random numbers that decide tokens, each a function of (seed of the item, number of the token, code) alone.

A counter-based generator: it keeps no state and computes with 32-bit integers, which wrap round on every device alike.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

MASK_64 = 2**64 - 1
MIX_FACTORS = 0x7FEB352D, 0x846CA68B - 2**32  # as int32
TOKEN_STRIDE = 2**16  # counters of a token: no two numbers of an item share one in 65,536 tokens of 65,536 codes


def splitmix64(seed: int) -> int:
    """The first number of the generator SplitMix64 with this seed. Source: Steele et al. 2014; Vigna's splitmix64.c."""
    z = (seed + 0x9E3779B97F4A7C15) & MASK_64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK_64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK_64
    return z ^ z >> 31


def item_keys(seeds: Iterable[int], device: torch.device | str) -> Tensor:
    """int32 [B, 2], a key for each of the items' seeds. Seeds are taken modulo 2^64."""
    keys = b"".join(splitmix64(seed & MASK_64).to_bytes(8, "big") for seed in seeds)
    halves = [int.from_bytes(keys[i : i + 4], "big", signed=True) for i in range(0, len(keys), 4)]
    return torch.tensor(halves, dtype=torch.int32).view(-1, 2).to(device)


def mix(x: Tensor) -> Tensor:
    """Spread every bit of x, int32, over all bits, in place. Source: lowbias32, C. Wellons, Prospecting for Hash
    Functions, 2018."""
    x ^= x >> 16 & 0xFFFF  # masked, because shifting an int32 copies the sign
    x *= MIX_FACTORS[0]
    x ^= x >> 15 & 0x1FFFF
    x *= MIX_FACTORS[1]
    x ^= x >> 16 & 0xFFFF
    return x


def random_bits(first_key: Tensor, second_key: Tensor, token: Tensor, codes: int) -> Tensor:
    """int32 [..., codes]; keys and the number of the token, int32 [..., 1], broadcast."""
    counters = torch.arange(codes, dtype=torch.int32, device=token.device) + token * TOKEN_STRIDE
    return mix(mix(counters ^ first_key).add_(second_key))


def exponential(bits: Tensor) -> Tensor:
    """int32 → Exp(1), float32: -log of the upper 23 bits as the middle of a step between 0 and 1, so it is above 0."""
    return (bits >> 9 & 0x7FFFFF).float().add_(0.5).mul_(2.0**-23).log_().neg_()


def draw_noise(keys: Tensor, tokens: Tensor, codes: int) -> Tensor:
    """Exp(1) noise that decides tokens of every item: float32 [B, n, codes].

    keys: int32 [B, 2], see ``item_keys``.
    tokens: their numbers [n] within the item, 0 for the first that is written. They may change between replays of a
    recorded pass.
    """
    numbers = tokens.to(torch.int32)
    if keys.device.type != "cpu":
        first, second = keys[:, None, :1], keys[:, None, 1:]
        return exponential(random_bits(first, second, numbers[:, None], codes))
    rows = [exponential(random_bits(key[:1], key[1:], number, codes)) for key in keys for number in numbers]  # in cache
    return torch.stack(rows).view(len(keys), len(numbers), codes)
