"""Weights that ComfyUI pages (DynamicVRAM), held on their device while passes over them are recorded and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch
from torch import nn

from .compat import can_hold_pages, is_dynamic, paged_modules, release_pages


@contextmanager
def held_in_place(patcher: comfy.model_patcher.ModelPatcher, dtype: torch.dtype) -> Iterator[bool]:
    """True if all weights of a loaded model are on its device and stay there, with their patches, until the exit.

    Paged weights are paged in and pinned for that time; if one has no room, all are released and this is False. It is
    False too if Python changes weights whenever they are used. dtype: of the activations, in which patches are applied.
    """
    model = patcher.model
    if changes_weights_when_used(model):
        yield False
    elif not is_dynamic(patcher):
        yield not model.model_lowvram
    elif not can_hold_pages():
        yield False
    else:
        paged = paged_modules(model)
        try:
            held = all(page_in(module, patcher.load_device, dtype) for module in paged)
            if not held:
                release_pages(model, paged)
            yield held
        finally:
            release_pages(model, paged)


def changes_weights_when_used(model: nn.Module) -> bool:
    """Whether a module has functions that ComfyUI calls on its weights in every pass, such as weight wrappers."""
    kinds = "weight_function", "bias_function"
    return any(getattr(module, kind, None) for module in model.modules() for kind in kinds)


def page_in(module: Any, device: torch.device, dtype: torch.dtype) -> bool:
    """Page a module's weights in, apply its patches to them and pin them; False if there is no room.

    After that, ComfyUI's layers find them by ``_prefetch`` and neither page nor unpin them: what its own text models
    do for each block (prefetch_queue_pop in comfy/model_prefetch.py).
    """
    stream = comfy.ops.cast_modules_with_vbar([module], None, device, None, True)
    comfy.model_management.sync_stream(device, stream)
    if module._prefetch["signature"] is None:
        return False
    comfy.ops.resolve_cast_module_with_vbar(module, dtype, device, dtype, None, False, return_weights=False)
    return True
