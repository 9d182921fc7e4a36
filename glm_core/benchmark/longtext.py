"""LongText-Bench: 160 English and 160 Chinese prompts with long texts (X-Omni, arXiv:2507.22058).

Metric as in X-Omni's textbench/summary_scores.py: of the wanted texts and of the transcript only letters of Latin and
Chinese, digits and blanks are kept. English is compared by words in lower case, Chinese by characters as they are. Each
read one serves one wanted one; the text score is the number of those matched over the number wanted, over all pictures.

What ``corrected`` changes: evaluate_text_reward.py means to remove two phrases from transcripts, but goes back to the
original before the second, so that the first ("addCriterion") stays; and the second ends with a full stop that the
question does not ask for, so that "No text recognized" counts as three words. Corrected, both are removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evaluation.tasks import invalid, is_text, read_lines
from .base import TRANSCRIBE, Benchmark, Case, Figures, Question, Result, find_data, one_of, ratio
from .text import NO_TEXT, NOT_TEXT, keep_text, matches, remove

FILES = {"en": "text_prompts.jsonl", "zh": "text_prompts_zh.jsonl"}


@dataclass(frozen=True)
class LongTextCase(Case):
    texts: tuple[str, ...]


@dataclass(frozen=True)
class LongTextResult(Result):
    matched: int = 0
    wanted: int = 0


class LongText(Benchmark[LongTextCase, LongTextResult]):
    title = "LongText-Bench"
    source = "copy textbench/ of X-Omni-Team/X-Omni at github.com (Apache-2.0)"
    notes = ("a judge is asked in other words than by the official code",)
    quirks = ('"addCriterion" and "No text recognized" in a transcript count as words that were read',)
    published_by_language = {"en": {"text_score": 0.952}, "zh": {"text_score": 0.979}}
    official_reader = "Qwen2.5-VL-7B-Instruct"

    def read(self, data: Path, limit: int | None = None) -> list[LongTextCase]:
        name = one_of(FILES, self.language)
        path = find_data(data, self.source, name, f"textbench/{name}")
        prompts = [parse_line(values, source) for source, values in read_lines(path)]
        return [LongTextCase(f"{number:04d}_{copy}.png", prompt, 1, texts)
                for number, prompt, texts in prompts[:limit] for copy in range(1, self.copies + 1)]

    def questions(self, case: LongTextCase) -> list[Question]:
        return [Question(TRANSCRIBE)]

    def measure(self, case: LongTextCase, answers: Sequence[Sequence[str]]) -> LongTextResult:
        ((text,),) = answers
        wanted = self.units(" ".join(case.texts))
        matched = matches(wanted, self.units(self.clean(text)))
        details = {"wanted": " / ".join(case.texts), "read": text}
        return LongTextResult(case, ratio(matched, len(wanted)), details, matched, len(wanted))

    def clean(self, transcript: str) -> str:
        return remove(transcript, (*NOT_TEXT, NO_TEXT) if self.corrected else NOT_TEXT[-1:])

    def units(self, text: str) -> Sequence[str]:
        """What is compared: words of English, characters of Chinese."""
        if self.language == "en":
            return keep_text(text, with_blanks=True).lower().split()
        return keep_text(text, with_blanks=False)

    def figures(self, results: Sequence[LongTextResult]) -> Figures:
        wanted = sum(result.wanted for result in results)
        return {"text_score": ratio(sum(result.matched for result in results), wanted),
                "wanted": wanted}


def parse_line(values: Any, source: str) -> tuple[int, str, tuple[str, ...]]:
    """Number, prompt and texts of a line. Raises GLMImageError on anything else."""
    match values:
        case {"prompt_id": int() as number, "prompt": prompt, "text": [*texts]} if all(map(is_text, (prompt, *texts))):
            return number, prompt, tuple(texts)
    raise invalid(source, 'an object with "prompt_id", a number, "prompt", a text, and "text", a list of texts', values)
