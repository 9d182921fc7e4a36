"""Quantised formats: large matrices in few bits, stored and tagged as ComfyUI's quantised layers read them.

ComfyUI's side is in comfy/quant_ops.py and comfy/ops.py, and in its library comfy-kitchen, whose quantisers ``convert``
uses. Reading is our own, so that files are read without that library. A new format is one module here and its value
in the table FORMATS.
"""

from .dequantise import belongs_to_format, dequantise, dequantise_all
from .format import Format
from .library import kitchen
from .marks import TAG, add_tags, check_marks, read_tags
from .quantise import LayerError, choose_formats, quantise, quantised_layout
from .table import FORMATS, LARGE_MATRICES

__all__ = ["FORMATS", "LARGE_MATRICES", "TAG", "Format", "LayerError", "add_tags", "belongs_to_format", "check_marks",
           "choose_formats", "dequantise", "dequantise_all", "kitchen", "quantise", "quantised_layout", "read_tags"]
