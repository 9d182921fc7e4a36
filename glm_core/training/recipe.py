"""The whole recipe: sizes and steps of a run, its stages in order, and the checkpoint that comes out."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import ops
from ..checkpoint import DIFFUSION, GLYPH, PLANNER, VAE
from ..checkpoint.write import write_index, write_part, write_tokenizer
from ..decoder import AutoencoderKL, DiTConfig, GLMImageDiT, VAEConfig
from ..glyph import VOCABULARY, GlyphConfig, GlyphEncoder
from ..planner import PlannerConfig, PlannerModel, PromptTokenizer
from ..posters.scene import CELL_CODES, PAIR, SIDE, coarser
from ..posters.tokenizer import CODES, IMAGE_END, IMAGE_START, VISUAL_IDS, make_tokenizer
from ..vision import SemanticVQ, VisionConfig
from .autoencoder import autoencoder_loss, decoding_error, latent_moments, start_still
from .decoder import Renderer, decoder_loss, draw_dense_pages, draw_pages_or_texts, draw_posters, draw_short_texts
from .loop import Stage, draw_curves, initialise, run_stage
from .planner import COARSE, Mix, planner_loss, teacher_forced_accuracy
from .vision import code_accuracy, vision_loss

ROPE_THETA = 16  # turns by the column are the slowest; with the released 10000 eight columns would turn by 0.02
SMALL = 6  # cells of the side of the planner's first posters
EDITS, LAST_EDITS = 0.5, 0.25  # shares of edits in the planner's mixed stage and in its last
NO_COARSE = 0.1  # share of plans without preview in both
PLANNED_FREE = 0.65  # share of free posters in both, which are harder than those on the grid
PAIRS = 0.8  # share of posters with both letters of a pair in the planner's last stage
LETTER_WEIGHT = 5.0  # of a letter's token in that stage's loss
SERIF = 0.5  # share of posters with serifs in the stages that have them
STATISTICS_POSTERS = 64
REPORT_POSTERS = 16


@dataclass(frozen=True)
class Recipe:
    """Sizes of the small model and lengths of its stages.

    The planner learns small posters first, without preview, then whole ones with it, both on the grid and with a coarse
    codebook in which two letters share a code; then its codes are split, as Linde, Buzo and Gray (1980) grow a codebook. At
    last it sees many texts with both letters of a pair, which must not be left open. The decoder learns small walls first,
    which have many times the letters of a poster for the same work, then short texts whose plans leave letters open, which
    only the glyphs tell. Both end with posters on the grid, free ones and edits. Tower and decoder learn letters with serifs
    when they know those without, in stages of their own.
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
    decoder_signs: Stage = Stage("decoder-signs", steps=1400, batch=64, learning_rate=1e-3, average=0.99)
    decoder_posters: Stage = Stage("decoder-posters", steps=1600, batch=24, learning_rate=1e-3, average=0.995)
    decoder_serif: Stage = Stage("decoder-serif", steps=350, batch=64, learning_rate=1e-3, average=0.98)
    decoder_last: Stage = Stage("decoder-last", steps=720, batch=24, learning_rate=7e-4, average=0.99)
    groups: int = 240

    def planner_config(self, text_vocabulary: int) -> dict:
        """vision_language_encoder/config.json; preview and trained sizes are this model's own."""
        return {
            "model_type": "glm_image", "architectures": ["GlmImageForConditionalGeneration"],
            "image_start_token_id": IMAGE_START, "image_end_token_id": IMAGE_END,
            "preview_tokens": COARSE[0] * COARSE[1], "trained_sides": [SIDE, SIDE],
            "text_config": {
                "hidden_size": self.planner_width, "num_hidden_layers": self.planner_layers,
                "num_attention_heads": self.planner_heads, "num_key_value_heads": self.planner_heads // 3,
                "intermediate_size": 8 * self.planner_width // 3, "vocab_size": text_vocabulary, "vision_vocab_size": VISUAL_IDS,
                "rms_norm_eps": 1e-5,
                "rope_parameters": {"rope_theta": ROPE_THETA, "partial_rotary_factor": 0.5, "mrope_section": [2, 3, 3]},
            },
            "vision_config": {
                "hidden_size": self.vision_width, "depth": self.vision_layers, "num_heads": 4,
                "intermediate_size": 3 * self.vision_width, "patch_size": 16, "image_size": SIDE, "layer_norm_eps": 1e-6,
                "shortest_side": SIDE, "longest_side": SIDE,
            },
            "vq_config": {"embed_dim": 64, "num_embeddings": CODES},
        }

    def glyph_config(self) -> dict:
        return {"model_type": "t5", "d_model": self.glyph_width, "d_ff": 2 * self.glyph_width, "d_kv": 16, "num_heads": 4, "num_layers": 2,
                "vocab_size": VOCABULARY, "relative_attention_num_buckets": 32, "layer_norm_epsilon": 1e-6}

    def dit_config(self) -> dict:
        return {"_class_name": "GlmImageTransformer2DModel", "patch_size": 2, "in_channels": 16, "out_channels": 16,
                "num_layers": self.dit_layers, "num_attention_heads": self.dit_heads, "attention_head_dim": 64,
                "text_embed_dim": self.glyph_width, "time_embed_dim": 64, "condition_dim": 32, "prior_vq_quantizer_codebook_size": CODES}

    def vae_config(self) -> dict:
        return {"_class_name": "AutoencoderKL", "block_out_channels": list(self.vae_widths), "layers_per_block": 1, "latent_channels": 16,
                "norm_num_groups": 4, "mid_block_add_attention": False, "use_quant_conv": False, "use_post_quant_conv": False}


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
    decoder_signs=Stage("decoder-signs", steps=20, batch=4, learning_rate=1e-3, warm_up=5, average=0.8),
    decoder_posters=Stage("decoder-posters", steps=10, batch=4, learning_rate=1e-3, warm_up=5, average=0.8),
    decoder_serif=Stage("decoder-serif", steps=10, batch=4, learning_rate=1e-3, warm_up=5, average=0.8),
    decoder_last=Stage("decoder-last", steps=20, batch=4, learning_rate=1e-3, warm_up=5, average=0.8),
)


