"""How well pictures show what their prompts ask for: tasks → pictures → figures. A suite decides what to measure."""

from .run import ABLATIONS, Ablation, draw_pictures, measure_pictures, picture_jobs, read_pictures, rotate
from .tasks import Task

__all__ = ["ABLATIONS", "Ablation", "Task", "draw_pictures", "measure_pictures", "picture_jobs",
           "read_pictures", "rotate"]
