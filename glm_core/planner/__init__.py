"""The planner: a GLM-4 text model that writes the picture as a grid of semantic-VQ tokens."""

from .decode import KEPT_PER_PASS, Kept, OnToken, generate_plan, plan_prompt, split_grids, write_tokens
from .layout import PromptLayout, lay_out_prompt, warn_of_untrained_size
from .model import PlannerConfig, PlannerModel
from .prompt import PromptTokenizer
from .redraw import MARGIN, PlanWriter, draft_plans, finish_plans, repair, replan
from .sampling import Sampling
from .score import score, token_logits
from .session import cuda_graphs

__all__ = ["KEPT_PER_PASS", "MARGIN", "Kept", "OnToken", "PlanWriter", "PlannerConfig", "PlannerModel", "PromptLayout",
           "PromptTokenizer", "Sampling", "cuda_graphs", "draft_plans", "finish_plans", "generate_plan",
           "lay_out_prompt", "plan_prompt", "repair", "replan", "score", "split_grids", "token_logits",
           "warn_of_untrained_size", "write_tokens"]
