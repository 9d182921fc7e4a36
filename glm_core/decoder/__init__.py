"""The decoder: a diffusion transformer renders a plan as a latent, and a VAE turns the latent into pixels."""

from .colours import colours_of, fit_colours
from .dit import DiTConfig, GLMImageDiT
from .latents import LATENTS_MEAN, LATENTS_STD
from .sample import Velocity, check_plans, draw_noise, euler, plan_velocity, sample_latent
from .schedule import last_sigmas, network_timestep, official_sigmas, resolution_shift, shifted_sigmas, sigma_table
from .vae import AutoencoderKL, VAEConfig, latent_statistics

__all__ = ["LATENTS_MEAN", "LATENTS_STD", "AutoencoderKL", "DiTConfig", "GLMImageDiT", "VAEConfig", "Velocity",
           "check_plans", "colours_of", "draw_noise", "euler", "fit_colours", "last_sigmas", "latent_statistics",
           "network_timestep", "official_sigmas", "plan_velocity", "resolution_shift", "sample_latent",
           "shifted_sigmas", "sigma_table"]
