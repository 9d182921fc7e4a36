"""DPG-Bench: 1065 long prompts, with yes/no questions about what their pictures show (ELLA, arXiv:2403.05135).

Metric as in ELLA's dpg_bench/compute_dpg_bench.py: the answer "yes" gives a question 1, any other 0; then, in the order
of the table, a question becomes 0 if one on which it depends is 0. An image's score is the mean over its questions, a
picture's the mean over its images, and the benchmark's the mean over pictures, times 100. Categories are means over
questions, times 100, before dependent ones become 0.

What ``corrected`` changes:

- The official code drops the first row of the table. Where others depend on that question, its prompt fails and is
  left out (TencentQQGYLab/ELLA#61). Corrected, the row counts.
- It counts only the last image of each picture for categories (ELLA#60). Corrected, all count.
- If an item's rows are apart, it keeps only the last of them. Corrected, all count.

A picture that fails in the official code is left out here, too: one without questions, or with a question that depends
on one that is not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ..errors import GLMImageError
from ..evaluation.tasks import invalid
from ..files import read_text
from ..ocr import mean
from .base import Benchmark, Case, Figures, Question, Result, find_data
from .tables import read_table

COLUMNS = "item_id", "proposition_id", "dependency", "tuple", "question_natural_language"
NO_PARENT = 0


@dataclass(frozen=True)
class Proposition:
    """A question with its number within its prompt, and the numbers of those on which it depends.

    category: such as "entity - whole".
    """

    number: int
    parents: tuple[int, ...]
    category: str
    question: str


@dataclass(frozen=True)
class DPGCase(Case):
    propositions: tuple[Proposition, ...]


@dataclass(frozen=True)
class DPGResult(Result):
    """categories: for each image that counts for them, category and score of every question. unclear: answers that are
    neither yes nor no."""

    categories: tuple[tuple[str, float], ...] = ()
    unclear: int = 0


class DPG(Benchmark[DPGCase, DPGResult]):
    title = "DPG-Bench"
    source = "copy dpg_bench/ of TencentQQGYLab/ELLA at github.com (Apache-2.0)"
    needs_judge = True
    notes = ("the model is asked to answer with yes or no; mPLUG needs no such request",)
    quirks = ("the first question of the table is dropped, and its prompt left out if others depend on it",
              "only the last image of each picture counts for categories")
    published_by_language = {"en": {"score": 84.78}}
    official_reader = "mPLUG-large"

    def read(self, data: Path, limit: int | None = None) -> list[DPGCase]:
        table = find_data(data, self.source, "dpg_bench.csv", "dpg_bench/dpg_bench.csv")
        prompts = find_data(data, self.source, "prompts", "dpg_bench/prompts")
        propositions = read_propositions(table, self.corrected)
        files = sorted(prompts.glob("*.txt"))
        if not files:
            raise GLMImageError(f"{prompts}: must have a text file for each prompt (got none); {self.source}")
        return [DPGCase(f"{path.stem}.png", read_text(path, str(path)).strip(), self.copies,
                        tuple(propositions.get(path.stem, ()))) for path in files[:limit]]

    def questions(self, case: DPGCase) -> list[Question]:
        return [Question(f"{proposition.question} Answer with yes or no.") for proposition in case.propositions]

    def measure(self, case: DPGCase, answers: Sequence[Sequence[str]]) -> DPGResult:
        words = [[first_word(answer) for answer in image] for image in answers]
        details = {one.question: ", ".join(image[i] or "-" for image in words)
                   for i, one in enumerate(case.propositions)}
        before = [[float(word == "yes") for word in image] for image in words]
        after = [with_dependencies(case.propositions, image) for image in before]
        if not case.propositions or None in after:
            return DPGResult(case, None, details)
        counted = before if self.corrected else before[-1:]
        categories = tuple((one.category, score) for image in counted
                           for one, score in zip(case.propositions, image, strict=True))
        scores = [sum(image) / len(image) for image in after if image]
        unclear = sum(word not in ("yes", "no") for image in words for word in image)
        return DPGResult(case, mean(scores), details, categories, unclear)

    def figures(self, results: Sequence[DPGResult]) -> Figures:
        scored = [result.score for result in results if result.score is not None]
        return {"score": percent(scored), "pictures_left_out": len(results) - len(scored),
                "unclear_answers": sum(result.unclear for result in results)}

    def groups(self, results: Sequence[DPGResult]) -> dict[str, Figures]:
        """Broad categories, then detailed ones."""
        scores = [pair for result in results for pair in result.categories]
        broad = means([(category.split("-")[0].strip(), score) for category, score in scores])
        return broad | {name: figures for name, figures in means(scores).items() if name not in broad}


def read_propositions(path: Path, corrected: bool) -> dict[str, list[Proposition]]:
    """The questions of each item, in the order of the table. Of two with one number the second counts."""
    found: dict[str, dict[int, Proposition]] = {}
    previous = None
    for i, row in enumerate(read_table(path, COLUMNS), 1):
        if i == 1 and not corrected:
            continue
        item, proposition = row["item_id"], parse_row(row, f"{path}, row {i}")
        if item not in found or (item != previous and not corrected):
            found[item] = {}
        found[item][proposition.number] = proposition
        previous = item
    return {item: list(propositions.values()) for item, propositions in found.items()}


def parse_row(row: dict[str, str], source: str) -> Proposition:
    parents = [whole_number(number, f"{source}, dependency") for number in row["dependency"].split(",")]
    return Proposition(whole_number(row["proposition_id"], f"{source}, proposition_id"), tuple(parents),
                       row["tuple"].split("(")[0].strip(), row["question_natural_language"])


def whole_number(text: str, source: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise invalid(source, "whole numbers", text)
    return int(text)


def with_dependencies(propositions: Sequence[Proposition], scores: Sequence[float]) -> list[float] | None:
    """The scores, with 0 for every question that depends on one that has 0 by then; None where one is missing on which
    a score depends.
    """
    by_number = {one.number: score for one, score in zip(propositions, scores, strict=True)}
    for one in propositions:
        parents = [by_number.get(parent) for parent in one.parents if parent != NO_PARENT]
        decisive = next((score for score in parents if not score), 1.0)
        if decisive is None:
            return None
        by_number[one.number] *= decisive
    return list(by_number.values())


def first_word(answer: str) -> str:
    """The first word of an answer in lower case, without punctuation."""
    words = "".join(character if character.isalnum() else " " for character in answer.lower()).split()
    return words[0] if words else ""


def means(scores: Sequence[tuple[str, float]]) -> dict[str, Figures]:
    """The mean score of each category, in alphabetical order."""
    return {name: {"score": percent([score for _, score in pairs])}
            for name, pairs in groupby(sorted(scores), key=lambda pair: pair[0])}


def percent(scores: Sequence[float]) -> float | None:
    share = mean(scores)
    return None if share is None else 100 * share
