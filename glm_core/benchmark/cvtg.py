"""CVTG-2K: 2000 prompts with two to five quoted texts (TextCrafter, arXiv:2503.23461).

Metrics as in TextCrafter's unified_metrics_eval.py, over the words of all pictures:

- wanted words: what stands between two apostrophes, in lower case, cut at blanks; read words: likewise
- word accuracy: the share of wanted words that are among the read words of their picture; punctuation counts, and a
  word that was read once serves any number of wanted ones
- NED: the mean of 1 - d / (n + 0.00001), where d is the edit distance to the read word that difflib finds closest, and
  n the length of the longer one

What ``corrected`` changes: the official code takes every apostrophe for a quotation mark, so that "the shop's sign
'OPEN'" wants the words "s", "sign". Corrected, the quoted texts are those that this pack finds in the prompt.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..evaluation.tasks import invalid, is_text
from ..files import read_json
from ..glyph.quotes import NATURAL, read_quotations
from ..ocr import edit_distance, mean
from .base import TRANSCRIBE, Benchmark, Case, Figures, Question, Result, find_data, ratio

FOLDERS = "CVTG", "CVTG-Style"
COUNTS = 2, 3, 4, 5  # quoted texts of a prompt
SAFE = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True)
class CVTGCase(Case):
    """part: folder and file that the prompt is from. words: those wanted."""

    part: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class CVTGResult(Result):
    part: str = ""
    words: int = 0
    right: int = 0
    similarities: tuple[float, ...] = ()


class CVTG(Benchmark[CVTGCase, CVTGResult]):
    title = "CVTG-2K"
    source = "unpack CVTG-2K.zip of the data set dnkdnk/CVTG-2K at huggingface.co, which shows its licence"
    notes = ()
    quirks = ("apostrophes in a prompt count as quotation marks",)
    published_by_language = {"en": {"word_accuracy": 0.9116, "ned": 0.9557, "clip_score": 0.7877}}
    official_reader = "PaddleOCR"

    def read(self, data: Path, limit: int | None = None) -> list[CVTGCase]:
        """Of each of the eight files the first ``limit`` prompts: the first of each, then the second of each, …, so
        that a limit does not change which seed a prompt gets.
        """
        parts = [self.read_part(data, folder, count)[:limit] for folder in FOLDERS for count in COUNTS]
        return [case for row in zip_longest(*parts) for case in row if case is not None]

    def read_part(self, data: Path, folder: str, count: int) -> list[CVTGCase]:
        names = [f"{root}{name}/{count}.json" for root in ("", "CVTG-2K/") for name in spellings(folder)]
        path = find_data(data, self.source, *names)
        entries = read_json(path).get("data_list")
        if not isinstance(entries, list):
            raise invalid(f"{path}: data_list", "a list of prompts", entries)
        return [parse_entry(entry, f"{path}, entry {i}", f"{folder}/{count}", self.corrected)
                for i, entry in enumerate(entries)]

    def questions(self, case: CVTGCase) -> list[Question]:
        return [Question(TRANSCRIBE)]

    def measure(self, case: CVTGCase, answers: Sequence[Sequence[str]]) -> CVTGResult:
        ((text,),) = answers
        read = text.lower().split() or [""]
        right = sum(word in read for word in case.words)
        similarities = tuple(similarity(word, read) for word in case.words)
        details = {"wanted": " ".join(case.words), "read": " ".join(read)}
        return CVTGResult(case, ratio(right, len(case.words)), details, case.part, len(case.words), right, similarities)

    def figures(self, results: Sequence[CVTGResult]) -> Figures:
        words = sum(result.words for result in results)
        return {"word_accuracy": ratio(sum(result.right for result in results), words),
                "ned": mean([value for result in results for value in result.similarities]), "words": words}

    def groups(self, results: Sequence[CVTGResult]) -> dict[str, Figures]:
        parts = dict.fromkeys(result.part for result in results)
        return {part: self.figures([result for result in results if result.part == part]) for part in parts}


def spellings(folder: str) -> list[str]:
    """The README of TextCrafter writes "CVTG-style", its code "CVTG-Style"."""
    return list(dict.fromkeys((folder, folder.replace("Style", "style"))))


def parse_entry(entry: Any, source: str, part: str, corrected: bool) -> CVTGCase:
    match entry:
        case {"index": int() | str() as index, "prompt": prompt} if is_text(prompt) and SAFE.fullmatch(str(index)):
            return CVTGCase(f"{part}/{index}.png", prompt, 1, part, tuple(wanted_words(prompt, corrected)))
    raise invalid(source, 'an object with "index", a number, and "prompt", a text', entry)


def wanted_words(prompt: str, corrected: bool) -> list[str]:
    quotations = read_quotations(prompt, NATURAL).quotations
    texts = [quotation.text for quotation in quotations] if corrected else re.findall("'(.*?)'", prompt)
    return [word for text in texts for word in text.lower().split()]


def similarity(word: str, read: Sequence[str]) -> float:
    """To the closest of the words that were read, see the module."""
    (closest,) = get_close_matches(word, read, n=1, cutoff=0)
    return 1 - edit_distance(word, closest) / (max(len(word), len(closest)) + 1e-5)
