"""What is measured: the models of each size, and how much of everything is run on them."""

from dataclasses import dataclass

from tests.support.tiny import Tiny


@dataclass(frozen=True)
class Models(Tiny):
    """``Tiny`` with the remaining widths to choose."""

    planner_inner: int = 192
    vision_layers: int = 2
    vision_inner: int = 64
    code_width: int = 16
    time_width: int = 32
    condition_width: int = 16
    glyph_inner: int = 96
    glyph_head_dim: int = 8
    vae_groups: int = 16

    @property
    def planner_name(self) -> str:
        return f"{self.planner_layers}x{self.planner_hidden}"

    def planner(self) -> dict:
        config = super().planner()
        config["vq_config"] |= {"embed_dim": self.code_width}
        return config

    def text(self) -> dict:
        return super().text() | {"intermediate_size": self.planner_inner}

    def vision(self) -> dict:
        return super().vision() | {"depth": self.vision_layers, "intermediate_size": self.vision_inner}

    def dit(self) -> dict:
        return super().dit() | {"time_embed_dim": self.time_width, "condition_dim": self.condition_width}

    def glyph(self) -> dict:
        return super().glyph() | {"d_ff": self.glyph_inner, "d_kv": self.glyph_head_dim}

    def vae(self) -> dict:
        return super().vae() | {"norm_num_groups": self.vae_groups}


@dataclass(frozen=True)
class Size:
    """How much is measured. Sides are in pixels, and pictures square where there is one side.

    planners: of the planner's section; the first is also the one of ``models``.
    plan_pixels: width and height of the plans that are timed. coarse_tokens: of their coarse grid.
    batches: batch sizes of the planner, with how often each is run; plans per second are given for PLANS of them.
    dit_steps: side of each single step, its number of layers and of repeats.
    cache_lengths: lengths of the cache at which growth times one token of the planner.
    growth_layers: of the decoder whose growth is timed.
    lookahead_prompts: of each of the embedded checkpoint's held-out files.
    has_targets: whether the targets are meant for this size.
    """

    device: str
    models: Models
    planners: tuple[Models, ...]
    plan_pixels: tuple[int, int]
    coarse_tokens: int
    batches: dict[int, int]
    dit_steps: tuple[tuple[int, int, int], ...]
    dit_run: tuple[int, int, int]  # side, guided steps, repeats
    vae_sides: tuple[int, ...]
    image: tuple[int, int, int]  # side, guided steps, repeats
    copy_bytes: int
    matrix_side: int
    cache_lengths: tuple[int, ...]
    plan_growth: tuple[int, ...]
    dit_growth: tuple[int, ...]
    vae_growth: tuple[int, ...]
    growth_layers: int
    repeats: int = 3
    lookahead_prompts: int = 20
    has_targets: bool = False


PLANS = 8
RELEASED = Models(
    planner_layers=40, planner_hidden=4096, planner_heads=32, planner_kv_heads=2, planner_inner=13696,
    mrope_section=(8, 12, 12),
    vision_layers=40, vision_width=1536, vision_heads=16, vision_inner=6144, code_width=2048,
    dit_layers=30, dit_heads=32, dit_head_dim=128, time_width=512, condition_width=256,
    glyph_layers=12, glyph_width=1472, glyph_heads=6, glyph_head_dim=64, glyph_inner=3584,
    vae_blocks=(128, 512, 1024, 1024), vae_layers=3, vae_groups=32,
)
QUARTER = Models(  # widths are a quarter of the released ones, planner and decoder keep their shares of layers
    planner_layers=12, planner_hidden=1024, planner_heads=16, planner_kv_heads=2, planner_inner=3424,
    mrope_section=(4, 6, 6),
    dit_layers=9, dit_heads=16, dit_head_dim=64, time_width=128, condition_width=64,
    glyph_layers=3, glyph_width=368, glyph_heads=6, glyph_head_dim=16, glyph_inner=896,
    vae_blocks=(32, 128, 256, 256), vae_layers=3,
)
SMALL_PLANNER = Models(planner_layers=4, planner_hidden=256, planner_heads=4, planner_kv_heads=2, planner_inner=856,
                       mrope_section=(4, 6, 6))
SIZES = {
    "cpu": Size(
        device="cpu", models=QUARTER, planners=(QUARTER, SMALL_PLANNER), plan_pixels=(256, 128), coarse_tokens=32,
        batches={1: 5, 4: 3, PLANS: 3, 16: 2}, dit_steps=((512, 9, 3), (1024, 3, 2), (2048, 1, 2)),
        dit_run=(256, 20, 2), vae_sides=(256, 512), image=(256, 8, 2), copy_bytes=2**28, matrix_side=2048,
        cache_lengths=(64, 512, 2048, 8192, 16768), plan_growth=(256, 512, 1024, 2048, 4096),
        dit_growth=(256, 512, 1024, 2048), vae_growth=(256, 512, 1024), growth_layers=1, has_targets=True),
    "full": Size(
        device="cuda", models=RELEASED, planners=(RELEASED,), plan_pixels=(512, 512), coarse_tokens=256,
        batches={1: 3, 4: 3, PLANS: 3, 16: 3}, dit_steps=((512, 30, 7), (1024, 30, 5), (2048, 30, 3)),
        dit_run=(1024, 20, 3), vae_sides=(1024, 2048), image=(1024, 50, 2), copy_bytes=2**32, matrix_side=8192,
        cache_lengths=(64, 512, 2048, 8192, 16768), plan_growth=(256, 512, 1024, 2048, 4096),
        dit_growth=(256, 512, 1024, 2048), vae_growth=(256, 512, 1024, 2048), growth_layers=30),
    "tiny": Size(
        device="cpu", models=Models(), planners=(Models(),), plan_pixels=(64, 64), coarse_tokens=4,
        batches={1: 1, 4: 1, PLANS: 1, 16: 1}, dit_steps=((64, 2, 1), (128, 1, 1)), dit_run=(64, 2, 1),
        vae_sides=(64,), image=(32, 2, 1), copy_bytes=2**20, matrix_side=64, cache_lengths=(64, 256, 512),
        plan_growth=(32, 64, 128), dit_growth=(32, 64, 128), vae_growth=(32, 64), growth_layers=1, repeats=1,
        lookahead_prompts=1),
}
