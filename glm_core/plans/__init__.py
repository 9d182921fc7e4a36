"""The plan: the value that the planner hands to the decoder, and that people can look at, keep and edit."""

from .batch import check_batch
from .draw import LARGEST_CELL, colours, draw_grid
from .edit import compose, crop, join, pad, select, take
from .origin import PROMPT_SEPARATOR, Draft, Drawn, Edited, Origin, Read, common_prompt, one_prompt, planners_of
from .plan import DROPPED, Plan, prior_map
from .rank import Score, best_of_each, best_plans, describe, foreground, read_indices, score_items, to_indices
from .regions import coarse_region, grow, pixel_mask, token_region, uncertain_region

__all__ = ["DROPPED", "LARGEST_CELL", "PROMPT_SEPARATOR", "Draft", "Drawn", "Edited", "Origin", "Plan", "Read",
           "Score", "best_of_each", "best_plans", "check_batch", "coarse_region", "colours", "common_prompt",
           "compose", "crop", "describe", "draw_grid", "foreground", "grow", "join", "one_prompt", "pad", "pixel_mask",
           "planners_of", "prior_map", "read_indices", "score_items", "select", "take", "to_indices", "token_region",
           "uncertain_region"]
