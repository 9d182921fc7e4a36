"""The plan: the value that the planner hands to the decoder, and that people can look at, keep and edit."""

from .batch import check_batch
from .draw import LARGEST_CELL, colours, draw_grid
from .edit import select
from .origin import Draft, Drawn, Edited, Origin, Read, common_prompt, planners_of
from .plan import DROPPED, Plan, prior_map
from .regions import coarse_region, grow, pixel_mask, token_region

__all__ = ["DROPPED", "LARGEST_CELL", "Draft", "Drawn", "Edited", "Origin", "Plan", "Read", "check_batch",
           "coarse_region", "colours", "common_prompt", "draw_grid", "grow", "pixel_mask", "planners_of", "prior_map",
           "select", "token_region"]
