"""The plan: the value that the planner hands to the decoder, and that people can look at, keep and edit."""

from .batch import check_batch
from .draw import GRIDS, LARGEST_CELL, MARKS, SUBJECTS, Look, draw_grid, draw_plan
from .edit import select
from .files import load_plan, save_plan_image
from .origin import Drawn, Edited, Origin, Read, common_prompt
from .palette import codebook_colours, colours
from .plan import DROPPED, Plan, prior_map

__all__ = ["DROPPED", "GRIDS", "LARGEST_CELL", "MARKS", "SUBJECTS", "Drawn", "Edited", "Look", "Origin", "Plan",
           "Read", "check_batch", "codebook_colours", "colours", "common_prompt", "draw_grid", "draw_plan",
           "load_plan", "prior_map", "save_plan_image", "select"]
