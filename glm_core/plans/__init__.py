"""The plan: the value that the planner hands to the decoder, and that people can look at, keep and edit."""

from .draw import LARGEST_CELL, colours, draw_grid
from .origin import Drawn, Edited, Origin, Read
from .plan import DROPPED, Plan, prior_map

__all__ = ["DROPPED", "LARGEST_CELL", "Drawn", "Edited", "Origin", "Plan", "Read", "colours", "draw_grid", "prior_map"]
