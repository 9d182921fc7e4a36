"""Rewards by their names. Those that look at posters take milliseconds, so that training can use them."""

from .base import Reward, Sample, Score, WeightedReward, need_pictures
from .letters import LettersReward
from .likelihood import LikelihoodReward
from .parse import NAMES, OF_POSTERS, parse_rewards
from .plan import PlanReward
from .reading import ShapesReward, WordsReward
from .served import QUESTION, HttpReward, JudgeReward
from .truth import TruthReward

__all__ = ["NAMES", "OF_POSTERS", "QUESTION", "HttpReward", "JudgeReward", "LettersReward", "LikelihoodReward",
           "PlanReward", "Reward", "Sample", "Score", "ShapesReward", "TruthReward", "WeightedReward", "WordsReward",
           "need_pictures", "parse_rewards"]
