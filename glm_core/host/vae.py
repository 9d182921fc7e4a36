"""The autoencoder as a ComfyUI VAE."""

import logging

import comfy.model_management
import comfy.ops
import comfy.sd

from ..checkpoint import VAE, fill
from ..decoder import AutoencoderKL, VAEConfig
from .loading import is_dynamic, make_patcher, read_weights


class GLMImageVAE(comfy.sd.VAE):
    """Everything of comfy.sd.VAE but the constructor's detection, which does not know this block layout."""

    def __init__(self, path: str):
        weights = read_weights(path, VAE)
        config = VAEConfig.from_json(weights.config, weights.source)
        self.set_defaults()
        self.latent_channels = config.latent_channels
        self.device = comfy.model_management.vae_device()
        self.output_device = comfy.model_management.intermediate_device()
        self.vae_dtype = comfy.model_management.vae_dtype(self.device, self.working_dtypes)
        self.first_stage_model = AutoencoderKL(config, dtype=self.vae_dtype, operations=comfy.ops.disable_weight_init).eval()
        self.patcher = make_patcher(self.first_stage_model, self.device, comfy.model_management.vae_offload_device())
        fill(self.first_stage_model, weights.tensors, weights.source, assign=is_dynamic(self.patcher))
        self.model_size()

    def set_defaults(self):
        """The base constructor sets these and stops when it detects nothing, with a warning that would mislead here."""
        logging.disable(logging.WARNING)
        super().__init__(sd={})
        logging.disable(logging.NOTSET)
