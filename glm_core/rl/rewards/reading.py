"""The rewards ``words`` and ``shapes``, which look at any picture as ``evaluate`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from torch import Tensor

from ...evaluation.suites.posters import measure_shapes
from ...ocr import Reader, make_reader, pair_words
from .base import Sample, Score
from .places import parts_of_cells, places


@dataclass(frozen=True)
class WordsReward:
    """The mean over the wanted words of 1 for a word that the OCR reads, and half its similarity for another one.

    1 if no word is wanted. parts: of each word, for posters. It takes some tenths of a second per picture.
    """

    reader: Reader = field(default_factory=make_reader)
    needs_pictures: bool = True

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        return [self.score(sample) for sample in samples]

    def score(self, sample: Sample) -> Score:
        read = self.reader(np.asarray(sample.require_picture()))
        results = pair_words(sample.task.words, read)
        return mean_score(sample, [(result.right + result.ned) / 2 for result in results], of_words=True)


@dataclass(frozen=True)
class ShapesReward:
    """The share of the wanted shapes that are seen in their zones, or 1. parts: of each shape, for posters."""

    needs_pictures: bool = True

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        return [self.score(sample) for sample in samples]

    def score(self, sample: Sample) -> Score:
        results = measure_shapes(sample.task, sample.require_picture())
        return mean_score(sample, [float(result.right) for result in results], of_words=False)


def mean_score(sample: Sample, values: list[float], of_words: bool) -> Score:
    """The score of a sample whose words, or else shapes, are worth so much."""
    value = fmean(values) if values else 1.0
    if sample.task.poster is None:
        return Score(value)
    return Score(value, tuple(values), cells_of(sample, of_words))


def cells_of(sample: Sample, of_words: bool) -> Tensor:
    """Which word, or else shape, a cell belongs to, see ``parts_of_cells``."""
    assert sample.task.poster is not None
    items = [place.item for place in places(sample, sample.task.poster)]
    return parts_of_cells([item for item in items if (item.kind is None) == of_words], sample.plan.ids[0])
