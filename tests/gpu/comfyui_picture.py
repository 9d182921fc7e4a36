"""A picture from prompt to pixels inside ComfyUI, stage by stage, as the pack's nodes do it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import comfy.model_management
import comfy.sample
import torch
from torch import Tensor

from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, Part
from glm_core.host import GLMImageVAE, HostPlanner, load_diffusion_model, load_glyph_encoder
from glm_core.host.conditioning import apply_plan, encode_prompt
from glm_core.host.diffusion import patch_sampling
from glm_core.planner import Sampling
from glm_core.plans import Plan

PROMPT = "a shop front on a rainy street at night, a cat in the window, a neon sign that says 'OPEN' over the door"


class Picture:
    """The loaded parts."""

    def __init__(self, files: dict[Part, Path]):
        self.planner = HostPlanner(str(files[PLANNER]))
        self.clip = load_glyph_encoder(str(files[GLYPH]))
        self.model = load_diffusion_model(str(files[DIFFUSION]))
        self.vae = GLMImageVAE(str(files[VAE]))

    def plan(self, width: int, height: int) -> Plan:
        return self.planner.plan(PROMPT, width, height, 1, 0, Sampling())

    def sample(self, plan: Plan, noise: Tensor, steps: int, guidance: float) -> Tensor:
        """What KSampler gives."""
        conditionings = apply_plan(encode_prompt(self.clip, PROMPT), encode_prompt(self.clip, ""), plan)
        patched = patch_sampling(self.model, *noise.shape[-2:])
        return comfy.sample.sample(patched, noise, steps, guidance, "euler", "simple", *conditionings,
                                   torch.zeros_like(noise), disable_pbar=True, seed=0)

    def normalised(self, latent: Tensor) -> Tensor:
        return self.model.model.process_latent_in(latent).cpu()

    def decode(self, latent: Tensor) -> Tensor:
        """Pixels [B, H, W, 3]."""
        return self.vae.decode(latent)


@dataclass
class Stage:
    """What a stage allocates on the device, and what ComfyUI reckons with; bytes.

    peak: the most. beside, estimate: beside the weights, of the model that is loaded last.
    """

    peak: int = 0
    beside: int = 0
    estimate: int = 0


@contextmanager
def watched() -> Iterator[Stage]:
    """One stage, on a GPU without DynamicVRAM, whose pages torch does not count."""
    stage, load, loaded = Stage(), comfy.model_management.load_models_gpu, 0

    def noted_load(models: Any, memory_required: float = 0, *arguments: Any, **options: Any) -> Any:
        nonlocal loaded
        result = load(models, memory_required, *arguments, **options)
        stage.peak, stage.estimate = max(stage.peak, torch.cuda.max_memory_allocated()), int(memory_required)
        loaded = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return result

    torch.cuda.reset_peak_memory_stats()
    with patch.object(comfy.model_management, "load_models_gpu", noted_load):
        yield stage
    stage.peak = max(stage.peak, torch.cuda.max_memory_allocated())
    stage.beside = torch.cuda.max_memory_allocated() - loaded
