"""The planner: a GLM-4 text model that writes the picture as a grid of semantic-VQ tokens."""

from .generate import make_plan, prepare, write_plan
from .model import PlannerConfig, PlannerModel
from .prompt import PromptTokenizer
from .sampling import Sampling

__all__ = ["PlannerConfig", "PlannerModel", "PromptTokenizer", "Sampling", "make_plan", "prepare", "write_plan"]
