"""The decoder as a ComfyUI MODEL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.patcher_extension
import comfy.supported_models_base
import torch
from comfy.patcher_extension import CallbacksMP, WrapperExecutor, WrappersMP
from torch import Tensor

from ..checkpoint import DIFFUSION, DIFFUSION_STYLES, fill
from ..decoder import DiTConfig, GLMImageDiT, network_timestep, resolution_shift, sigma_table
from ..decoder.dit import PEAK_ACTIVATIONS
from ..decoder.layers import KeyValue
from ..geometry import LATENT_PIXELS
from ..plans import DROPPED, Plan, check_batch, prior_map
from .checks import check_latent, glyph_embeddings
from .compat import add_lora_names, is_dynamic
from .kernels import host_kernels
from .loading import INFERENCE_DTYPES, choose_precision, make_patcher, read_weights, saved_config
from .references import (
    PLAN_KEY,
    REFERENCES_KEY,
    CONDReferences,
    Reference,
    ReferenceCache,
    find_references,
    latent_pixels,
    references_shape,
    storage_device,
)
from .vae import colours_beside

SHIFT_1024 = 3.25  # resolution_shift(1024, 1024)
MEMORY_UNIT = 0.01 * 2**20  # elements per latent pixel that ComfyUI's memory_required counts at memory_usage_factor 1


class GLMImageLatent(comfy.latent_formats.LatentFormat):
    """Normalises latents with a config's statistics, and says how ComfyUI's sampling preview colours them.

    find_colours: called if the config has no colours and a preview is wanted, once; see ``colours_beside``.
    """

    latent_channels = 16

    def __init__(self, config: DiTConfig, find_colours: Callable[[], tuple[float, ...] | None] = lambda: None):
        self.config, self.find_colours = config, find_colours
        self.mean, self.std = (torch.tensor(values).view(1, -1, 1, 1)
                               for values in (config.latents_mean, config.latents_std))

    @cached_property
    def latents_rgb(self) -> tuple[float, ...] | None:
        return self.config.latents_rgb or self.find_colours()

    @property
    def latent_rgb_factors(self) -> list[list[float]] | None:
        """Red, green and blue of each channel; None if unknown: then ComfyUI shows no preview."""
        return self.rgb_rows[:-1] or None

    @property
    def latent_rgb_factors_bias(self) -> list[float] | None:
        return self.rgb_rows[-1] if self.rgb_rows else None

    @property
    def rgb_rows(self) -> list[list[float]]:
        numbers = self.latents_rgb or ()
        return [list(numbers[i : i + 3]) for i in range(0, len(numbers), 3)]

    def process_in(self, latent: Tensor) -> Tensor:
        """Raises GLMImageError if it is the latent of another model."""
        check_latent(latent)
        return (latent - self.mean.to(latent)) / self.std.to(latent)

    def process_out(self, latent: Tensor) -> Tensor:
        return latent * self.std.to(latent) + self.mean.to(latent)


class HostDiT(GLMImageDiT):
    """The network with ComfyUI's kernels, and with the wrappers that other nodes put around a diffusion model."""

    def __init__(self, config: DiTConfig, device=None, dtype=None, operations: Any = None):
        super().__init__(config, host_kernels(), device, dtype, operations)
        self.in_channels, self.out_channels = config.in_channels, config.out_channels  # RenormCFG and others read them

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor, prior: Tensor | None = None,
                target_size: Tensor | None = None, transformer_options: dict = {},
                references: Sequence[Sequence[KeyValue]] = (), **kwargs) -> Tensor:
        """As in GLMImageDiT; ignores ``kwargs``, which are the inputs of other models."""
        wrappers = comfy.patcher_extension.get_all_wrappers(WrappersMP.DIFFUSION_MODEL, transformer_options)
        executor = WrapperExecutor.new_class_executor(super().forward, self, wrappers)
        x = x.clone()  # core's EasyCache adds to its input, which in float32 is the sampler's own latent
        return executor.execute(x, timestep, context, prior, target_size, transformer_options, references)


