"""Answers about pictures, kept as JSONL beside them, so that an interrupted run does not ask again."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..errors import GLMImageError
from ..files import parse_json, quote, read_text
from ..pipeline import Progress, no_progress
from ..services import Answer
from .base import Benchmark, Case, Question
from .pictures import find_picture, fingerprint, is_black, read_cells
from .readers import Reader

FILE = "answers.jsonl"
MOST_BYTES = 2**30


class Key(NamedTuple):
    """What an answer belongs to. sha256: of the picture file."""

    sha256: str
    cell: int
    question: str
    reader: str


@dataclass(frozen=True)
class Asked:
    """A question about an image of a picture file."""

    picture: str
    key: Key
    image: Image.Image
    question: Question


class AnswerBook:
    """Answers by what they belong to; each is written to the end of a file as it comes."""

    def __init__(self, path: Path, reuse: bool):
        """reuse: whether the answers that the file already has are given again."""
        self.path = path
        self.known: dict[Key, Answer] = {}
        if path.exists():
            drop_unfinished_line(path)
            if reuse:
                self.known = dict(read_answers(path))

    def add(self, asked: Asked, answer: Answer) -> None:
        self.known[asked.key] = answer
        line = {"picture": asked.picture, **asked.key._asdict(), "model": answer.model, "text": answer.text}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def drop_unfinished_line(path: Path) -> None:
    """Cut off what a run that was killed had begun to write."""
    data = path.read_bytes()
    complete = data[: data.rfind(b"\n") + 1]
    if complete != data:
        path.write_bytes(complete)


def read_answers(path: Path) -> Iterator[tuple[Key, Answer]]:
    """Raises GLMImageError, naming the line, on anything but lines of ``AnswerBook``."""
    for i, line in enumerate(read_text(path, str(path), MOST_BYTES).split("\n")[:-1], 1):
        match parse_json(line, f"{path}, line {i}"):
            case {"sha256": str(digest), "cell": int(cell), "question": str(question), "reader": str(reader),
                  "model": str(model), "text": str(text)}:
                yield Key(digest, cell, question, reader), Answer(text, model)
            case values:
                raise GLMImageError(f"{path}, line {i}: must be an answer about a picture (got {quote(values)})")


def ask_all(benchmark: Benchmark, cases: Sequence[Case], folder: Path, reader: Reader, reuse: bool,
            progress: Progress = no_progress) -> list[list[list[Answer]]]:
    """For each case and each of its images, the answer to each question.

    Raises GLMImageError if a picture is missing or the reader fails; answers so far stay in FILE.
    """
    book = AnswerBook(folder / FILE, reuse)
    keys, waiting = [], []
    with progress("read", len(cases), "picture") as advance:
        for case in cases:
            images = questions_about(benchmark, case, folder, reader)
            keys.append([[one.key for one in asked] for asked in images])
            waiting += [one for asked in images for one in asked if one.key not in book.known]
            while len(waiting) >= reader.at_once:
                answer_some(book, reader, waiting[: reader.at_once])
                waiting = waiting[reader.at_once :]
            advance()
        answer_some(book, reader, waiting)
    return [[[book.known[key] for key in cell] for cell in cells] for cells in keys]


def questions_about(benchmark: Benchmark, case: Case, folder: Path, reader: Reader) -> list[list[Asked]]:
    """For each image the questions about it."""
    path = find_picture(folder, case)
    if path is None:
        raise GLMImageError(f"{folder / case.name}: the picture must be there (got none)")
    digest = fingerprint(path)
    return [[Asked(case.name, Key(digest, cell, question.text, reader.name), image, question)
             for question in benchmark.questions(case)]
            for cell, image in enumerate(read_cells(path, case.cells))
            if not (benchmark.skips_black and is_black(image))]


def answer_some(book: AnswerBook, reader: Reader, asked: Sequence[Asked]) -> None:
    """All at the same time."""
    with ThreadPoolExecutor(reader.at_once) as pool:
        for one, answer in zip(asked, pool.map(lambda one: reader.answer(one.image, one.question), asked)):
            book.add(one, answer)
