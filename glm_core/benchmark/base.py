"""What all benchmarks have in common: picture files to draw, questions about their images, results and figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from ..errors import GLMImageError

TRANSCRIBE = ("Write out all the text that this image shows, and nothing else. Leave out what you have already "
              "written. If the image shows no text, answer 'No text recognized'.")

Figures = dict[str, float | int | None]  # None: nobody measured it


@dataclass(frozen=True)
class Question:
    """What is asked about an image, and the tokens after which the answer is cut. OCR reads, whatever is asked."""

    text: str
    max_tokens: int = 1024


@dataclass(frozen=True)
class Case:
    """A picture file of a benchmark.

    name: its path below the folder of pictures, as the official scorer wants it. prompt: what to draw.
    cells: the number of images in it, 1 or 4; four stand in two rows.
    """

    name: str
    prompt: str
    cells: int


@dataclass(frozen=True)
class Result:
    """What a picture file shows. score: in 0...1, for sorting; None if the official code leaves the file out.

    details: what was wanted and what was found, for people.
    """

    case: Case
    score: float | None
    details: dict[str, str] = field(default_factory=dict)


AnyCase = TypeVar("AnyCase", bound=Case)
AnyResult = TypeVar("AnyResult", bound=Result)


@dataclass(frozen=True)
class Benchmark(ABC, Generic[AnyCase, AnyResult]):
    """A benchmark: reads the official files, and computes the official figures from what was read in the pictures.

    language: "en" or "zh". copies: images for each prompt. corrected: whether plain mistakes of the official code are
    corrected, which each module names.

    title: its name. source: where the official files come from, and their licence. needs_judge: whether a model must
    answer; otherwise OCR can read. skips_black: whether black images, which stand for missing ones, are left out.
    notes: what differs from the official measurement. quirks: mistakes of the official code that are computed as they
    are, unless ``corrected``. published_by_language: see ``published``. official_reader: the model with which those
    figures were read.
    """

    language: str = "en"
    copies: int = 4
    corrected: bool = False

    title: ClassVar[str]
    source: ClassVar[str]
    needs_judge: ClassVar[bool] = False
    skips_black: ClassVar[bool] = False
    notes: ClassVar[tuple[str, ...]]
    quirks: ClassVar[tuple[str, ...]]
    published_by_language: ClassVar[dict[str, Figures]]
    official_reader: ClassVar[str]

    @property
    def published(self) -> Figures:
        """The figures that GLM-Image's README gives for the released model."""
        return one_of(self.published_by_language, self.language)

    @abstractmethod
    def read(self, data: Path, limit: int | None = None) -> list[AnyCase]:
        """The picture files of the first ``limit`` prompts. Raises GLMImageError on other files than the official."""

    @abstractmethod
    def questions(self, case: AnyCase) -> list[Question]:
        """What is asked about every image of a picture file."""

    @abstractmethod
    def measure(self, case: AnyCase, answers: Sequence[Sequence[str]]) -> AnyResult:
        """answers: for each image that was read, the answer to each question."""

    @abstractmethod
    def figures(self, results: Sequence[AnyResult]) -> Figures:
        """The official figures over all picture files; without results, all are None."""

    def groups(self, results: Sequence[AnyResult]) -> dict[str, Figures]:
        """Figures of parts of the benchmark, by name, where the official code gives any."""
        return {}


def find_data(data: Path, source: str, *candidates: str) -> Path:
    """The first of these paths below ``data`` that is there. Raises GLMImageError saying where it comes from."""
    for candidate in candidates:
        if (data / candidate).exists():
            return data / candidate
    raise GLMImageError(f"--data {data}: must have {' or '.join(candidates)} (got none); {source}")


def ratio(right: float, wanted: float) -> float | None:
    """None if nothing was wanted."""
    return right / wanted if wanted else None


def one_of(values: dict[str, Any], language: str) -> Any:
    """The value of a language. Raises GLMImageError on a language that is not among them."""
    if language not in values:
        raise GLMImageError(f"--language must be {' or '.join(values)} (got {language})")
    return values[language]
