"""Rewards by their names on the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from ...errors import GLMImageError
from ...files import quote
from ...services.http_json import check_url
from .base import Reward, WeightedReward
from .letters import LettersReward
from .likelihood import LikelihoodReward
from .plan import PlanReward
from .reading import ShapesReward, WordsReward
from .served import QUESTION, HttpReward, JudgeReward
from .truth import TruthReward

OWN: dict[str, Callable[[], Reward]] = {
    "plan": PlanReward, "words": WordsReward, "letters": LettersReward, "truth": TruthReward, "shapes": ShapesReward,
    "likelihood": LikelihoodReward,
}
OF_POSTERS = "plan", "letters", "truth"  # those that know only the program's own posters
SERVED: dict[str, Callable[[str, str], Reward]] = {  # of a URL and a question
    "http": lambda url, question: HttpReward(url), "judge": JudgeReward,
}
OF_POSTERS = "plan", "letters", "truth"  # which compare with the poster that a task describes
NAMES = (*OWN, *(f"{name}=[WEIGHT,]URL" for name in SERVED))


def parse_rewards(texts: Sequence[str], question: str = QUESTION) -> list[WeightedReward]:
    """The rewards of --reward, such as "plan=1", "http=http://localhost:9000" or "judge=0.5,http://localhost:8000/v1".

    question: of the judge. Raises GLMImageError, saying what can be written, on anything else, on a reward that is
    named twice, and if what a reward needs is not installed.
    """
    rewards = [parse_reward(text, question) for text in texts]
    if not rewards:
        raise GLMImageError(f"--reward must be given at least once (got none of {', '.join(NAMES)})")
    names = [reward.name for reward in rewards]
    for name in names:
        if names.count(name) > 1:
            raise GLMImageError(f"--reward: every reward must be given once (got {name} {names.count(name)} times)")
    return rewards


def parse_reward(text: str, question: str) -> WeightedReward:
    name, _, value = text.partition("=")
    if name in OWN:
        return WeightedReward(name, parse_weight(value, text, f"{name}=WEIGHT"), OWN[name]())
    if name in SERVED:
        form = f"{name}=[WEIGHT,]URL"
        match = re.fullmatch(r"(?:([^,:/]*),)?(https?://\S+)", value)
        if not match:
            raise GLMImageError(f"--reward: {name} must be written as {form} (got {quote(text)})")
        weight = 1.0 if match[1] is None else parse_weight(match[1], text, form)
        return WeightedReward(f"{name}={match[2]}", weight, SERVED[name](check_url(match[2]), question))
    raise GLMImageError(f"--reward must be NAME=WEIGHT with one of {', '.join(NAMES)} (got {quote(text)})")


def parse_weight(value: str, text: str, form: str) -> float:
    """A weight above 0. form: how the reward is written."""
    weight = float(value) if re.fullmatch(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?", value) else math.nan
    if not 0 < weight < math.inf:
        raise GLMImageError(f"--reward must be {form} with a weight above 0 (got {quote(text)})")
    return weight
