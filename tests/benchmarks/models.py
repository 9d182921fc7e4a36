"""Upstream's modules with random weights, and this pack's on the very same tensors."""

import gc
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    GenerationConfig,
    GlmImageConfig,
    GlmImageForConditionalGeneration,
    GlmImageProcessor,
    T5Config,
    T5EncoderModel,
)

from glm_core import ops
from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, Part, Weights
from glm_core.checkpoint.read import part_tensors
from glm_core.pipeline import Compute, build
from glm_core.pipeline.parts import MODULES
from tests.support.tiny import RELEASED, SCHEDULER, write_processor
from tests.support.upstream import NOT_CODES

from .sizes import Models


def diffusers_class(name: str) -> Any:
    """A class of diffusers, which the planner does without."""
    return getattr(importlib.import_module("diffusers"), name)


UPSTREAM = {
    PLANNER: lambda config: GlmImageForConditionalGeneration(GlmImageConfig(**config)),
    GLYPH: lambda config: T5EncoderModel(T5Config(**config)),
    DIFFUSION: lambda config: diffusers_class("GlmImageTransformer2DModel").from_config(config),
    VAE: lambda config: diffusers_class("AutoencoderKL").from_config(config),
}
PARTS = tuple(UPSTREAM)
# the released generation_config.json, kept from ids that are no codes
SAMPLING = GenerationConfig(do_sample=True, temperature=0.9, top_p=0.75, top_k=16512, eos_token_id=16385,
                            pad_token_id=167855, suppress_tokens=NOT_CODES)


@contextmanager
def made_on(compute: Compute) -> Iterator[None]:
    """New modules are made on the device and in the type, without a copy elsewhere."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(compute.dtype)
    try:
        with compute.device:
            yield
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Draw all weights where they lie, scaled so that signals keep their size; the scales of norms are about 1."""
    for i, (name, parameter) in enumerate(module.named_parameters()):
        generator = torch.Generator(parameter.device).manual_seed(seed + i)
        if parameter.ndim > 1:
            parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
        else:
            parameter.normal_(float(name.endswith("weight")), 0.2, generator=generator)
    return module.eval()


def config_of(models: Models, part: Part) -> dict:
    return {PLANNER: models.planner, GLYPH: models.glyph, DIFFUSION: models.dit, VAE: models.vae}[part]()


def make_upstream(part: Part, config: dict, compute: Compute) -> Any:
    with made_on(compute):
        module = UPSTREAM[part](config)
    if part is PLANNER:
        module.generation_config = SAMPLING
    return randomise(module)


def share_weights(part: Part, upstream: nn.Module, config: dict, compute: Compute) -> Any:
    """Our module on upstream's tensors; the planner's queries, keys and values are a copy, as its loader fuses them."""
    tensors = part_tensors(upstream.state_dict(), part, {}, f"{part.title} with random weights")
    return build(part, Weights(tensors, config, part.title, {}), compute)


def make_pair(part: Part, config: dict, compute: Compute) -> tuple[Any, Any]:
    """Ours and upstream's."""
    upstream = make_upstream(part, config, compute)
    return share_weights(part, upstream, config, compute), upstream


def make_ours(part: Part, config: dict, compute: Compute) -> Any:
    """Ours alone, with random weights."""
    module_class, config_class, options = MODULES[part]
    values = config_class.from_json(config, part.title)
    with made_on(compute):
        module = module_class(values, dtype=compute.dtype, operations=ops, **options)
    return randomise(module)


def release() -> None:
    """Give back the memory of modules that are no longer held."""
    gc.collect()
    torch.cuda.empty_cache()


def make_processor(folder: Path) -> GlmImageProcessor:
    """Upstream's processor reads files, which are written to ``folder``."""
    write_processor(folder, RELEASED)
    return GlmImageProcessor.from_pretrained(folder)


def make_pipeline(**parts) -> Any:
    """Upstream's pipeline of those of its parts that are given."""
    names = "tokenizer", "processor", "text_encoder", "vision_language_encoder", "vae", "transformer"
    scheduler = diffusers_class("FlowMatchEulerDiscreteScheduler").from_config(SCHEDULER)
    pipe = diffusers_class("GlmImagePipeline")(**dict.fromkeys(names) | parts, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    return pipe
