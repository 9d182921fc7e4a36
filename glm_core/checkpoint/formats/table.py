"""The formats that ``convert --quantise`` writes, and which matrices it stores in them."""

import re

from ..parts import DIFFUSION, PLANNER
from .fp8 import FP8
from .int4 import W4A4, W4A8
from .int8 import INT8, INT8_CONVROT
from .mxfp8 import MXFP8
from .nvfp4 import NVFP4

FORMATS = {entry.name: entry for entry in (FP8, INT8, INT8_CONVROT, NVFP4, MXFP8, W4A8, W4A4)}
BY_COMFY_NAME = {entry.comfy_name: entry for entry in FORMATS.values()}  # both kinds of int8 are read alike
# most of the weights; embeddings, norms, heads, modulations and biases are not quantised
LARGE_MATRICES = {
    PLANNER: re.compile(r"language_model\.layers\.\d+\.((self_attn|mlp)\.\w+)\.weight"),
    DIFFUSION: re.compile(r"transformer_blocks\.\d+\.((attn1|ff)\.[\w.]+)\.weight"),
}
