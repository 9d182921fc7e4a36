"""The autoencoder as a ComfyUI VAE."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import comfy.model_management
import comfy.ops
import comfy.sd
from torch import Tensor

from ..checkpoint import VAE, fill
from ..decoder import AutoencoderKL, VAEConfig, fit_colours
from .checks import check_latent
from .compat import is_dynamic
from .loading import make_patcher, read_whole_weights, saved_config

NOTHING_DETECTED = "No VAE weights detected"  # part of the message that comfy.sd.VAE logs


@contextmanager
def without_message(text: str) -> Iterator[None]:
    """Keep messages that contain ``text`` out of the root logger; all others are logged."""

    def is_other(record: logging.LogRecord) -> bool:
        return text not in record.getMessage()

    logger = logging.getLogger()
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def as_images(pixels: Tensor) -> Tensor:
    """[B, 3, H, W] in -1...1 → ComfyUI's images [B, H, W, 3] in 0...1."""
    return pixels.movedim(1, -1) / 2 + 0.5


def as_pixels(images: Tensor) -> Tensor:
    """ComfyUI's images [B, H, W, 3] in 0...1 → [B, 3, H, W] in -1...1."""
    return images.movedim(-1, 1) * 2 - 1


class GLMImageVAE(comfy.sd.VAE):
    """comfy.sd.VAE with GLM-Image's autoencoder, whose block layout comfy.sd.VAE itself does not detect.

    Raises GLMImageError if the file is not a GLM-Image VAE.
    """

    def __init__(self, path: str):
        weights = read_whole_weights(path, VAE)
        self.config = config = VAEConfig.from_json(weights.config, weights.source)
        with without_message(NOTHING_DETECTED):
            super().__init__(sd={})  # sets the defaults, then stops because it detects nothing
        self.latent_channels = config.latent_channels
        self.device = comfy.model_management.vae_device()
        self.output_device = comfy.model_management.intermediate_device()
        self.vae_dtype = comfy.model_management.vae_dtype(self.device, self.working_dtypes)
        operations = comfy.ops.disable_weight_init
        self.first_stage_model = AutoencoderKL(config, dtype=self.vae_dtype, operations=operations).eval()
        self.patcher = make_patcher(self.first_stage_model, self.device, comfy.model_management.vae_offload_device())
        fill(self.first_stage_model, weights.tensors, weights.source, assign=is_dynamic(self.patcher))
        self.model_size()

    def colours(self) -> tuple[float, ...]:
        """``latents_rgb``, from the config or fitted now."""
        return self.config.latents_rgb or fit_colours(self.config, lambda pixels: self.encode(as_images(pixels)),
                                                      lambda latents: as_pixels(self.decode(latents)))

    def get_sd(self):
        """What VAESave and CheckpointSave write, the config included."""
        return {**super().get_sd(), **saved_config(VAE, self.config)}

    def decode(self, samples_in, *args, **kwargs):
        """Raises GLMImageError if the latent is another model's."""
        check_latent(samples_in)
        return super().decode(samples_in, *args, **kwargs)

    def decode_tiled(self, samples, *args, **kwargs):
        """Raises GLMImageError if the latent is another model's."""
        check_latent(samples)
        return super().decode_tiled(samples, *args, **kwargs)


def colours_beside(diffusion_model: str) -> tuple[float, ...] | None:
    """``latents_rgb`` of the VAE in the released folder to which this path belongs; None if there is no VAE."""
    folder = Path(diffusion_model).parent / VAE.folder
    return GLMImageVAE(str(folder)).colours() if Path(diffusion_model).is_dir() and folder.is_dir() else None
