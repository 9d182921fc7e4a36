"""The parts of GLM-Image as ComfyUI's own values: MODEL, CLIP, VAE, and a planner under its memory manager."""

from .diffusion import load_diffusion_model, patch_sampling
from .glyph import load_glyph_encoder
from .lora import load_lora
from .planner import HostPlanner
from .vae import GLMImageVAE

__all__ = ["GLMImageVAE", "HostPlanner", "load_diffusion_model", "load_glyph_encoder", "load_lora",
           "patch_sampling"]
