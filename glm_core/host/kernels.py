"""The functions that the decoder takes from ComfyUI: its attention, and the fused rotation of comfy-kitchen."""

from __future__ import annotations

from functools import partial

import comfy.ldm.modules.attention
from torch import Tensor

from ..decoder.layers import Kernels, Rotary, RotaryFunction, rotate
from .compat import fused_rotation


def host_kernels() -> Kernels:
    fused = fused_rotation()
    return Kernels(host_attention, partial(host_rotate, fused) if fused else rotate)


def host_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, transformer_options: dict) -> Tensor:
    """The attention that ComfyUI chose, with the shapes of ``sdpa``."""
    return comfy.ldm.modules.attention.optimized_attention(q, k, v, heads, skip_reshape=True,
                                                           transformer_options=transformer_options)


def host_rotate(fused: RotaryFunction, x: Tensor, rotary: Rotary) -> Tensor:
    """``rotate`` in one pass over x, where the kernels serve: on a GPU, in 16 bits, without gradients."""
    if x.device.type != "cuda" or x.dtype.itemsize != 2 or x.requires_grad:
        return rotate(x, rotary)
    return fused(x, kitchen_table(rotary))


def kitchen_table(rotary: Rotary) -> Tensor:
    """As comfy-kitchen takes it: a matrix for each pair of elements, [1, 1, n, head_dim / 2, 2, 2]."""
    return rotary.permute(0, 3, 2, 1)[None, None]
