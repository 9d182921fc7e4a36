"""The plan: the value that the planner hands to the decoder, and that people can look at, keep and edit."""

from .batch import check_batch
from .draw import GRIDS, LARGEST_CELL, MARKS, SUBJECTS, Look, draw_grid, draw_plan
from .edit import compose, crop, join, pad, select
from .files import load_plan, save_plan_image
from .origin import PROMPT_SEPARATOR, Draft, Drawn, Edited, Origin, Read, common_prompt, planners_of
from .palette import codebook_colours, colours
from .plan import DROPPED, Plan, prior_map
from .regions import coarse_region, grow, pixel_mask, token_region, uncertain_region

__all__ = ["DROPPED", "GRIDS", "LARGEST_CELL", "MARKS", "PROMPT_SEPARATOR", "SUBJECTS", "Draft", "Drawn", "Edited",
           "Look", "Origin", "Plan", "Read", "check_batch", "codebook_colours", "coarse_region", "colours",
           "common_prompt", "compose", "crop", "draw_grid", "draw_plan", "grow", "join", "load_plan", "pad",
           "pixel_mask", "planners_of", "prior_map", "save_plan_image", "select", "token_region", "uncertain_region"]
