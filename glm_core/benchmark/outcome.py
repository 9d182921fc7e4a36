"""What a benchmark gives: figures of here and as published, who read the pictures, and what each picture shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..pipeline import Progress, no_progress
from .answers import ask_all
from .base import Benchmark, Case, Figures, Result
from .readers import Reader


@dataclass(frozen=True)
class Outcome:
    """reader: the model that read the pictures, as it calls itself; "" if nobody did.

    notes: what must be known to compare the figures with others.
    """

    title: str
    reader: str
    figures: Figures
    published: Figures
    groups: dict[str, Figures]
    notes: tuple[str, ...]
    results: tuple[Result, ...]

    def to_json(self) -> dict[str, Any]:
        pictures = [{"name": result.case.name, "prompt": result.case.prompt, "score": result.score,
                     "details": result.details} for result in self.results]
        return {"benchmark": self.title, "reader": self.reader, "figures": self.figures, "published": self.published,
                "groups": self.groups, "notes": self.notes, "pictures": pictures}


def measure(benchmark: Benchmark, cases: Sequence[Case], folder: Path, reader: Reader | None, reuse: bool,
            progress: Progress = no_progress) -> Outcome:
    """Have the pictures in ``folder`` read and compute the figures; without a reader, they are all None.

    reuse: whether answers that are kept there are used. Raises GLMImageError as ``ask_all`` does.
    """
    answers = ask_all(benchmark, cases, folder, reader, reuse, progress) if reader else []
    models = dict.fromkeys(answer.model for images in answers for image in images for answer in image)
    texts = [[[answer.text for answer in image] for image in images] for images in answers]
    results = [benchmark.measure(case, images) for case, images in zip(cases, texts)]
    if reader is None:
        results = [Result(case, None) for case in cases]
    figures = benchmark.figures(results) if reader else dict.fromkeys(benchmark.figures([]))
    return Outcome(benchmark.title, ", ".join(models), figures, benchmark.published,
                   benchmark.groups(results) if reader else {}, notes_of(benchmark), tuple(results))


def notes_of(benchmark: Benchmark) -> tuple[str, ...]:
    read = (f"the published figures were read by {benchmark.official_reader}; those of another reader cannot be "
            "compared with them")
    quirks = [f"{'corrected' if benchmark.corrected else 'as in the official code'}: {quirk}"
              for quirk in benchmark.quirks]
    return (read, *benchmark.notes, *quirks)
