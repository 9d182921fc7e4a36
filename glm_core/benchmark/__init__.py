"""Published benchmarks of text to image: official prompts, picture names and metrics. docs/benchmarks.md says more."""

from .base import Benchmark, Case, Figures, Result
from .cvtg import CVTG
from .dpg import DPG
from .drawing import Drawing, draw_missing, missing_cases
from .longtext import LongText
from .oneig import OneIGText
from .outcome import Outcome, measure
from .readers import Reader, judge_reader, ocr_reader
from .report import page
from .table import figures_in_columns, table

__all__ = ["CVTG", "DPG", "Benchmark", "Case", "Drawing", "Figures", "LongText", "OneIGText", "Outcome", "Reader",
           "Result", "draw_missing", "figures_in_columns", "judge_reader", "measure", "missing_cases", "ocr_reader",
           "page", "table"]
