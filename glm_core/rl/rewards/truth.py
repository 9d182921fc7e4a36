"""The reward ``truth``: how near a picture is to the poster as the program draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor

from ...evaluation.suites.drawn import drawn_poster
from .base import Sample, Score
from .letters import poster_pixels
from .places import places, require_poster

SCALES = 1, 2, 4, 8  # pixels of the squares over which pictures are averaged before they are compared


@dataclass(frozen=True)
class TruthReward:
    """Minus the distance to the poster with its items where the plan has them: 0 for the drawn poster.

    The distance is the mean absolute difference, of colours in 0...1, averaged over SCALES, plus that of the steps
    between neighbouring pixels, to which a faint grid adds more than to the colours.
    """

    needs_pictures: bool = True

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Raises GLMImageError on a task without a poster, on a picture of another size, and without the fonts."""
        return [score(sample) for sample in samples]


def score(sample: Sample) -> Score:
    poster = require_poster(sample, "truth")
    placed = replace(poster, items=tuple(place.item for place in places(sample, poster)))
    return Score(-distance(poster_pixels(sample, poster, "truth"), drawn_poster(placed)))


def distance(pixels: Tensor, truth: Tensor) -> float:
    """See ``TruthReward``. pixels, truth: [H, W, 3]."""
    difference = (pixels - truth).movedim(-1, 0)[None]
    colours = sum(F.avg_pool2d(difference, scale).abs().mean() for scale in SCALES) / len(SCALES)
    steps = (difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()) / 2
    return float(colours + steps)
