"""Six tiny checkpoints, and runs of them with upstream (transformers and diffusers), in float32 on the CPU."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch

from glm_core.checkpoint import DIFFUSION, GLYPH, VAE, VISION
from glm_core.pipeline import Compute, load, load_planner
from tests.support.tiny import Tiny

STEPS, GUIDANCE = 8, 1.5
FLOAT32 = Compute(torch.device("cpu"), torch.float32)
NOT_CODES = list(range(16384, 16512))  # upstream would sample them inside a grid, and fail


@dataclass(frozen=True)
class Case:
    name: str
    tiny: Tiny
    width: int
    height: int
    prompt: str


CASES = [
    Case("square", Tiny(seed=1), 64, 64, "a wooden sign that says 'OPEN' over a door"),
    Case("wide", Tiny(seed=2, planner_layers=3, dit_layers=3, glyph_layers=3), 192, 64,
         "a shop front, 'BREAD' left and \"Käse & Wein\" right, “24h” above, 「茶」 below"),
    Case("tall", Tiny(seed=3, planner_hidden=96, planner_heads=3, planner_kv_heads=1, mrope_section=(2, 3, 3),
                      dit_heads=3, dit_head_dim=32, vae_blocks=(32, 64, 64, 64)), 64, 160,
         "红色海报，上面写着“你好，世界”和「欢迎」"),
    Case("no text", Tiny(seed=4, planner_heads=8, planner_kv_heads=2, mrope_section=(0, 1, 1), dit_heads=4,
                         dit_head_dim=8, glyph_width=32, glyph_heads=2), 96, 128, "mountains at dawn, oil on canvas"),
    Case("empty", Tiny(seed=5, planner_layers=1, planner_hidden=128, planner_heads=2, planner_kv_heads=2,
                       mrope_section=(4, 6, 6), dit_layers=1, glyph_layers=1, vae_layers=2), 128, 64, ""),
    Case("one token", Tiny(seed=6, planner_layers=4, dit_layers=4, dit_head_dim=64, dit_heads=1, vae_layers=2), 32, 32,
         "'A' and 'B' and \"C\""),
]


def load_upstream(folder: Path):
    from diffusers import GlmImagePipeline

    pipe = GlmImagePipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load_ours(folder: Path) -> SimpleNamespace:
    """The parts, read from the released layout."""
    planner = load_planner(folder, FLOAT32)
    parts = (("vision", VISION), ("glyph", GLYPH), ("dit", DIFFUSION), ("vae", VAE))
    return SimpleNamespace(planner=planner.model, tokenizer=planner.tokenizer,
                           **{name: load(folder, part, FLOAT32) for name, part in parts})


def run_upstream(pipe, case: Case, noise: torch.Tensor) -> SimpleNamespace:
    """Upstream's own call, but greedy and with no other ids than codes: its image, and what it computed on the way."""
    found = {}
    model = pipe.vision_language_encoder

    def keep_latent(pipe, step, time, values):
        found["latent"] = values["latents"]
        return values

    generate = model.generate

    def greedy(**kwargs):
        out = generate(**{**kwargs, "do_sample": False}, suppress_tokens=NOT_CODES, output_logits=True,
                       return_dict_in_generate=True)
        found.update(prompt_ids=kwargs["input_ids"], tokens=out.sequences[:, kwargs["input_ids"].shape[1]:],
                     logits=torch.stack(out.logits, dim=1))
        return out.sequences

    model.generate = greedy
    found["image"] = pipe(prompt=case.prompt, width=case.width, height=case.height, latents=noise,
                          num_inference_steps=STEPS, guidance_scale=GUIDANCE, output_type="np",
                          generator=torch.Generator().manual_seed(0), callback_on_step_end=keep_latent).images
    model.generate = generate
    return SimpleNamespace(**found)