def part_vectors(width: int) -> dict[str, Tensor]:
    """A random vector for every letter, kind, colour, size ... that codes speak of."""
    generator = torch.Generator().manual_seed(0)
    vectors = {part: torch.randn(width, generator=generator) for part in dict.fromkeys(part for code in CELL_CODES for part in code)}
    return vectors | {pair: (vectors[pair[0]] + vectors[pair[1]]) / 2**0.5 for pair in PAIR.values()}


@torch.no_grad()
def start_related(table: nn.Embedding) -> None:
    """Rows of codes start with something in common where the codes have: what is learned of one helps all."""
    vectors = part_vectors(table.embedding_dim)
    for code, i in CELL_CODES.items():
        table.weight[i] = 0.5 * torch.stack([vectors[part] for part in code]).sum(0) / len(code) ** 0.5


@torch.no_grad()
def split_codes(*tables: nn.Embedding | nn.Linear) -> None:
    """Give every code the row of its coarser code, moved by what it says beyond that. The tables' first rows are codes."""
    for table in tables:
        vectors, scale = part_vectors(table.weight.shape[1]), 0.5 * table.weight.std()
        for code, i in CELL_CODES.items():
            beyond = [vectors[part] for part, coarse_part in zip(code, coarser(code)) if part != coarse_part]
            table.weight[i] = table.weight[CELL_CODES[coarser(code)]] + scale * sum(beyond)


@torch.no_grad()
def join_pairs(table: nn.Embedding) -> None:
    """Give every code of two letters what its letters' codes have in common."""
    for code, i in CELL_CODES.items():
        if code[0] == "letter" and len(code[1]) == 2:
            table.weight[i] = sum(table.weight[CELL_CODES[("letter", letter, *code[2:])]] for letter in code[1]) / 2


