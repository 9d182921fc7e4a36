"""How well pictures show what their prompts ask for: tasks → pictures → figures. A suite decides what to measure."""

from .ocr import Reader, make_reader
from .run import ABLATIONS, Ablation, draw_pictures, measure_pictures, rotate
from .tasks import Task

__all__ = ["ABLATIONS", "Ablation", "Reader", "Task", "draw_pictures", "make_reader", "measure_pictures", "rotate"]
