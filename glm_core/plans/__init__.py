"""The plan: the value that the planner hands to the decoder, and that people can look at, keep and edit."""

from .batch import check_batch
from .draw import GRIDS, LARGEST_CELL, MARKS, SUBJECTS, Look, Panel, draw_grid, draw_panels, draw_plan
from .edit import compose, crop, join, pad, select, take
from .files import load_plan, save_plan_image
from .origin import PROMPT_SEPARATOR, Draft, Drawn, Edited, Origin, Read, common_prompt, one_prompt, planners_of
from .palette import codebook_colours, colours
from .plan import DROPPED, Plan, prior_map
from .rank import Score, best_of_each, best_plans, describe, foreground, read_indices, score_items, to_indices
from .regions import coarse_region, grow, pixel_mask, token_region, uncertain_region
from .selection import selected_region
from .table import token_table

__all__ = ["DROPPED", "GRIDS", "LARGEST_CELL", "MARKS", "PROMPT_SEPARATOR", "SUBJECTS", "Draft", "Drawn", "Edited",
           "Look", "Origin", "Panel", "Plan", "Read", "Score", "best_of_each", "best_plans", "check_batch",
           "coarse_region", "codebook_colours", "colours", "common_prompt", "compose", "crop", "describe", "draw_grid",
           "draw_panels", "draw_plan", "foreground", "grow", "join", "load_plan", "one_prompt", "pad", "pixel_mask",
           "planners_of", "prior_map", "read_indices", "save_plan_image", "score_items", "select", "selected_region",
           "take", "to_indices", "token_region", "token_table", "uncertain_region"]
