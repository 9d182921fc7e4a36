"""Every network on the device, in float32 and bfloat16, against itself in float32 on the CPU.

The CPU is what ``tests/reference`` compares with transformers and diffusers. Full size: two layers of the released
width, so that the device's kernels are those of the released model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, VISION, Part
from glm_core.decoder import draw_noise, sample_latent
from glm_core.glyph import encode_texts
from glm_core.pipeline import Compute
from glm_core.planner import Sampling, lay_out_prompt
from glm_core.planner.decode import TokenSampler
from glm_core.planner.noise import exponential, item_keys, random_bits
from glm_core.plans import Plan, prior_map
from tests.benchmarks.models import make_ours
from tests.benchmarks.sizes import RELEASED, Models
from tests.support.compute import CPU
from tests.support.tiny import prompt_tokenizer, small_vocabulary

from .record import Record
from .recording import all_ids, plan

# released widths and code count; fewer layers, and fewer words, since the table of words takes 2.8 GB
WIDE = replace(RELEASED, vocabulary=small_vocabulary(16384), planner_layers=2, vision_layers=2, dit_layers=2,
               glyph_layers=2, coarse_tokens=64)
SMALL = Models(vocabulary=small_vocabulary(64), coarse_tokens=16)
MODELS = {"full": WIDE, "tiny": SMALL}
LIMITS = {torch.float32: 1e-4, torch.bfloat16: 0.05}  # of the difference's norm, relative to the result's
PROMPT = "a shop front on a rainy street at night, a neon sign that says 'OPEN' over the door"
STEPS, GUIDANCE = 3, 1.5
CANCEL_AFTER, LOOKAHEAD = 5, 4
NOISE_CODES, NOISE_ULPS = 16384, 2


class Cancelled(Exception):
    """Raised to end a plan."""


class Side:
    """All parts with the same weights, on one device in one type."""

    def __init__(self, models: Models, parts: dict[Part, Any], compute: Compute):
        self.models, self.parts, self.compute = models, parts, compute
        self.layout = lay_out_prompt(prompt_tokenizer(models), self.parts[PLANNER].config, PROMPT, 128, 96)
        self.name = f"{compute.device.type} {str(compute.dtype).removeprefix('torch.')}"

    def moved(self, compute: Compute) -> Side:
        """A copy that computes elsewhere or in another type."""
        parts = {part: copy.deepcopy(module).to(compute.device, compute.dtype) for part, module in self.parts.items()}
        return Side(self.models, parts, compute)

    def to(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.compute.device, self.compute.dtype)

    def random(self, *shape: int, seed: int = 0) -> Tensor:
        """The same numbers on every side."""
        return self.to(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))

    def plan(self, recorded: bool, **options) -> Tensor:
        """Ids [B, n], on the CPU."""
        return all_ids(plan(self.parts[PLANNER], self.layout, self.compute, recorded, **options))

    def logits(self, forced: Tensor, recorded: bool) -> Tensor:
        """Logits [n, V] of every token of a plan in which ``forced`` [1, n] takes the place of what is drawn."""
        seen, forced = [], forced.to(self.compute.device)

        def noted(sampler: TokenSampler, logits: Tensor, noise: Tensor | None) -> Tensor:
            seen.append(logits.float().flatten(0, -2)[0].clone())
            return forced[:, len(seen) - 1 : len(seen)]

        with patch.object(TokenSampler, "sample", noted):
            self.plan(recorded)
        return torch.stack(seen)

    def glyphs(self) -> Tensor:
        texts = [list(range(3, 3 + length)) for length in (5, 12)]
        return encode_texts(self.parts[GLYPH], texts, self.compute.device, self.compute.dtype)

    def features(self) -> Tensor:
        """What the vision tower's codebook looks up."""
        vision = self.parts[VISION]
        return vision.vqmodel.quant_conv(vision.visual(self.to(pixels(64, 96))))

    def codes(self) -> Tensor:
        return self.parts[VISION](self.to(pixels(64, 96)))

    def velocity(self, with_reference: bool) -> Tensor:
        dit, noise = self.parts[DIFFUSION], self.to(draw_noise(0, 1, 96, 64))
        prior = prior_map(codes_plan(self.models, 96, 64).ids, 8, 12).to(self.compute.device)
        reference = self.random(1, 16, 8, 8, seed=2), prior_map(codes_plan(self.models, 64, 64).ids, 8, 8)
        kept = [list(dit.reference_keys_values(reference[0], reference[1].to(self.compute.device)))]
        timestep = torch.tensor([499.0], device=self.compute.device)
        return dit(noise, timestep, self.random(1, 9, self.models.glyph_width), prior,
                   references=kept if with_reference else [])

    def latent(self) -> Tensor:
        width = self.models.glyph_width
        return sample_latent(self.parts[DIFFUSION], codes_plan(self.models, 96, 64), self.random(1, 9, width),
                             self.random(1, 1, width, seed=1), draw_noise(0, 1, 96, 64), steps=STEPS,
                             guidance=GUIDANCE, device=self.compute.device, dtype=self.compute.dtype)

    def decoded(self) -> Tensor:
        return self.parts[VAE].decode(self.random(1, 16, 8, 12))

    def encoded(self) -> Tensor:
        return self.parts[VAE].encode(self.to(pixels(64, 96)))


