"""The rewards ``http`` and ``judge``: servers that the user names score the pictures."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ...errors import GLMImageError
from ...files import quote
from ...services import ask, base64_png, post_json, with_model
from .base import Sample, Score

PER_REQUEST = 16  # most pictures in one request
AT_ONCE = 8  # questions sent at the same time
TIMEOUT_S = 120.0  # as the services have it
QUESTION = ("Does this picture show exactly what the following prompt asks for, with all texts spelled right? "
            "Answer with one number from 0 (not at all) to 10 (exactly) and nothing else.\n\nPrompt: {prompt}")
PROMPT = "{prompt}"  # in a question: stands for the task's prompt
VERDICTS = {"yes": 1.0, "no": 0.0}
BEST = 10


@dataclass(frozen=True)
class HttpReward:
    """The scores of the server at ``url``, see docs/reward_server.py.

    A request is {"prompts": [text], "texts": [[text]], "images": [PNG in base64]}; the answer to it must be
    {"scores": [number]}, with a number for every picture.
    """

    url: str
    timeout_s: float = TIMEOUT_S
    needs_pictures: bool = True

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Raises GLMImageError as ``post_json`` does, and on any other answer."""
        chunks = [samples[i : i + PER_REQUEST] for i in range(0, len(samples), PER_REQUEST)]
        return [score for chunk in chunks for score in self.ask(chunk)]

    def ask(self, samples: Sequence[Sample]) -> list[Score]:
        request = {"prompts": [sample.task.prompt for sample in samples],
                   "texts": [list(sample.task.texts) for sample in samples],
                   "images": [base64_png(sample.require_picture()) for sample in samples]}
        scores = read_scores(post_json(self.url, request, self.timeout_s), self.url, len(samples))
        return [Score(score) for score in scores]


def read_scores(answer: dict[str, Any], url: str, count: int) -> list[float]:
    """The scores in a server's answer. Raises GLMImageError unless they are ``count`` finite numbers."""
    scores = answer.get("scores")
    if answer.keys() != {"scores"} or not isinstance(scores, list) or len(scores) != count:
        raise GLMImageError(f'{url}: the answer must be {{"scores": [...]}} with {count} numbers (got {quote(answer)})')
    for score in scores:
        if type(score) not in (int, float) or not abs(score) <= sys.float_info.max:
            raise GLMImageError(f"{url}: every score must be a finite number (got {quote(score)})")
    return [float(score) for score in scores]


@dataclass(frozen=True)
class JudgeReward:
    """The answer of a vision-language model at ``url`` to a question, 0...1: yes is 1, no is 0, numbers are of 10.

    url: as of ``with_model``. question: "{prompt}" in it stands for the task's prompt.
    """

    url: str
    question: str = QUESTION
    timeout_s: float = TIMEOUT_S
    needs_pictures: bool = True

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        """Raises GLMImageError as ``ask`` does, and on any other answer."""
        url = with_model(self.url, self.timeout_s)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda sample: self.ask(url, sample), samples))

    def ask(self, url: str, sample: Sample) -> Score:
        question = self.question.replace(PROMPT, sample.task.prompt)
        return Score(read_verdict(ask(url, question, sample.require_picture(), self.timeout_s).text, url))


def read_verdict(text: str, url: str) -> float:
    """A judge's answer as a number, 0...1. Raises GLMImageError unless it is yes, no, or a number from 0 to 10."""
    answer = text.strip().removesuffix(".").lower()
    if answer in VERDICTS:
        return VERDICTS[answer]
    if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,6})?", answer) and float(answer) <= BEST:
        return float(answer) / BEST
    raise GLMImageError(f"{url}: the judge's answer must be yes, no, or a number from 0 to {BEST} (got {quote(text)})")
