"""Text rendering of OneIG-Bench: 200 English and 200 Chinese prompts (arXiv:2506.07977).

Metric as in OneIG-Benchmark's scripts/text: of the wanted text and of the transcript only letters of Latin and Chinese,
digits and blanks are kept, and of a text with Chinese in it no blanks. Over all images that are not black:

- ED: the mean edit distance. CR: the share of images with distance 0
- WAC: matched words (of a text with Chinese: characters) over wanted ones, each read one serving one wanted one
- text score: 1 - min(M, ED) (1 - CR) (1 - WAC) / M, where M is 100 in English and 50 in Chinese

What ``corrected`` changes:

- The file holds each list of texts as Python writes it. The official code compares with that very string, so that
  escapes in five prompts, mostly line breaks, leave letters ("ModelsnAuthor"). Corrected, the list is read.
- "No text recognized" without a full stop, as the question asks for, counts as read. Corrected, it is removed.

Not reproduced: where all images of a prompt are black, the official code takes the transcripts of the prompt before.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..evaluation.tasks import invalid
from ..ocr import edit_distance, mean
from .base import TRANSCRIBE, Benchmark, Case, Figures, Question, Result, find_data, one_of, ratio
from .tables import read_table
from .text import NO_TEXT, NOT_TEXT, keep_text, matches, remove

FILES = {"en": "text_content.csv", "zh": "text_content_zh.csv"}
PROMPTS = {"en": "prompt_en", "zh": "prompt_cn"}
LARGEST_DISTANCE = {"en": 100, "zh": 50}
LONG_TEXT = 60  # words; longer texts get more tokens
CHINESE = re.compile("[\u4e00-\u9fff]")
SAFE = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True)
class OneIGCase(Case):
    """text: wanted, as it is compared after cleaning."""

    text: str


@dataclass(frozen=True)
class OneIGResult(Result):
    """For each image: edit distance, matched units, wanted units."""

    images: tuple[tuple[int, int, int], ...] = ()


class OneIGText(Benchmark[OneIGCase, OneIGResult]):
    title = "OneIG-Bench, text rendering"
    source = ("copy scripts/text/ of OneIG-Bench/OneIG-Benchmark at github.com (no licence file; its data set at "
              "huggingface.co says CC BY-NC 4.0)")
    skips_black = True
    notes = ("a judge is asked in other words than by the official code, and gets images as PNG, not JPEG",
             "GLM-Image's README gives OneIG-Bench's overall score alone, no text score")
    quirks = ("line breaks of five wanted texts count as letters",
              '"No text recognized" counts as read')
    published_by_language = {"en": {"text_score": None}, "zh": {"text_score": None}}
    official_reader = "Qwen2.5-VL-7B-Instruct"

    def read(self, data: Path, limit: int | None = None) -> list[OneIGCase]:
        name, prompt = one_of(FILES, self.language), PROMPTS[self.language]
        path = find_data(data, self.source, name, f"scripts/text/{name}")
        rows = read_table(path, ("id", prompt, "text_content"))[:limit]
        return [self.case(f"{path}, row {i}", row["id"], row[prompt], row["text_content"])
                for i, row in enumerate(rows, 1)]

    def case(self, source: str, name: str, prompt: str, content: str) -> OneIGCase:
        if not SAFE.fullmatch(name):
            raise invalid(f"{source}, id", "letters and digits", name)
        text = " ".join(parse_texts(content, source)) if self.corrected else content
        return OneIGCase(f"{name}.webp", prompt, self.copies, text)

    def questions(self, case: OneIGCase) -> list[Question]:
        return [Question(TRANSCRIBE, 256 if len(case.text.split()) > LONG_TEXT else 128)]

    def measure(self, case: OneIGCase, answers: Sequence[Sequence[str]]) -> OneIGResult:
        texts = [text for (text,) in answers]
        images = tuple(compare(clean(case.text), clean(self.transcript(text))) for text in texts)
        score = ratio(sum(matched for _, matched, _ in images), sum(wanted for _, _, wanted in images))
        details = {"wanted": case.text} | {f"read {i}": text for i, text in enumerate(texts, 1)}
        return OneIGResult(case, score, details, images)

    def transcript(self, text: str) -> str:
        return remove(text, (*NOT_TEXT, NO_TEXT) if self.corrected else NOT_TEXT)

    def figures(self, results: Sequence[OneIGResult]) -> Figures:
        images = [image for result in results for image in result.images]
        distance = mean([distance for distance, _, _ in images])
        complete = mean([distance == 0 for distance, _, _ in images])
        accuracy = ratio(sum(matched for _, matched, _ in images), sum(wanted for _, _, wanted in images))
        if distance is None or complete is None or accuracy is None:
            return dict.fromkeys(("text_score", "ED", "CR", "WAC"))
        most = one_of(LARGEST_DISTANCE, self.language)
        score = 1 - min(most, distance) * (1 - complete) * (1 - accuracy) / most
        return {"text_score": score, "ED": distance, "CR": complete, "WAC": accuracy}


def parse_texts(content: str, source: str) -> list[str]:
    """The texts of a list as Python writes it. Raises GLMImageError if it is anything else."""
    try:
        texts = ast.literal_eval(content)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise invalid(f"{source}, text_content", "a list of texts as Python writes it", content) from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise invalid(f"{source}, text_content", "a list of texts as Python writes it", content)
    return texts


def clean(text: str) -> str:
    return keep_text(text, with_blanks=not CHINESE.search(keep_text(text, with_blanks=True)))


def compare(wanted: str, read: str) -> tuple[int, int, int]:
    """Edit distance, matched units and wanted units of two clean texts."""
    units = list if CHINESE.search(wanted) else str.split
    return edit_distance(read, wanted), matches(units(wanted), units(read)), len(units(wanted))
