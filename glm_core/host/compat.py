"""Differences between versions of ComfyUI, from 0.8 on: one function for each."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import comfy.lora
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.quant_ops
import torch
from comfy.cli_args import args
from comfy_api.latest import io
from comfy_execution.utils import get_executing_context
from server import PromptServer
from torch import Tensor, nn


def core_patcher_class() -> type[comfy.model_patcher.ModelPatcher]:
    """The patcher of ComfyUI's own models. Since 0.12 it can page weights from disk (DynamicVRAM)."""
    return getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)


def is_dynamic(patcher: comfy.model_patcher.ModelPatcher) -> bool:
    """True if the patcher pages weights, a thing since 0.12; they are then assigned from the file, not copied."""
    return hasattr(patcher, "is_dynamic") and patcher.is_dynamic()


def record_dtypes(module: nn.Module) -> None:
    """Note the dtype of every weight on its module. Since 0.12, patchers keep to it when they move weights."""
    if hasattr(comfy.model_management, "archive_model_dtypes"):
        comfy.model_management.archive_model_dtypes(module)


def cuda_graphs_disabled() -> bool:
    """True if ComfyUI was started with --disable-cuda-graphs, an option since 0.32."""
    return getattr(args, "disable_cuda_graphs", False)


def free_memory(patcher: comfy.model_patcher.ModelPatcher | None, device: torch.device) -> int:
    """Bytes that can be had on the device. Since 0.12, patchers add the pages of weights that would make room."""
    if patcher is not None and hasattr(patcher, "get_free_memory"):
        return patcher.get_free_memory(device)
    return comfy.model_management.get_free_memory(device)


def fused_rotation() -> Callable[[Tensor, Tensor], Tensor] | None:
    """comfy-kitchen's rotation of the two halves of a head, if it has a kernel for the GPU; newer than 0.8 asks for.

    Takes x [B, heads, n, head_dim] and a table of matrices that can be broadcast, [B, heads, n, head_dim / 2, 2, 2].
    """
    kitchen = vars(comfy.quant_ops).get("ck")  # absent where it cannot be imported
    if kitchen is None:
        return None
    kernels = [backend["capabilities"] for name, backend in kitchen.list_backends().items()
               if name != "eager" and backend["available"] and not backend["disabled"]]
    return kitchen.apply_rope_split_half1 if any(ROTATION in names for names in kernels) else None


def can_hold_pages() -> bool:
    """True if paged weights can be pinned before they are used, as ComfyUI's own text models do, in 0.33 at least."""
    return hasattr(comfy.ops, "cast_modules_with_vbar") and hasattr(comfy.ops, "resolve_cast_module_with_vbar")


def release_pages(model: nn.Module, modules: Sequence[nn.Module]) -> None:
    """Undo ``page_in`` of these modules, where it was done; only if ``can_hold_pages``."""
    import comfy.model_prefetch  # 0.8 has none

    comfy.model_prefetch.cleanup_prefetched_modules(model, modules)


def paged_modules(model: nn.Module) -> list[nn.Module]:
    """The layers whose weights DynamicVRAM pages: those that it gave a ``_v``, since 0.12."""
    return [module for module in model.modules() if hasattr(module, "_v")]


def show_progress_text(text: str) -> None:
    """Show text on the node that runs now, in place of the last one, to the client whose prompt it is.

    ComfyUI's progress bar holds numbers alone. 0.8 and 0.33 have ``send_progress_text``, which is not among what
    ``comfy_api`` promises: a version without it shows nothing, and nor does code outside a prompt.
    """
    context = get_executing_context()
    if context is not None and hasattr(PromptServer, "send_progress_text"):
        server = PromptServer.instance
        server.send_progress_text(text, context.node_id, server.client_id)


def flash_decoding(device: torch.device) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] | None:
    """The attention of one token in ComfyUI's kernel library, which has one on NVIDIA since its release 0.2.31."""
    kitchen = vars(comfy.quant_ops).get("ck")  # absent where it cannot be imported
    is_available = getattr(kitchen, "flash_attention_decode_is_available", None)
    return kitchen.flash_attention_decode if is_available and is_available(device) else None


def search_aliases(*words: str) -> dict[str, list[str]]:
    """What io.Schema takes so that a search for these words finds the node; nothing before 0.11."""
    is_known = "search_aliases" in {field.name for field in dataclasses.fields(io.Schema)}
    return {"search_aliases": list(words)} if is_known else {}


ROTATION = "apply_rope_split_half1"
LORA_MARK = "glm_image_lora_names"
MODEL_PREFIX, WEIGHT = "diffusion_model.", ".weight"


def add_lora_names(model_class: type, names: Callable[[str], list[str]]) -> None:
    """Let ComfyUI's LoRA loaders find a module of ``model_class`` by all of ``names(module)``.

    No version lets a pack add names to a model: comfy.lora.model_lora_keys_unet asks for each of core's own classes.
    Loaders, hooks and other packs call it through its module, so it is wrapped: once, and for this class alone.
    """
    original = comfy.lora.model_lora_keys_unet
    if getattr(original, LORA_MARK, None) is model_class:
        return

    @functools.wraps(original)
    def with_names(model, *args, **kwargs):
        key_map = original(model, *args, **kwargs)
        if isinstance(model, model_class):
            for name, key in lora_names(model, names):
                key_map.setdefault(name, key)
        return key_map

    setattr(with_names, LORA_MARK, model_class)
    comfy.lora.model_lora_keys_unet = with_names


def lora_names(model, names: Callable[[str], list[str]]) -> list[tuple[str, str]]:
    """Each name of each weight in the diffusion model, and the key of the weight."""
    keys = [key for key in model.state_dict() if key.startswith(MODEL_PREFIX) and key.endswith(WEIGHT)]
    return [(name, key) for key in keys for name in names(key.removeprefix(MODEL_PREFIX).removesuffix(WEIGHT))]