class GLMImageConfig(comfy.supported_models_base.BASE):
    """What ComfyUI wants to know about a model before it builds it."""

    unet_extra_config = {}  # BASE would add num_heads to the network's arguments
    sampling_settings = {"shift": SHIFT_1024, "multiplier": 1000}
    supported_inference_dtypes = INFERENCE_DTYPES

    def __init__(self, config: DiTConfig, find_colours: Callable[[], tuple[float, ...] | None] = lambda: None):
        elements_per_latent_pixel = PEAK_ACTIVATIONS * config.inner / config.patch_size**2
        self.memory_usage_factor = elements_per_latent_pixel / MEMORY_UNIT
        self.latents = GLMImageLatent(config, find_colours)
        self.latent_format = lambda: self.latents
        super().__init__({"config": config})

    def process_unet_state_dict_for_saving(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """What ModelSave and CheckpointSave write, the config included, with the colours of the preview."""
        saved = saved_config(DIFFUSION, replace(self.unet_config["config"], latents_rgb=self.latents.latents_rgb))
        return super().process_unet_state_dict_for_saving({**state_dict, **saved})

    def get_model(self, state_dict: dict[str, Tensor], prefix: str = "", device=None) -> GLMImage:
        return GLMImage(self, device=device)


class GLMImage(comfy.model_base.BaseModel):
    """The decoder as ComfyUI's samplers call it, with the keys and values of reference images cached for one run."""

    diffusion_model: HostDiT

    def __init__(self, model_config: GLMImageConfig, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostDiT)
        self.references = ReferenceCache()
        # ComfyUI's estimate has one factor for all shapes, so the pixels of references are scaled to what they take
        per_pixel = self.elements_per_reference_pixel() / (self.memory_usage_factor * MEMORY_UNIT)
        self.memory_usage_factor_conds = ("references",)
        self.memory_usage_shape_process = {"references": lambda shape: [1, 1, shape[2] * per_pixel]}

    def process_timestep(self, timestep: Tensor, shift: float, **kwargs) -> Tensor:
        """The sampler's timestep [B] → the network's [B], see ``network_timestep``.

        In every ModelSampling, timestep(1) is the multiplier of sigma, so dividing by it gives sigma.
        """
        return network_timestep(timestep / self.model_sampling.timestep(1.0), shift)

    def _apply_model(self, x: Tensor, t: Tensor, c_concat=None, c_crossattn=None, control=None,
                     transformer_options: dict = {}, references: list[Reference] | None = None, **kwargs) -> Tensor:
        """Computes the references first, outside what torch.compile captures; later steps find them in the cache."""
        if references:
            kwargs["references"] = [self.keys_values(item, x.device, transformer_options) for item in references]
        return super()._apply_model(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)

    def keys_values(self, reference: Reference, device: torch.device, transformer_options: dict) -> list[KeyValue]:
        """Keys and values of a reference image under the LoRA hooks of this step, computed once per run."""
        hooks = self.active_hooks()
        key = (*reference.key, *(id(hook) for hook in hooks))
        strengths = tuple(hook.strength for hook in hooks)
        return self.references.get(key, strengths,
                                   lambda: self.compute_keys_values(reference, device, transformer_options))

    def active_hooks(self) -> list:
        """The LoRA hooks of this step; none outside a run, when there is no patcher."""
        group = self.current_patcher.current_hooks if self.current_patcher else None
        return group.hooks if group else []

    def compute_keys_values(self, reference: Reference, device: torch.device,
                            transformer_options: dict) -> list[KeyValue]:
        """One pair for each block, tensors [b, heads, n, head_dim], moved to a device where all of them fit."""
        elements = latent_pixels(reference.latent) * self.elements_per_reference_pixel()
        store = storage_device(elements * self.compute_dtype().itemsize, device, self.current_patcher)
        latent = self.process_latent_in(reference.latent.to(device)).to(self.compute_dtype())
        layers = self.diffusion_model.reference_keys_values(latent, reference.prior().to(device), transformer_options)
        return [(k.to(store), v.to(store)) for k, v in layers]

    @property
    def codebook_size(self) -> int:
        return self.diffusion_model.config.prior_vq_quantizer_codebook_size

    def compute_dtype(self) -> torch.dtype:
        return self.manual_cast_dtype or self.get_dtype()

    def elements_per_reference_pixel(self) -> int:
        """Elements of all keys and values per latent pixel; a token covers patch_size**2 of these."""
        config = self.diffusion_model.config
        return config.num_layers * 2 * config.inner // config.patch_size**2

    def extra_conds_shapes(self, **kwargs) -> dict[str, list[int]]:
        """For ComfyUI's memory estimate."""
        references = kwargs.get(REFERENCES_KEY)
        return {"references": references_shape(references)} if references else {}

    def extra_conds(self, noise: Tensor, device: torch.device, cross_attn: Tensor | None = None,
                    **kwargs) -> dict[str, comfy.conds.CONDRegular]:
        """The network's inputs, by name.

        Without references both branches have the same inputs, so that they share a batch and a compiled graph.
        Raises GLMImageError if latent or conditioning are another model's, or of batches that do not match.
        """
        check_latent(noise)
        cross_attn = glyph_embeddings(cross_attn, self.diffusion_model.config.text_embed_dim, len(noise))
        height, width = noise.shape[-2] * LATENT_PIXELS, noise.shape[-1] * LATENT_PIXELS
        is_unconditional = not cross_attn.any()  # ConditioningZeroOut keeps the other keys
        ids = None if is_unconditional else kwargs.get(PLAN_KEY)
        out = super().extra_conds(cross_attn=cross_attn, noise=noise, device=device, **kwargs)
        out["c_crossattn"] = comfy.conds.CONDRegular(cross_attn)  # the base class's would pad by repeating texts
        out["prior"] = comfy.conds.CONDNoiseShape(self.prior(ids, noise).to(device))
        out["target_size"] = comfy.conds.CONDRegular(torch.tensor([[height, width]], device=device))
        out["shift"] = comfy.conds.CONDConstant(resolution_shift(width, height))
        is_negative = is_unconditional or kwargs.get("prompt_type") == "negative"
        references = find_references(len(noise), is_negative, self.codebook_size, kwargs)
        if references:
            out["references"] = CONDReferences(references)
        return out

    def prior(self, ids: Tensor | None, noise: Tensor) -> Tensor:
        """A plan's ids [B, h/4, w/4] → ids per latent pixel [B, 1, h, w] for noise [B, 16, h, w]; None → all DROPPED.

        Raises GLMImageError if plan and noise are of different sizes, if there are neither one plan nor as many as
        latents, or if an id is not in the codebook.
        """
        if ids is None:
            return torch.full((1, 1, *noise.shape[-2:]), DROPPED)
        check_batch("plan", len(ids), len(noise), "like the latent's", "; pick plans with GLM-Image Select Plan")
        Plan(ids).check_codes(self.codebook_size)
        return prior_map(ids, *noise.shape[-2:])


add_lora_names(GLMImage, DIFFUSION_STYLES.names)


def load_diffusion_model(path: str, model_options: dict = {},
                         disable_dynamic: bool = False) -> comfy.model_patcher.ModelPatcher:
    """The MODEL of a file or a released folder.

    Takes the steps of comfy.sd.load_diffusion_model_state_dict, to whose list of models a pack cannot add its own.
    model_options: dtype and fp8_optimizations as UNETLoader sets them, custom_operations of other packs.
    disable_dynamic: whether the weights must not be paged from disk.
    Raises GLMImageError if the path does not hold a GLM-Image diffusion model.
    """
    weights = read_weights(path, DIFFUSION)
    config = GLMImageConfig(DiTConfig.from_json(weights.config, weights.source), partial(colours_beside, path))
    load_device = comfy.model_management.get_torch_device()
    precision = choose_precision(weights, load_device, model_options.get("dtype"))
    config.quant_config = precision.quantised
    config.custom_operations = model_options.get("custom_operations")
    config.optimizations["fp8"] = model_options.get("fp8_optimizations", False)
    config.set_inference_dtype(precision.storage, precision.cast)

    offload_device = comfy.model_management.unet_offload_device()
    model = config.get_model(weights.tensors)
    patcher = make_patcher(model, load_device, offload_device, disable_dynamic)
    if not is_dynamic(patcher):
        model.to(offload_device)
    fill(model.diffusion_model, weights.tensors, weights.source, assign=is_dynamic(patcher))
    # clones for torch.compile and hooks load the model again
    patcher.cached_patcher_init = load_diffusion_model, (path, model_options)
    clear_references_between_runs(patcher)
    return patcher


def clear_references_between_runs(patcher: comfy.model_patcher.ModelPatcher) -> None:
    """Empty the cache of references before each run and after it, even if it was cancelled or failed."""
    for moment in (CallbacksMP.ON_PRE_RUN, CallbacksMP.ON_CLEANUP):
        patcher.add_callback_with_key(moment, "glm_image_references", lambda patcher: patcher.model.references.clear())


def patch_sampling(model: comfy.model_patcher.ModelPatcher, latent_height: int,
                   latent_width: int) -> comfy.model_patcher.ModelPatcher:
    """A clone of the MODEL whose sigmas are shifted for this size, for samplers that make their own schedule.

    ComfyUI's "simple" strides through the table of sigmas, and so gives the official schedule for up to 999 steps.

    latent_height, latent_width: in latent pixels.
    """

    class ModelSampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
        pass

    sampling = ModelSampling(model.model.model_config)
    shift = resolution_shift(latent_width * LATENT_PIXELS, latent_height * LATENT_PIXELS)
    sampling.set_parameters(shift=shift)
    sampling.register_buffer("sigmas", sigma_table(shift))
    patched = model.clone()
    patched.add_object_patch("model_sampling", sampling)
    return patched
