"""The planner: a GLM-4 text model that writes the picture as a grid of semantic-VQ tokens."""

from .decode import OnToken, generate_plan, plan_prompt, split_grids
from .layout import PromptLayout, lay_out_prompt, warn_of_untrained_size
from .model import PlannerConfig, PlannerModel
from .prompt import PromptTokenizer
from .sampling import Sampling
from .score import score, token_logits
from .session import cuda_graphs

__all__ = ["OnToken", "PlannerConfig", "PlannerModel", "PromptLayout", "PromptTokenizer", "Sampling", "cuda_graphs",
           "generate_plan", "lay_out_prompt", "plan_prompt", "score", "split_grids", "token_logits",
           "warn_of_untrained_size"]
