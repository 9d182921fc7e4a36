"""Loading the parts of a model, with one table of what each is built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from .. import geometry, ops
from ..checkpoint import (
    DIFFUSION,
    GLYPH,
    PLANNER,
    VAE,
    VISION,
    Part,
    Weights,
    belongs_to_format,
    check_surplus,
    dequantise,
    fill,
    fingerprint,
    locate,
    read_config_only,
    read_part,
    read_tags,
)
from ..config import checked
from ..decoder import AutoencoderKL, DiTConfig, GLMImageDiT, VAEConfig, colours_of
from ..glyph import GlyphConfig, GlyphEncoder
from ..planner import PlannerConfig, PlannerModel, PromptTokenizer
from ..planner.model import released_names
from ..plans import Plan
from ..vision import SemanticVQ, VisionConfig

MODULES: dict[Part, tuple[Any, Any, dict[str, Any]]] = {  # part → module class, config class, module options
    PLANNER: (PlannerModel, PlannerConfig, {"fused": True}),
    VISION: (SemanticVQ, VisionConfig, {}),
    GLYPH: (GlyphEncoder, GlyphConfig, {}),
    DIFFUSION: (GLMImageDiT, DiTConfig, {}),
    VAE: (AutoencoderKL, VAEConfig, {}),
}


@dataclass(frozen=True)
class Compute:
    """The device of the weights and activations, and their dtype."""

    device: torch.device
    dtype: torch.dtype


class LoadedPlanner(NamedTuple):
    """The planner's text model, its tokenizer, and the fingerprint of its weights ("" if unknown)."""

    model: PlannerModel
    tokenizer: PromptTokenizer
    fingerprint: str = ""


def build(part: Part, weights: Weights, compute: Compute, **changed: Any) -> Any:
    """A module of plain torch layers with the part's weights, which are dequantised, moved and cast.

    changed: options of the module that differ from those in MODULES.
    Raises GLMImageError if the config or the weights do not suit the part.
    """
    module_class, config_class, options = MODULES[part]
    config = config_class.from_json(weights.config, weights.source)
    with torch.device("meta"):
        module: nn.Module = module_class(config, dtype=compute.dtype, operations=ops, **(options | changed))
    wanted = weights.tensors.keys() & released_names(module)
    layers = read_tags(weights.tensors, weights.source)
    check_surplus(module, [name for name in weights.tensors.keys() - wanted if not belongs_to_format(name, layers)],
                  weights.source)
    tensors = {name: dequantise(weights.tensors, name, weights.source).to(compute.device, compute.dtype)
               for name in wanted}
    fill(module, tensors, weights.source, assign=True)
    return module.eval()


def load(model: Path, part: Part, compute: Compute) -> Any:
    """One part of a released or converted folder, ready to compute. Raises GLMImageError if it cannot be read."""
    return build(part, read_part(locate(model, part), part), compute)


def load_planner(model: Path, compute: Compute, fused: bool = True) -> LoadedPlanner:
    """The planner of a released or converted folder. fused: False to train it, matrix by matrix as they are stored.

    Raises GLMImageError if it cannot be read.
    """
    weights = read_part(locate(model, PLANNER), PLANNER)
    assert weights.tokenizer_json is not None  # read_part refuses a planner without one
    tokenizer = PromptTokenizer(weights.tokenizer_json)
    module = build(PLANNER, weights, compute, fused=fused)
    tokenizer.check_vocabulary(module.config.vocab_size, weights.source)
    return LoadedPlanner(module, tokenizer, fingerprint(weights.tensors))


class Loaders(NamedTuple):
    """Where the pipeline gets a part from: by default it is loaded each time, so that one is in memory at a time."""

    part: Callable[[Path, Part, Compute], Any] = load
    planner: Callable[[Path, Compute], LoadedPlanner] = load_planner

    @classmethod
    def keeping(cls) -> Loaders:
        """Every part is loaded once and stays in memory."""
        return cls(cache(load), cache(load_planner))


def model_tag(model: Path, compute: Compute) -> str:
    """The fingerprints of the parts that draw, and the dtype: equal for models that draw the same."""
    prints = [fingerprint(read_part(locate(model, part), part).tensors) for part in (PLANNER, GLYPH, DIFFUSION, VAE)]
    return " ".join([*prints, str(compute.dtype).removeprefix("torch.")])


def latent_colours(model: Path) -> tuple[float, ...]:
    """``latents_rgb`` of a folder's VAE: from its config, or fitted now on the CPU.

    Raises GLMImageError if there is no VAE, or if it cannot be read.
    """
    vae = load(model, VAE, Compute(torch.device("cpu"), torch.float32))
    return vae.config.latents_rgb or colours_of(vae, torch.device("cpu"))


def default_side(model: Path) -> int:
    """The side of pictures, in pixels, if none is given: 1024 for the released model."""
    path = locate(model, PLANNER)
    sides = read_config_only(path, PLANNER).get("trained_sides")
    if sides is None:
        sides = PlannerConfig.trained_sides
    return geometry.default_side(checked(sides, tuple[int, int], f"{PLANNER.title} {path}: trained_sides"))


def check_aspect(model: Path, width: int, height: int) -> None:
    """Raise GLMImageError on a size for which the model can plan no coarse grid."""
    config = read_config_only(locate(model, PLANNER), PLANNER)
    read = PlannerConfig.from_json(config, f"model folder {model}") if config else PlannerConfig
    geometry.plan_grids(width, height, read.coarse_tokens)


def check_codes(model: Path, plan: Plan) -> None:
    """Raise GLMImageError on a cell without a token, or an id not in the codebook which the model's config names."""
    plan.check_complete()
    config = read_config_only(locate(model, DIFFUSION), DIFFUSION)
    if "prior_vq_quantizer_codebook_size" in config:
        plan.check_codes(DiTConfig.from_json(config, f"model folder {model}").prior_vq_quantizer_codebook_size)
