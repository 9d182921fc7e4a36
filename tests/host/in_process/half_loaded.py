"""A model of which the memory manager loads only a part, with and without patches."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

CPU = torch.device("cpu")
EVERYTHING = 1e32  # bytes


def random_patches(patcher: Any) -> dict[str, tuple]:
    """For all matrices, as a LoRA would patch them."""
    matrices = {name: tensor for name, tensor in patcher.model.state_dict().items() if tensor.ndim == 2}
    return {name: ("diff", (0.1 * torch.randn_like(matrix),)) for name, matrix in matrices.items()}


def compute_loaded(patcher: Any, compute: Callable[[], Tensor], memory: float) -> tuple[Tensor, int]:
    """What ``compute`` gives with this many bytes of the model loaded, and how many of its modules were left out."""
    patcher.patch_model(CPU, lowvram_model_memory=memory)
    left_out = [module for module in patcher.model.modules() if hasattr(module, "prev_comfy_cast_weights")]
    result = compute()
    patcher.unpatch_model(CPU)
    return result, len(left_out)


def check_half_loaded(patcher: Any, compute: Callable[[], Tensor]) -> None:
    whole, _ = compute_loaded(patcher, compute, EVERYTHING)
    half, left_out = compute_loaded(patcher, compute, patcher.model_size() // 2)
    assert left_out > 0
    assert torch.equal(half, whole), (half - whole).abs().max()


def check_half_loaded_with_patches(patcher: Any, compute: Callable[[], Tensor]) -> None:
    """What is not loaded is patched when it is used."""
    unpatched, _ = compute_loaded(patcher, compute, EVERYTHING)
    patcher.add_patches(random_patches(patcher))
    whole, _ = compute_loaded(patcher, compute, EVERYTHING)
    half, left_out = compute_loaded(patcher, compute, patcher.model_size() // 2)
    assert left_out > 0
    assert (whole - unpatched).abs().max() > 1e-3
    assert (half - whole).abs().max() <= 1e-5, (half - whole).abs().max()
