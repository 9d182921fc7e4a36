"""Rewards by their names."""

from .base import Reward, Sample, Score, WeightedReward
from .plan import PlanReward

__all__ = ["PlanReward", "Reward", "Sample", "Score", "WeightedReward"]
