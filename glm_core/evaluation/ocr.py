"""Reading the words of a picture with RapidOCR (PP-OCR models that its wheel carries)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from statistics import median

import numpy as np

from ..errors import GLMImageError
from .metrics import normalise

SPACED = 0.68  # letters are set apart where their usual distance is this share of the line's height; in plain type it is about half
SPACED_GAP = 1.35  # a blank among such letters parts words where it sets them this much further apart


@dataclass(frozen=True)
class Box:
    """A text that the OCR found: where its letters are (``centres`` in pixels, one a character that is no blank)."""

    text: str
    centres: tuple[float, ...]
    y: float
    height: float


def text_lines(boxes: Sequence[Box]) -> list[list[Box]]:
    """Boxes beside each other make a line; lines from top to bottom, boxes from left to right."""
    lines: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: box.y):
        if lines and abs(box.y - lines[-1][0].y) < min(box.height, lines[-1][0].height) / 2:
            lines[-1].append(box)
        else:
            lines.append([box])
    return [sorted(line, key=lambda box: box.centres[0]) for line in lines]


def pieces(line: Sequence[Box]) -> list[tuple[str, list[float]]]:
    """The line's texts cut at blanks, each with the centres of its characters."""
    found = []
    for box in line:
        centres = iter(box.centres)
        found += [(piece, [next(centres) for _ in piece]) for piece in box.text.split()]
    return found


def widest_join(line: Sequence[Box]) -> float:
    """How far apart in pixels two letters with a blank between them still belong to one word."""
    height = median(box.height for box in line)
    usual = median([b - a for box in line for a, b in pairwise(box.centres)] or [height])
    spelled = all(len(piece) == 1 for piece, _ in pieces(line))
    return SPACED_GAP * usual if spelled or usual >= SPACED * height else 0.0


def line_words(line: Sequence[Box]) -> list[str]:
    """Normalised words of a line. Letters set apart evenly ("H E L L O") are one word, whatever blanks the OCR saw."""
    join = widest_join(line)
    words, end = [], None
    for piece, centres in pieces(line):
        if end is not None and centres[0] - end <= join:
            words[-1] += piece
        else:
            words.append(piece)
        end = centres[-1]
    return [word for word in map(normalise, words) if word]


def read_words(boxes: Sequence[Box]) -> list[str]:
    return [word for line in text_lines([box for box in boxes if normalise(box.text)]) for word in line_words(line)]


def letter_centres(text: str, corners: np.ndarray, letters: Sequence) -> tuple[float, ...]:
    """As the OCR places its letters (character, score, corners); spread evenly over the box where these are not the text's."""
    if [letter[0] for letter in letters] == list("".join(text.split())):
        return tuple(float(np.mean([x for x, _ in letter[2]])) for letter in letters)
    left, right = corners[:, 0].min(), corners[:, 0].max()
    return tuple(float(left + (i + 0.5) * (right - left) / len(text)) for i, character in enumerate(text) if not character.isspace())


def to_boxes(result) -> list[Box]:
    """RapidOCR's output as boxes; [] where it found no text."""
    boxes = []
    for i, (text, corners) in enumerate(zip(result.txts or (), result.boxes if result.txts else ())):
        letters = result.word_results[i] if i < len(result.word_results) else ()
        height = float(np.linalg.norm(corners[3] - corners[0]))
        boxes.append(Box(text, letter_centres(text, corners, letters), float(corners[:, 1].mean()), height))
    return [box for box in boxes if box.centres]


def make_reader() -> Callable[[np.ndarray], list[str]]:
    """A function from uint8 [H, W, 3] to the picture's normalised words. Upside-down text is not turned.

    Raises GLMImageError where rapidocr or onnxruntime is not installed.
    """
    for package in ("rapidocr", "onnxruntime"):
        if find_spec(package) is None:
            raise GLMImageError(f"evaluate: {package} is not installed; pip install rapidocr onnxruntime")
    from rapidocr import RapidOCR

    engine = RapidOCR(params={"Global.log_level": "error", "Global.use_cls": False, "Global.return_word_box": True,
                              "Global.return_single_char_box": True})
    return lambda pixels: read_words(to_boxes(engine(np.ascontiguousarray(pixels[..., ::-1]))))