class Training:
    """A run of a recipe in a folder: ``out`` gets the checkpoint, ``out/training`` states, logs and curves."""

    def __init__(self, recipe: Recipe, out: Path, device: torch.device):
        self.recipe, self.out, self.states, self.device = recipe, out, out / "training", device
        self.tokenizer_json = make_tokenizer().to_str()
        self.tokenizer = PromptTokenizer(self.tokenizer_json)
        # a whole number of 64 rows, as embeddings like it
        vocabulary = -(-len(self.tokenizer.tokenizer.get_vocab()) // 64) * 64
        self.planner_config = recipe.planner_config(vocabulary)

    def module(self, module_class, config, seed: int) -> nn.Module:
        module = module_class(config, dtype=torch.float32, operations=ops)
        initialise(module, seed)
        return module.to(self.device)

    def stage(self, stage: Stage, module: nn.Module, loss_at) -> nn.Module:
        return run_stage(stage, module, loss_at, self.states, self.device)

    def vision(self) -> SemanticVQ:
        module = self.module(SemanticVQ, VisionConfig.from_json(self.planner_config, "recipe"), 1)
        start_related(module.vqmodel.quantize.embedding)
        for stage, serif in ((self.recipe.vision, 0), (self.recipe.vision_serif, SERIF)):
            self.stage(stage, module, partial(vision_loss, module, stage.batch, serif, device=self.device))
        return module

    def autoencoder(self) -> AutoencoderKL:
        """With the latent statistics of its own latents in the config."""
        module = self.module(AutoencoderKL, VAEConfig.from_json(self.recipe.vae_config(), "recipe"), 2)
        start_still(module)
        self.stage(self.recipe.autoencoder, module, lambda rng: autoencoder_loss(module, self.recipe.autoencoder.batch, rng, self.device))
        mean, std = latent_moments(module, random.Random("statistics"), STATISTICS_POSTERS, self.device)
        module.config = replace(module.config, latents_mean=tuple(mean), latents_std=tuple(std))
        return module

    def planner(self) -> PlannerModel:
        module = self.module(PlannerModel, PlannerConfig.from_json(self.planner_config, "recipe"), 3)

        def learn(stage: Stage, mix: Mix) -> None:
            self.stage(stage, module, lambda rng: planner_loss(module, self.tokenizer, stage.batch, mix, rng, self.device))

        learn(self.recipe.planner_small, Mix(cells=SMALL, no_coarse=1.0, full_codebook=False))
        learn(self.recipe.planner, Mix(full_codebook=False))
        split_codes(module.language_model.embed_tokens, module.lm_head)
        learn(self.recipe.planner_mixed, Mix(free=PLANNED_FREE, edits=EDITS, no_coarse=NO_COARSE, serif=SERIF))
        last = Mix(free=PLANNED_FREE, edits=LAST_EDITS, no_coarse=NO_COARSE, pairs=PAIRS, serif=SERIF, letters=LETTER_WEIGHT)
        learn(self.recipe.planner_last, last)
        return module

    def decoder(self, vae: AutoencoderKL) -> Renderer:
        """Its posters are drawn and encoded once a stage, when they are first wanted."""
        recipe = self.recipe
        dit = self.module(GLMImageDiT, DiTConfig.from_json(recipe.dit_config(), "recipe"), 4)
        module = Renderer(dit, self.module(GlyphEncoder, GlyphConfig.from_json(recipe.glyph_config(), "recipe"), 5))
        start_related(dit.prior_token_embedding)
        for zeroed in (dit.proj_out, *(block.norm1.linear for block in dit.transformer_blocks)):
            nn.init.zeros_(zeroed.weight)  # blocks start as identities (adaLN-Zero, Peebles and Xie 2022)

        def learn(stage: Stage, draw, serif: float) -> None:
            group = cache(lambda i: draw(vae, stage.batch, serif, random.Random(f"group {i} of {stage.name}"), self.device))
            self.stage(stage, module, lambda rng: decoder_loss(module, group(rng.randrange(recipe.groups)), rng, self.device))

        learn(recipe.decoder, draw_dense_pages, 0)
        join_pairs(dit.prior_token_embedding)
        learn(recipe.decoder_signs, draw_short_texts, 0)
        learn(recipe.decoder_posters, draw_posters, 0)
        learn(recipe.decoder_serif, draw_pages_or_texts, SERIF)
        learn(recipe.decoder_last, draw_posters, SERIF)
        return module

    def write(self, vision: SemanticVQ, vae: AutoencoderKL, planner: PlannerModel, renderer: Renderer, dtype=torch.bfloat16) -> None:
        statistics = {"latents_mean": list(vae.config.latents_mean), "latents_std": list(vae.config.latents_std)}
        write_part(self.out, PLANNER, self.planner_config, planner.state_dict() | vision.state_dict(), dtype)
        write_part(self.out, GLYPH, self.recipe.glyph_config(), renderer.glyph.state_dict(), dtype)
        write_part(self.out, DIFFUSION, self.recipe.dit_config(), renderer.dit.state_dict(), dtype)
        write_part(self.out, VAE, self.recipe.vae_config() | statistics, vae.state_dict(), dtype)
        write_tokenizer(self.out, self.tokenizer_json)
        write_index(self.out)

    def report(self, vision: SemanticVQ, vae: AutoencoderKL, planner: PlannerModel) -> None:
        """How well each stage before the decoder does its part, on posters of its own."""
        rng = random.Random("report")
        print(f"cells read right: {code_accuracy(vision, SERIF, rng, REPORT_POSTERS, self.device):.3f}")
        print(f"autoencoder error: {decoding_error(vae, rng, REPORT_POSTERS, self.device):.1f} of 255")
        print(f"planner's next token right: {teacher_forced_accuracy(planner, self.tokenizer, rng, REPORT_POSTERS, self.device):.3f}")


def train(recipe: Recipe, out: Path, device: torch.device) -> None:
    """All stages, one after the other; cut short, it goes on where it was."""
    training = Training(recipe, out, device)
    vision, vae, planner = training.vision(), training.autoencoder(), training.planner()
    training.report(vision, vae, planner)
    training.write(vision, vae, planner, training.decoder(vae))
    draw_curves(training.states, out / "curves.png")
