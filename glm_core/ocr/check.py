"""Whether a picture shows the texts that its prompt quotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .reader import FindText, TextBox, read_words
from .words import WordResult, mean, normalise, pair_words, wanted_words

RIGHT, OTHER = (30, 160, 60), (220, 40, 40)  # colours of boxes


@dataclass(frozen=True)
class Reading:
    """What was found in a picture. words: the result of each wanted word. boxes: all texts that were found."""

    words: list[WordResult]
    boxes: list[TextBox]

    @property
    def accuracy(self) -> float:
        """Share of the wanted words that were read as they are; 1 if none are wanted."""
        share = mean([word.right for word in self.words])
        return 1.0 if share is None else share

    @property
    def similarity(self) -> float:
        """Mean similarity of the wanted words to what was read, see ``pair_words``; 1 if none are wanted."""
        share = mean([word.ned for word in self.words])
        return 1.0 if share is None else share

    def line(self) -> str:
        """What was wanted and read, on one line."""
        if not self.words:
            return "the prompt quotes no text"
        wrong = [f"{word.wanted} (read {word.read or 'nothing'})" for word in self.words if not word.right]
        right = len(self.words) - len(wrong)
        return f"{right} of {len(self.words)} words right" + (f"; wrong: {', '.join(wrong)}" if wrong else "")


def read_picture(pixels: np.ndarray, texts: Sequence[str], find_text: FindText) -> Reading:
    """pixels: uint8 [H, W, 3]. texts: those that the picture should show."""
    boxes = find_text(pixels)
    return Reading(pair_words(wanted_words(texts), read_words(boxes)), boxes)


def annotate(pixels: np.ndarray, reading: Reading) -> np.ndarray:
    """The picture with a box round every text that was found: green if it is a wanted one, otherwise red."""
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    wanted = {word.wanted for word in reading.words}
    width = max(1, round(max(picture.size) / 256))
    for box in reading.boxes:
        half = box.height / 2
        left, right = min(box.centres), max(box.centres)  # in this order whichever way the text runs
        corners = left - half, box.y - half, right + half, box.y + half
        is_wanted = set(read_words([box])) & wanted or normalise(box.text) in wanted
        draw.rectangle(corners, outline=RIGHT if is_wanted else OTHER, width=width)
    return np.asarray(picture)


def wrong_pictures(readings: Sequence[Reading]) -> list[int]:
    """The numbers, from 0, of the pictures in which a wanted word is wrong or missing."""
    return [i for i, reading in enumerate(readings) if reading.accuracy < 1]


def rank_readings(readings: Sequence[Reading], likelihoods: Sequence[float]) -> list[int]:
    """The numbers of the pictures, best first: by words right, then by similarity, then by likelihood."""
    key = [(reading.accuracy, reading.similarity, likelihood)
           for reading, likelihood in zip(readings, likelihoods, strict=True)]
    return sorted(range(len(key)), key=lambda i: key[i], reverse=True)