def pixels(height: int, width: int) -> Tensor:
    """[1, 3, height, width] in -1...1."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def codes_plan(models: Models, width: int, height: int) -> Plan:
    shape = 1, height // 32, width // 32
    return Plan(torch.randint(0, models.vocabulary.codes, shape, generator=torch.Generator().manual_seed(1)))


OUTPUTS: dict[str, Callable[[Side], Tensor]] = {
    "glyph encoder": Side.glyphs,
    "vision tower": Side.features,
    "decoder": lambda side: side.velocity(False),
    "decoder with a reference image": lambda side: side.velocity(True),
    f"latent after {STEPS} guided steps": Side.latent,
    "VAE decode": Side.decoded,
    "VAE encode": Side.encoded,
}


def check_close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> str:
    """Raise AssertionError if they are further apart than rounding in this type explains."""
    found, expected = found.float().cpu(), expected.float().cpu()
    error = float((found - expected).norm() / expected.norm())
    assert error <= LIMITS[dtype], f"the difference must be at most {LIMITS[dtype]} of the result's norm (got {error})"
    return f"differs by {error:.1e}"


def share_equal(found: Tensor, expected: Tensor) -> float:
    return float((found.cpu() == expected.cpu()).float().mean())


def check_equal(found: Tensor, expected: Tensor) -> str:
    share = share_equal(found, expected)
    assert share == 1, f"all tokens must be the same (got {share:.1%})"
    return f"{found.numel()} tokens are the same"


def noise_bits(side: Side) -> Tensor:
    """The integers behind the noise of a token of two items, int32 [2, codes]."""
    first, second = item_keys((7, 8), side.compute.device).split(1, dim=1)
    return random_bits(first, second, torch.tensor([[5]], dtype=torch.int32, device=side.compute.device), NOISE_CODES)


def check_noise(cpu: Side, side: Side) -> str:
    """The same integers on every device, and their logarithms as close as float32 allows."""
    bits = noise_bits(cpu)
    assert torch.equal(noise_bits(side).cpu(), bits), "the integers must be the same"
    exact = -((bits >> 9 & 0x7FFFFF).double().add(0.5) * 2.0**-23).log()
    found = exponential(noise_bits(side)).cpu()
    ulps = int((found.view(torch.int32) - exact.float().view(torch.int32)).abs().max())
    assert ulps <= NOISE_ULPS, f"logarithms must be within {NOISE_ULPS} ulp (got {ulps})"
    return f"within {ulps} ulp"


def check_planner(record: Record, cpu: Side, side: Side) -> None:
    """Logits with every pass recorded and not; the tokens themselves only in float32, where rounding tips none."""
    forced = cpu.plan(recorded=False)
    expected = cpu.logits(forced, recorded=False)
    for recorded in (False, True):
        record.check(f"{side.name}: planner's logits, {'recorded' if recorded else 'plain'} pass",
                     lambda recorded=recorded: check_close(side.logits(forced, recorded), expected,
                                                           side.compute.dtype))
    if side.compute.dtype == torch.float32:
        check_tokens(record, cpu, side)


def check_tokens(record: Record, cpu: Side, side: Side) -> None:
    """Plans in float32: recorded and plain, alone and in a batch, looking ahead, after a cancel, on both devices."""
    def plain(**options) -> Tensor:
        return side.plan(recorded=False, **options)

    def cancel(i: int, tokens: Tensor) -> None:
        if i == CANCEL_AFTER:
            raise Cancelled

    def after_a_cancel() -> Tensor:
        try:
            side.plan(recorded=True, on_token=cancel)
        except Cancelled:
            return side.plan(recorded=True)
        raise AssertionError("the plan must be cancelled")

    greedy = Sampling(top_k=1)
    record.check(f"{side.name}: recorded = plain", lambda: check_equal(side.plan(recorded=True), plain()))
    record.check(f"{side.name}: recorded = plain, batch 3",
                 lambda: check_equal(side.plan(recorded=True, batch=3), plain(batch=3)))
    record.check(f"{side.name}: recorded after a cancel = plain", lambda: check_equal(after_a_cancel(), plain()))
    record.check(f"{side.name}: recorded, looking ahead = plain",
                 lambda: check_equal(side.plan(recorded=True, lookahead=LOOKAHEAD), plain()))
    record.check(f"{side.name}: greedy plan = the CPU's",
                 lambda: check_equal(plain(sampling=greedy), cpu.plan(recorded=False, sampling=greedy)))
    record.check(f"{side.name}: plan of a seed = the CPU's", lambda: check_equal(plain(), cpu.plan(recorded=False)))
    record.check(f"{side.name}: random numbers = the CPU's", lambda: check_noise(cpu, side))


@torch.inference_mode()
def parity(record: Record, device: torch.device, size: str) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    models = MODELS[size]
    configs = {PLANNER: models.planner(), VISION: models.planner(), GLYPH: models.glyph(), DIFFUSION: models.dit(),
               VAE: models.vae()}
    parts = {part: make_ours(part, config, CPU) for part, config in configs.items()}
    cpu = Side(models, parts, CPU)
    expected = {name: output(cpu) for name, output in OUTPUTS.items()}
    for dtype in LIMITS:
        check_side(record, cpu, expected, cpu.moved(Compute(device, dtype)))


def check_side(record: Record, cpu: Side, expected: dict[str, Tensor], side: Side) -> None:
    """expected: the CPU's OUTPUTS."""
    for name, output in OUTPUTS.items():
        record.check(f"{side.name}: {name}",
                     lambda name=name, output=output: check_close(output(side), expected[name], side.compute.dtype))
    record.check(f"{side.name}: codes of an image", lambda: f"{share_equal(side.codes(), cpu.codes()):.1%} equal")
    check_planner(record, cpu, side)
