"""LoRAs on the diffusion model and on the planner."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import comfy.lora
import comfy.utils
from comfy.model_patcher import ModelPatcher

from ..checkpoint import DIFFUSION_STYLES, PLANNER_STYLES, KeyStyles, Lora, read_lora
from ..checkpoint.adapters import Shape
from ..checkpoint.lora import shorten
from ..errors import GLMImageError
from ..planner.model import FUSED, QKV, PlannerConfig
from .compat import MODEL_PREFIX
from .diffusion import GLMImage
from .planner import HostPlanner

TOKEN_EMBEDDING = "embed_tokens"  # see ``hide_from_manager``
LARGEST_STRENGTH = 100  # as in ComfyUI's own LoRA loaders
GATE_UP = "gate_up_proj"
WEIGHT, BIAS = ".weight", ".bias"


@dataclass(frozen=True)
class Target:
    """Where a change to a parameter with a released name goes: the patcher's key, and the rows if only some."""

    key: str
    shape: Shape
    rows: tuple[int, int] | None = None

    @property
    def patch_key(self) -> str | tuple[str, tuple[int, int, int]]:
        """As ``add_patches`` takes it; of the rows it wants dimension, first and number."""
        return self.key if self.rows is None else (self.key, (0, *self.rows))


@dataclass(frozen=True)
class Patches:
    """What a LoRA changes in one patcher. by_key: as ``add_patches`` takes it. modules: those used, by the file."""

    by_key: dict
    modules: set[str]


def load_lora(path: str, model: ModelPatcher | None, planner: HostPlanner | None, strength_model: float,
              strength_planner: float) -> tuple[ModelPatcher | None, HostPlanner | None]:
    """Clones of MODEL and planner with the LoRA at ``path``; what is None, or has strength 0, comes back as it is.

    Raises GLMImageError if nothing is connected, if nothing in the file fits, or if an adapter has another size
    or changes the planner's token embedding. What else is not used is named in the log.
    """
    check_inputs(model, planner, strength_model, strength_planner)
    lora = read_lora(Path(path), load=comfy.utils.load_torch_file)
    on_model = [] if model is None else [diffusion_patches(lora, model)]
    on_planner = [] if planner is None else planner_patches(lora, planner)
    report_unused(lora, [*on_model, *on_planner], describe(model, planner))
    if model is not None and strength_model:
        model = patched(model, on_model[0], strength_model)
    if planner is not None and strength_planner:
        planner = patched_planner(planner, lora, on_planner, strength_planner)
    return model, planner


def check_inputs(model, planner, strength_model: float, strength_planner: float) -> None:
    if model is None and planner is None:
        raise GLMImageError("connect a model, a planner or both (got neither)")
    if model is not None and not isinstance(model.model, GLMImage):
        raise GLMImageError(f"model must be a GLM-Image diffusion model (got {type(model.model).__name__})")
    for name, strength in (("strength_model", strength_model), ("strength_planner", strength_planner)):
        if not abs(strength) <= LARGEST_STRENGTH:
            raise GLMImageError(f"{name} must be from -{LARGEST_STRENGTH} to {LARGEST_STRENGTH} (got {strength})")


def describe(model, planner) -> str:
    parts = {"diffusion model": model, "planner": planner}
    return " or ".join(f"the {name}" for name, part in parts.items() if part is not None)


def report_unused(lora: Lora, used: list[Patches], parts: str) -> None:
    """Raise GLMImageError if nothing is used; else name in the log what is not."""
    modules = set().union(*(patches.modules for patches in used))
    unused = lora.names(without=modules)
    if not modules:
        raise GLMImageError(f"{lora.source}: must have adapters for {parts} (got {shorten(unused)})")
    if unused:
        logging.warning("%s: not used, as nothing in %s fits: %s", lora.source, parts, shorten(unused))


def diffusion_patches(lora: Lora, model: ModelPatcher) -> Patches:
    parameters = model.model.diffusion_model.named_parameters()
    targets = {name: Target(MODEL_PREFIX + name, tuple(tensor.shape)) for name, tensor in parameters}
    return find_patches(lora, DIFFUSION_STYLES, targets)


def planner_patches(lora: Lora, planner: HostPlanner) -> list[Patches]:
    """For the text model, and for the vision tower if the planner has one."""
    embedding = [name for name in lora.names() if TOKEN_EMBEDDING in name]
    if embedding:
        raise GLMImageError(f"{lora.source}: must not change the planner's token embedding, which ComfyUI does not "
                            f"manage (got {shorten(embedding)})")
    parts = [planner.patcher] if planner.vision is None else [planner.patcher, planner.vision]
    return [find_patches(lora, PLANNER_STYLES, planner_targets(patcher, planner.config)) for patcher in parts]


def planner_targets(patcher: ModelPatcher, config: PlannerConfig) -> dict[str, Target]:
    """By released names: those of the module, and those of the parts of its joined matrices."""
    targets = {}
    for name, tensor in patcher.model.named_parameters():
        targets[name] = Target(name, tuple(tensor.shape))
        for joined, parts in joined_rows(config).items():
            if f".{joined}." in name:
                targets |= row_targets(targets[name], joined, parts)
    return targets


def joined_rows(config: PlannerConfig) -> dict[str, dict[str, int]]:
    """Matrices that hold several, from top to bottom, with the rows of each."""
    queries, keys = config.num_attention_heads * config.head_size, config.num_key_value_heads * config.head_size
    return {FUSED: dict(zip(QKV, (queries, keys, keys))),
            GATE_UP: dict.fromkeys(("gate_proj", "up_proj"), config.intermediate_size)}


def row_targets(whole: Target, joined: str, parts: Mapping[str, int]) -> dict[str, Target]:
    targets, first = {}, 0
    for part, rows in parts.items():
        targets[whole.key.replace(joined, part)] = Target(whole.key, (rows, *whole.shape[1:]), (first, rows))
        first += rows
    return targets


def find_patches(lora: Lora, styles: KeyStyles, targets: Mapping[str, Target]) -> Patches:
    """The file's adapters for the modules in ``targets``. Raises GLMImageError if one is of another size."""
    modules = [name.removesuffix(WEIGHT) for name in targets if name.endswith(WEIGHT)]
    adapters = lora.matching(styles, modules)
    for module, adapter in adapters.items():
        bias = targets.get(module + BIAS)
        adapter.check(targets[module + WEIGHT].shape, bias and bias.shape)
    tensors = {f"{module}.{kind}": tensor for module, adapter in adapters.items()
               for kind, tensor in adapter.tensors.items()}
    loaded = comfy.lora.load_lora(tensors, {module: module + WEIGHT for module in adapters}, log_missing=False)
    patches = {targets[name].patch_key: patch for name, patch in loaded.items()}
    return Patches(patches, {adapter.module for adapter in adapters.values()})


def patched(patcher: ModelPatcher, patches: Patches, strength: float) -> ModelPatcher:
    """A clone with these patches over those that it has."""
    clone = patcher.clone()
    clone.add_patches(patches.by_key, strength)
    return clone


def patched_planner(planner: HostPlanner, lora: Lora, on_planner: list[Patches], strength: float) -> HostPlanner:
    """A clone with these patches over those that it has. One whose text model is changed has its own fingerprint."""
    text, *tower = on_planner
    clone = planner.clone()
    if text.by_key:
        clone.fingerprint = lora.fingerprint_on(planner.fingerprint, strength)
    clone.patcher = patched(planner.patcher, text, strength)
    if tower and planner.vision:
        clone.vision = patched(planner.vision, tower[0], strength)
    return clone
