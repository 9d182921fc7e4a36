"""The reference's modules with random weights, and this pack's on the very same tensors."""

import gc
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, GlmImagePipeline, GlmImageTransformer2DModel
from torch import nn
from transformers import GenerationConfig, GlmImageConfig, GlmImageForConditionalGeneration, GlmImageProcessor, T5Config, T5EncoderModel

from glm_core import ops
from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, Part, Weights
from glm_core.checkpoint.read import strip_prefix
from glm_core.checkpoint.write import write_json
from glm_core.pipeline import MODULES, Place, build
from glm_core.planner import PlannerConfig, PlannerModel, PromptTokenizer
from glm_core.planner.model import fuse_qkv
from tests.reference.cases import NOT_CODES
from tests.support.tiny import CHAT_TEMPLATE, PREPROCESSOR, SCHEDULER, TOKENIZER_CONFIG, make_tokenizer

from .sizes import Models

OURS = {**MODULES, PLANNER: (PlannerModel, PlannerConfig)}
REFERENCE = {
    PLANNER: lambda config: GlmImageForConditionalGeneration(GlmImageConfig(**config)),
    GLYPH: lambda config: T5EncoderModel(T5Config(**config)),
    DIFFUSION: GlmImageTransformer2DModel.from_config,
    VAE: AutoencoderKL.from_config,
}
PARTS = tuple(REFERENCE)
# the released generation_config.json, kept from ids that are no codes
SAMPLING = GenerationConfig(do_sample=True, temperature=0.9, top_p=0.75, top_k=16512, eos_token_id=16385, pad_token_id=167855,
                            suppress_tokens=NOT_CODES)


@contextmanager
def made_at(place: Place):
    """New modules are made on the device and in the type, without a copy elsewhere."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(place.dtype)
    try:
        with place.device:
            yield
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Draw all weights where they lie, scaled so that signals keep their size; the scales of norms are about 1."""
    for name, parameter in module.named_parameters():
        generator = torch.Generator(parameter.device).manual_seed(seed)
        if parameter.ndim > 1:
            parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
        else:
            parameter.normal_(float(name.endswith("weight")), 0.2, generator=generator)
        seed += 1
    return module.eval()


def config_of(models: Models, part: Part) -> dict:
    return {PLANNER: models.planner, GLYPH: models.glyph, DIFFUSION: models.dit, VAE: models.vae}[part]()


def make_reference(part: Part, config: dict, place: Place) -> nn.Module:
    with made_at(place):
        module = REFERENCE[part](config)
    if part is PLANNER:
        module.generation_config = SAMPLING
    return randomise(module)


def share_weights(part: Part, reference: nn.Module, config: dict, place: Place) -> nn.Module:
    """Our module on the reference's tensors; the planner's queries, keys and values are a copy, as its loader fuses them."""
    module_class, config_class = OURS[part]
    values, tensors = config_class.from_json(config, part.title), strip_prefix(reference.state_dict(), part, f"{part.title} random weights")
    if part is PLANNER:
        values, tensors = fuse_qkv(values, tensors)
    return build(module_class, values, Weights(tensors, config, part.title, {}), place)


def make_pair(part: Part, config: dict, place: Place) -> tuple[nn.Module, nn.Module]:
    """Ours and the reference's."""
    reference = make_reference(part, config, place)
    return share_weights(part, reference, config, place), reference


def make_ours(part: Part, config: dict, place: Place) -> nn.Module:
    """Ours alone, with random weights, fused as its loader does."""
    module_class, config_class = OURS[part]
    values = config_class.from_json(config, part.title)
    with made_at(place):
        module = module_class(replace(values, fused=True) if part is PLANNER else values, dtype=place.dtype, operations=ops)
    return randomise(module)


def release() -> None:
    """Give back the memory of modules that are no longer held."""
    gc.collect()
    torch.cuda.empty_cache()


def prompt_tokenizer() -> PromptTokenizer:
    return PromptTokenizer(make_tokenizer().to_str())


def make_processor(folder: Path) -> GlmImageProcessor:
    """The reference's processor reads files, which are written to ``folder``."""
    write_json(folder / "preprocessor_config.json", PREPROCESSOR)
    write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    make_tokenizer().save(str(folder / "tokenizer.json"))
    return GlmImageProcessor.from_pretrained(folder)


def make_pipeline(**parts) -> GlmImagePipeline:
    """The reference's pipeline of those of its parts that are given."""
    names = "tokenizer", "processor", "text_encoder", "vision_language_encoder", "vae", "transformer"
    pipe = GlmImagePipeline(**dict.fromkeys(names) | parts, scheduler=FlowMatchEulerDiscreteScheduler.from_config(SCHEDULER))
    pipe.set_progress_bar_config(disable=True)
    return pipe
