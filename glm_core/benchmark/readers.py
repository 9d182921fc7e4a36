"""Who reads the images: OCR in this process, or a vision-language model that a server offers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import numpy as np
from PIL import Image

from ..ocr import FindText, load_ocr
from ..services import Answer, ask, with_model
from .base import Question


@dataclass(frozen=True)
class Reader:
    """name: under which its answers are kept. at_once: the number of images that it is given at the same time."""

    name: str
    answer: Callable[[Image.Image, Question], Answer]
    at_once: int = 1


def ocr_reader() -> Reader:
    """RapidOCR, whose answer to any question is the texts that it found, one per line.

    Raises GLMImageError if it is not installed.
    """
    find_text = load_ocr()
    name = f"PP-OCR by rapidocr {version('rapidocr')}"
    return Reader(name, partial(read_text, find_text, name))


def read_text(find_text: FindText, name: str, image: Image.Image, question: Question) -> Answer:
    return Answer("\n".join(box.text for box in find_text(np.asarray(image))), name)


def judge_reader(url: str, timeout_s: float, at_once: int) -> Reader:
    """The model of a server, see ``services.ask``. Raises GLMImageError if the server does not say which that is."""
    named = with_model(url, timeout_s)

    def answer(image: Image.Image, question: Question) -> Answer:
        return ask(named, question.text, image, timeout_s, question.max_tokens)

    _, _, model = named.partition("#")
    return Reader(model, answer, at_once)
