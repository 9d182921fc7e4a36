"""The three-axis positions of a planner's tokens."""

import torch
from torch import Tensor

from ..geometry import Grid


def positions(segments: list[int | Grid]) -> Tensor:
    """Positions (time, row, column) of consecutive segments: int64 [3, tokens].

    A number stands for that many text tokens, which count up on all three axes. The tokens of a grid all have the time
    at which it starts; what follows starts max(rows, columns) later.
    Source: transformers, GlmImageModel.get_rope_index.
    """
    parts, start = [], 0
    for segment in segments:
        if isinstance(segment, int):
            parts.append((start + torch.arange(segment)).expand(3, -1))
            start += segment
        else:
            rows, columns = segment
            row = torch.arange(rows).repeat_interleave(columns)
            column = torch.arange(columns).repeat(rows)
            parts.append(start + torch.stack((torch.zeros_like(row), row, column)))
            start += max(rows, columns)
    return torch.cat(parts, dim=1)
