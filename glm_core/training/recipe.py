"""The whole recipe: sizes of the model, its stages in order, and the checkpoint that they produce."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .. import ops
from ..checkpoint import DIFFUSION, GLYPH, PLANNER, VAE
from ..checkpoint.read import LATENT_STATISTICS
from ..checkpoint.write import write_index, write_part, write_tokenizer
from ..decoder import AutoencoderKL, DiTConfig, GLMImageDiT, VAEConfig, colours_of
from ..glyph import VOCABULARY, GlyphConfig, GlyphEncoder
from ..planner import PlannerConfig, PlannerModel, PromptTokenizer
from ..posters import CODEBOOK_SIZE, IMAGE_END, IMAGE_START, SIDE, VISUAL_IDS, make_tokenizer
from ..vision import SemanticVQ, VisionConfig
from .autoencoder import autoencoder_loss, decoding_error, initialise_autoencoder, latent_moments
from .code_rows import initialise_code_rows, join_pairs, split_codes
from .decoder import (
    Group,
    Renderer,
    decoder_loss,
    draw_dense_pages,
    draw_pages_or_texts,
    draw_posters,
    draw_short_texts,
)
from .loop import BatchLoss, Stage, draw_curves, initialise, run_stage
from .planner import COARSE_GRID, Mix, planner_loss, teacher_forced_accuracy
from .vision import code_accuracy, vision_loss

ROPE_THETA = 16  # the released model's 10000 would hardly rotate at all between the eight columns
SMALL_CELLS = 6  # rows and columns of the planner's first posters
EDITS, LAST_EDITS = 0.5, 0.25  # shares of edits in the planner's mixed and last stage
NO_COARSE = 0.1  # share of plans without a coarse grid in both
FREE_POSTERS = 0.65  # share of free posters in both; they are harder than those on the token grid
PAIRED_POSTERS = 0.8  # share of posters with both letters of a pair in the planner's last stage
LETTER_WEIGHT = 5.0  # of tokens that show letters, in the loss of that stage
SERIF = 0.5  # share of posters with serif letters in the stages that have them
STATISTICS_POSTERS = 64  # over which the statistics of the latents are taken
REPORT_POSTERS = 16  # on which the parts are measured
VOCABULARY_MULTIPLE = 64  # matrix products are faster with such sizes

Module = TypeVar("Module", bound=nn.Module)
DrawGroup = Callable[[AutoencoderKL, int, float, random.Random, torch.device], Group]  # see ``draw_posters``


@dataclass(frozen=True)
class Recipe:
    """Sizes of the embedded model and lengths of its stages.

    The planner starts with small posters without a coarse grid, then learns whole posters with one. Both are on the
    token grid and use the reduced codebook, in which two letters share a code. Then the codes are split. In its last
    stage, many texts have both letters of a pair, which the plan must then tell apart.

    The decoder starts with small dense pages, which have many times the letters of a poster for the same work. Then it
    learns short texts whose plans have ambiguous letters, so that it must look at the glyphs.

    Both end with posters on the token grid, free posters and edits. Vision tower and decoder learn serif letters in
    stages of their own, after the other letters.

    groups: number of batches that each stage of the decoder draws and then repeats.
    """

    planner_width: int = 192
    planner_layers: int = 6
    planner_heads: int = 6
    vision_width: int = 128
    vision_layers: int = 4
    dit_heads: int = 4
    dit_layers: int = 8
    glyph_width: int = 64
    vae_widths: tuple[int, ...] = (16, 32, 64, 128)
    vision: Stage = Stage("vision", steps=1500, batch=32, learning_rate=2e-3)
    vision_serif: Stage = Stage("vision-serif", steps=1600, batch=32, learning_rate=1e-3)
    autoencoder: Stage = Stage("autoencoder", steps=1600, batch=8, learning_rate=1e-3)
    planner_small: Stage = Stage("planner-small", steps=1200, batch=32, learning_rate=1.5e-3)
    planner: Stage = Stage("planner", steps=400, batch=32, learning_rate=1.5e-3)
    planner_mixed: Stage = Stage("planner-mixed", steps=2200, batch=32, learning_rate=1e-3)
    planner_last: Stage = Stage("planner-last", steps=3900, batch=32, learning_rate=1e-3)
    decoder: Stage = Stage("decoder", steps=1600, batch=64, learning_rate=1e-3, average=0.995)
    decoder_short_texts: Stage = Stage("decoder-signs", steps=1400, batch=64, learning_rate=1e-3, average=0.99)
    decoder_posters: Stage = Stage("decoder-posters", steps=1600, batch=24, learning_rate=1e-3, average=0.995)
    decoder_serif: Stage = Stage("decoder-serif", steps=350, batch=64, learning_rate=1e-3, average=0.98)
    decoder_last: Stage = Stage("decoder-last", steps=720, batch=24, learning_rate=7e-4, average=0.99)
    groups: int = 240

    def planner_config(self, text_vocabulary: int) -> dict[str, Any]:
        """vision_language_encoder/config.json; only this model has "preview_tokens" and "trained_sides"."""
        return {
            "model_type": "glm_image", "architectures": ["GlmImageForConditionalGeneration"],
            "image_start_token_id": IMAGE_START, "image_end_token_id": IMAGE_END,
            "preview_tokens": COARSE_GRID[0] * COARSE_GRID[1], "trained_sides": [SIDE, SIDE],
            "text_config": self.text_config(text_vocabulary),
            "vision_config": self.vision_config(),
            "vq_config": {"embed_dim": 64, "num_embeddings": CODEBOOK_SIZE},
        }

    def text_config(self, text_vocabulary: int) -> dict[str, Any]:
        """text_config of vision_language_encoder/config.json."""
        rope = {"rope_theta": ROPE_THETA, "partial_rotary_factor": 0.5, "mrope_section": [2, 3, 3]}
        return {
            "hidden_size": self.planner_width, "num_hidden_layers": self.planner_layers,
            "num_attention_heads": self.planner_heads, "num_key_value_heads": self.planner_heads // 3,
            "intermediate_size": 8 * self.planner_width // 3, "vocab_size": text_vocabulary,
            "vision_vocab_size": VISUAL_IDS, "rms_norm_eps": 1e-5, "rope_parameters": rope,
        }

    def vision_config(self) -> dict[str, Any]:
        """vision_config of vision_language_encoder/config.json."""
        return {
            "hidden_size": self.vision_width, "depth": self.vision_layers, "num_heads": 4,
            "intermediate_size": 3 * self.vision_width, "patch_size": 16, "image_size": SIDE, "layer_norm_eps": 1e-6,
            "shortest_side": SIDE, "longest_side": SIDE,
        }

    def glyph_config(self) -> dict[str, Any]:
        """text_encoder/config.json."""
        return {
            "model_type": "t5", "d_model": self.glyph_width, "d_ff": 2 * self.glyph_width, "d_kv": 16, "num_heads": 4,
            "num_layers": 2, "vocab_size": VOCABULARY, "relative_attention_num_buckets": 32, "layer_norm_epsilon": 1e-6,
        }

    def dit_config(self) -> dict[str, Any]:
        """transformer/config.json."""
        return {
            "_class_name": "GlmImageTransformer2DModel", "patch_size": 2, "in_channels": 16, "out_channels": 16,
            "num_layers": self.dit_layers, "num_attention_heads": self.dit_heads, "attention_head_dim": 64,
            "text_embed_dim": self.glyph_width, "time_embed_dim": 64, "condition_dim": 32,
            "prior_vq_quantizer_codebook_size": CODEBOOK_SIZE,
        }

    def vae_config(self) -> dict[str, Any]:
        """vae/config.json, but without the statistics of the latents."""
        return {
            "_class_name": "AutoencoderKL", "block_out_channels": list(self.vae_widths), "layers_per_block": 1,
            "latent_channels": 16, "norm_num_groups": 4, "mid_block_add_attention": False, "use_quant_conv": False,
            "use_post_quant_conv": False,
        }


SHORT = Recipe(
    planner_width=96, planner_layers=2, planner_heads=3, vision_width=64, vision_layers=1, dit_heads=1, dit_layers=2,
    vae_widths=(16, 16, 32, 32), groups=4,
    vision=Stage("vision", steps=40, batch=8, learning_rate=2e-3, warm_up=5, average=0.8),
    vision_serif=Stage("vision-serif", steps=10, batch=8, learning_rate=2e-3, warm_up=5, average=0.8),
    autoencoder=Stage("autoencoder", steps=40, batch=2, learning_rate=2e-3, warm_up=5, average=0.8),
    planner_small=Stage("planner-small", steps=60, batch=8, learning_rate=3e-3, warm_up=5, average=0.8),
    planner=Stage("planner", steps=20, batch=8, learning_rate=3e-3, warm_up=5, average=0.8),
    planner_mixed=Stage("planner-mixed", steps=20, batch=8, learning_rate=2e-3, warm_up=5, average=0.8),
    planner_last=Stage("planner-last", steps=20, batch=8, learning_rate=1e-3, warm_up=5, average=0.8),
    decoder=Stage("decoder", steps=60, batch=4, learning_rate=2e-3, warm_up=5, average=0.8),
    decoder_short_texts=Stage("decoder-signs", steps=20, batch=4, learning_rate=1e-3, warm_up=5, average=0.8),
    decoder_posters=Stage("decoder-posters", steps=10, batch=4, learning_rate=1e-3, warm_up=5, average=0.8),
    decoder_serif=Stage("decoder-serif", steps=10, batch=4, learning_rate=1e-3, warm_up=5, average=0.8),
    decoder_last=Stage("decoder-last", steps=20, batch=4, learning_rate=1e-3, warm_up=5, average=0.8),
)


def padded_vocabulary(tokens: int) -> int:
    """``tokens``, rounded up to a multiple of VOCABULARY_MULTIPLE."""
    return -(-tokens // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


class Training:
    """A run of a recipe. ``out`` gets the checkpoint, ``out/training`` the states and logs of the stages."""

    def __init__(self, recipe: Recipe, out: Path, device: torch.device):
        self.recipe, self.out, self.states, self.device = recipe, out, out / "training", device
        self.tokenizer_json = make_tokenizer().to_str()
        self.tokenizer = PromptTokenizer(self.tokenizer_json)
        self.planner_config = recipe.planner_config(padded_vocabulary(len(self.tokenizer.tokenizer.get_vocab())))

    def build(self, module_class: Callable[..., Module], config: Any, seed: int) -> Module:
        """A new module with random weights."""
        module = module_class(config, dtype=torch.float32, operations=ops)
        initialise(module, seed)
        return module.to(self.device)

    def learn(self, stage: Stage, module: nn.Module, batch_loss: BatchLoss) -> None:
        """Train the module for one stage."""
        run_stage(stage, module, batch_loss, self.states, self.device)

    def train_vision(self) -> SemanticVQ:
        module = self.build(SemanticVQ, VisionConfig.from_json(self.planner_config, "recipe"), 1)
        initialise_code_rows(module.vqmodel.quantize.embedding)
        for stage, serif in ((self.recipe.vision, 0), (self.recipe.vision_serif, SERIF)):
            self.learn(stage, module, partial(vision_loss, module, stage.batch, serif, device=self.device))
        return module

    def train_autoencoder(self) -> AutoencoderKL:
        """The autoencoder, whose config gets the statistics of its latents and their colours."""
        module = self.build(AutoencoderKL, VAEConfig.from_json(self.recipe.vae_config(), "recipe"), 2)
        initialise_autoencoder(module)
        stage = self.recipe.autoencoder
        self.learn(stage, module, partial(autoencoder_loss, module, stage.batch, device=self.device))
        mean, std = latent_moments(module, random.Random("statistics"), STATISTICS_POSTERS, self.device)
        module.config = replace(module.config, latents_mean=tuple(mean), latents_std=tuple(std))
        module.config = replace(module.config, latents_rgb=colours_of(module, self.device))
        return module

    def train_planner(self) -> PlannerModel:
        module = self.build(PlannerModel, PlannerConfig.from_json(self.planner_config, "recipe"), 3)

        def learn(stage: Stage, mix: Mix) -> None:
            loss = partial(planner_loss, module, self.tokenizer, stage.batch, mix, device=self.device)
            self.learn(stage, module, loss)

        mixed = Mix(free=FREE_POSTERS, edits=EDITS, no_coarse=NO_COARSE, serif=SERIF)
        last = replace(mixed, edits=LAST_EDITS, pairs=PAIRED_POSTERS, letters=LETTER_WEIGHT)
        learn(self.recipe.planner_small, Mix(cells=SMALL_CELLS, no_coarse=1.0, full_codebook=False))
        learn(self.recipe.planner, Mix(full_codebook=False))
        split_codes(module.language_model.embed_tokens, module.lm_head)
        learn(self.recipe.planner_mixed, mixed)
        learn(self.recipe.planner_last, last)
        return module

    def build_renderer(self) -> Renderer:
        """Diffusion transformer and glyph encoder, initialised."""
        dit = self.build(GLMImageDiT, DiTConfig.from_json(self.recipe.dit_config(), "recipe"), 4)
        glyph = self.build(GlyphEncoder, GlyphConfig.from_json(self.recipe.glyph_config(), "recipe"), 5)
        initialise_code_rows(dit.prior_token_embedding)
        for name, parameter in dit.named_parameters():
            if name.endswith(("proj_out.weight", "norm1.linear.weight")):
                nn.init.zeros_(parameter)  # blocks start as identities (adaLN-Zero, Peebles and Xie 2022)
        return Renderer(dit, glyph)

    def learn_to_render(self, stage: Stage, module: Renderer, vae: AutoencoderKL, draw: DrawGroup,
                        serif: float) -> None:
        """Train the renderer for one stage. A batch is drawn and encoded once, when it is first needed, and then kept.

        serif: share of batches with serif letters.
        """

        @cache
        def group(i: int) -> Group:
            return draw(vae, stage.batch, serif, random.Random(f"group {i} of {stage.name}"), self.device)

        def batch_loss(rng: random.Random) -> Tensor:
            return decoder_loss(module, group(rng.randrange(self.recipe.groups)), rng, self.device)

        self.learn(stage, module, batch_loss)

    def train_decoder(self, vae: AutoencoderKL) -> Renderer:
        recipe, module = self.recipe, self.build_renderer()
        self.learn_to_render(recipe.decoder, module, vae, draw_dense_pages, 0)
        join_pairs(module.dit.prior_token_embedding)
        self.learn_to_render(recipe.decoder_short_texts, module, vae, draw_short_texts, 0)
        self.learn_to_render(recipe.decoder_posters, module, vae, draw_posters, 0)
        self.learn_to_render(recipe.decoder_serif, module, vae, draw_pages_or_texts, SERIF)
        self.learn_to_render(recipe.decoder_last, module, vae, draw_posters, SERIF)
        return module

    def write(self, vision: SemanticVQ, vae: AutoencoderKL, planner: PlannerModel, renderer: Renderer,
              dtype: torch.dtype = torch.bfloat16) -> None:
        """Write the checkpoint in the released layout."""
        statistics = {name: list(getattr(vae.config, name)) for name in LATENT_STATISTICS}
        write_part(self.out, PLANNER, self.planner_config, planner.state_dict() | vision.state_dict(), dtype)
        write_part(self.out, GLYPH, self.recipe.glyph_config(), renderer.glyph.state_dict(), dtype)
        write_part(self.out, DIFFUSION, self.recipe.dit_config(), renderer.dit.state_dict(), dtype)
        write_part(self.out, VAE, self.recipe.vae_config() | statistics, vae.state_dict(), dtype)
        write_tokenizer(self.out, self.tokenizer_json)
        write_index(self.out)

    def report(self, vision: SemanticVQ, vae: AutoencoderKL, planner: PlannerModel) -> None:
        """Print how good the parts before the decoder are on new posters."""
        rng = random.Random("report")
        read_right = code_accuracy(vision, SERIF, rng, REPORT_POSTERS, self.device)
        print(f"cells read correctly: {read_right:.3f}")
        error = decoding_error(vae, rng, REPORT_POSTERS, self.device)
        print(f"autoencoder error: {error:.1f} of 255")
        planned_right = teacher_forced_accuracy(planner, self.tokenizer, rng, REPORT_POSTERS, self.device)
        print(f"planner's next token predicted correctly: {planned_right:.3f}")


def train(recipe: Recipe, out: Path, device: torch.device) -> None:
    """Run all stages in order and write the checkpoint and the loss curves; an interrupted run resumes."""
    training = Training(recipe, out, device)
    vision, vae, planner = training.train_vision(), training.train_autoencoder(), training.train_planner()
    training.report(vision, vae, planner)
    training.write(vision, vae, planner, training.train_decoder(vae))
    draw_curves(training.states, out / "curves.png")
