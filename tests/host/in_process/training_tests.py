"""Core's Train LoRA on our MODEL: what the network is told of the noise."""

from inspect import signature
from unittest.mock import patch

import torch
from comfy_extras.nodes_train import TrainLoraNode

from glm_core.decoder import network_timestep, resolution_shift
from glm_core.host import diffusion
from glm_core.host.diffusion import load_diffusion_model, patch_sampling
from glm_core.host.references import PLAN_KEY

PERCENT = 0.25  # of the schedule that is behind a latent, as Train LoRA draws it for each step
WIDTH, HEIGHT = 12, 8  # of the latent
SETTINGS = {
    "batch_size": 1, "grad_accumulation_steps": 1, "steps": 2, "learning_rate": 1e-3, "rank": 2, "optimizer": "AdamW",
    "loss_function": "MSE", "seed": 0, "training_dtype": "fp32", "lora_dtype": "fp32", "algorithm": "LoRA",
    "gradient_checkpointing": False, "existing_lora": "[None]", "bucket_mode": False,
}
NEWER_SETTINGS = {"quantized_backward": False, "checkpoint_depth": 1, "offloading": False, "bypass_mode": False}


def train(model, positive: list, latents: torch.Tensor) -> None:
    known = signature(TrainLoraNode.execute).parameters
    settings = SETTINGS | {name: value for name, value in NEWER_SETTINGS.items() if name in known}
    TrainLoraNode.execute(model=[model], latents=[{"samples": latents}], positive=[positive],
                          **{name: [value] for name, value in settings.items()})


def test_training_tells_the_network_the_unshifted_noise_level(files):
    model = load_diffusion_model(files.diffusion_model)
    context = torch.randn(1, 5, model.model.diffusion_model.config.text_embed_dim)
    positive = [[context, {PLAN_KEY: torch.zeros(1, HEIGHT // 4, WIDTH // 4, dtype=torch.int64)}]]
    seen = []

    def recorded(sigma, shift):
        seen.append((sigma.item(), network_timestep(sigma, shift).item()))
        return network_timestep(sigma, shift)

    with patch.object(diffusion, "network_timestep", recorded), \
            patch.object(torch, "rand", lambda *args: torch.tensor([PERCENT])):
        train(patch_sampling(model, HEIGHT, WIDTH), positive, torch.randn(1, 16, HEIGHT, WIDTH))
    shift, level = resolution_shift(8 * WIDTH, 8 * HEIGHT), 1 - PERCENT
    assert len(seen) == SETTINGS["steps"]
    for sigma, timestep in seen:
        assert abs(sigma - shift * level / (1 + (shift - 1) * level)) < 1e-5, sigma
        assert abs(timestep - (1000 * level - 1)) < 0.01, timestep
