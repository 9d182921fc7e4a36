"""Quantised formats: large matrices in few bits, stored and tagged as ComfyUI's quantised layers read them.

ComfyUI's side is in comfy/quant_ops.py and comfy/ops.py, and in its library comfy-kitchen, whose quantisers ``convert``
uses. Reading is our own, so that files are read without that library. A new format is one module here and its value
in the table FORMATS. Formats of other tools, which ``convert`` restores, are in the table FOREIGN.
"""

from .dequantise import belongs_to_format, dequantise, dequantise_all
from .foreign import Packed
from .format import Format
from .library import kitchen
from .marks import TAG, add_tags, check_marks, read_tags
from .quantise import LayerError, choose_formats, quantise, quantised_layout
from .restore import FOREIGN, formats_of, open_layers
from .table import FORMATS, LARGE_MATRICES

__all__ = ["FOREIGN", "FORMATS", "LARGE_MATRICES", "TAG", "Format", "LayerError", "Packed", "add_tags",
           "belongs_to_format", "check_marks", "choose_formats", "dequantise", "dequantise_all", "formats_of",
           "kitchen", "open_layers", "quantise", "quantised_layout", "read_tags"]
