"""The decoder against diffusers: single steps, a guided run, and the VAE."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import torch
from torch import Tensor

from glm_core.checkpoint import DIFFUSION, VAE
from glm_core.decoder import draw_noise, sample_latent
from glm_core.geometry import LATENT_PIXELS, TOKEN_PIXELS
from glm_core.pipeline import Compute
from glm_core.plans import Plan, prior_map

from .models import make_pair, make_pipeline
from .report import Measure, Note
from .sizes import Models, Size
from .timing import compare_times, timed

GLYPHS = 16  # embeddings of the quoted texts
GUIDANCE = 1.5
TIMESTEP = 499.0
RUN_TARGET = 0.85


@torch.inference_mode()
def difference(ours: Callable[[], Tensor], upstream: Callable[[], Tensor]) -> str:
    """How far two outputs that should be one are apart. Runs each once, which also warms them up."""
    first, second = ours().float(), upstream().float()
    return f"{(first - second).norm() / second.norm():.1e} of their size"


def patch_ids(prior: Tensor) -> Tensor:
    """Token ids per patch, as upstream takes them, [B, h * w / 4], of ids per latent pixel [B, 1, h, w]."""
    return prior[:, 0, ::2, ::2].flatten(1)


class DiTPair:
    """Our network and upstream's, ``layers`` deep, on the same weights."""

    def __init__(self, models: Models, layers: int, compute: Compute):
        self.compute, self.config = compute, models.dit() | {"num_layers": layers}
        self.ours, self.upstream = make_pair(DIFFUSION, self.config, compute)

    def inputs(self, side: int) -> SimpleNamespace:
        """Random: noise, plan, its ids per latent pixel, glyph embeddings, and the one embedding of no text."""
        rows, device = side // TOKEN_PIXELS, self.compute.device
        generator = torch.Generator().manual_seed(side)
        plan = Plan(torch.randint(0, 16384, (1, rows, rows), generator=generator))
        glyphs = torch.randn(1, GLYPHS + 1, self.config["text_embed_dim"]).to(device, self.compute.dtype)
        prior = prior_map(plan.ids, side // LATENT_PIXELS, side // LATENT_PIXELS)
        return SimpleNamespace(noise=draw_noise(0, 1, side, side).to(device), plan=plan, prior=prior.to(device),
                               glyphs=glyphs[:, :-1], no_glyphs=glyphs[:, -1:])

    def steps(self, side: int) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
        """A conditional forward of ours and of upstream, as functions that give the velocity."""
        given, device = self.inputs(side), self.compute.device
        x, timestep = given.noise.to(self.compute.dtype), torch.tensor([TIMESTEP], device=device)
        ids = patch_ids(given.prior)
        upstream_inputs = {
            "hidden_states": x, "encoder_hidden_states": given.glyphs, "prior_token_id": ids,
            "prior_token_drop": torch.zeros_like(ids, dtype=torch.bool), "timestep": timestep,
            "target_size": torch.full((1, 2), float(side), device=device),
            "crop_coords": torch.zeros(1, 2, device=device), "return_dict": False,
        }
        return (lambda: self.ours(x, timestep, given.glyphs, given.prior),
                lambda: self.upstream(**upstream_inputs)[0])

    def runs(self, side: int) -> tuple[Callable[[int], Tensor], Callable[[int], Tensor]]:
        """A guided run of ours and of upstream, as functions of the number of steps that give the latent."""
        given = self.inputs(side)
        pipe = make_pipeline(transformer=self.upstream)
        pipe.encode_prompt = lambda *args, **kwargs: (given.glyphs, given.no_glyphs)

        def ours(steps: int) -> Tensor:
            return sample_latent(self.ours, given.plan, given.glyphs, given.no_glyphs, given.noise, steps=steps,
                                 guidance=GUIDANCE, device=self.compute.device, dtype=self.compute.dtype)

        def upstream(steps: int) -> Tensor:
            return pipe("", height=side, width=side, num_inference_steps=steps, guidance_scale=GUIDANCE,
                        latents=given.noise, prior_token_ids=patch_ids(given.prior), output_type="latent").images

        return ours, upstream

    def operations(self, side: int) -> float:
        """Floating-point operations of a forward: attention and its projections, feed-forward, the plan's projector."""
        layers = self.config["num_layers"]
        inner = self.config["num_attention_heads"] * self.config["attention_head_dim"]
        picture = (side // 16) ** 2
        tokens = picture + GLYPHS
        return layers * (24 * inner**2 * tokens + 4 * inner * tokens**2) + 4 * inner**2 * picture


def dit_measures(size: Size, compute: Compute, rate: float, note: Note) -> Iterator[Measure]:
    """``rate``: floating-point operations a second that the machine can do."""
    for side, layers, repeats in size.dit_steps:
        pair = DiTPair(size.models, layers, compute)
        ours, upstream = pair.steps(side)
        note(f"DiT step {side}²: velocities differ by {difference(ours, upstream)}")
        times = compare_times(timed(ours, compute.device), timed(upstream, compute.device), repeats)
        name = f"DiT step {side}², {layers} of {size.models.dit_layers} layers"
        yield Measure(name, *times, "s", more_is_better=False)
        yield Measure(f"{name}: share of matrix rate", *(100 * pair.operations(side) / times / rate), "%")
        del pair, ours, upstream
    yield run_measure(size, compute, note)


def run_measure(size: Size, compute: Compute, note: Note) -> Measure:
    side, steps, repeats = size.dit_run
    ours, upstream = DiTPair(size.models, size.models.dit_layers, compute).runs(side)
    note(f"DiT run {side}²: latents differ by {difference(lambda: ours(2), lambda: upstream(2))} after 2 steps")
    times = compare_times(timed(lambda: ours(steps), compute.device), timed(lambda: upstream(steps), compute.device),
                          repeats)
    return Measure(f"DiT run {side}², {steps} guided steps", *times, "s", more_is_better=False, target=RUN_TARGET)


class VAEPair:
    """Our VAE and upstream's on the same weights."""

    def __init__(self, models: Models, compute: Compute):
        self.compute = compute
        self.ours, self.upstream = make_pair(VAE, models.vae(), compute)

    def decoders(self, side: int) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
        z = draw_noise(0, 1, side, side).to(self.compute.device, self.compute.dtype)
        return lambda: self.ours.decode(z), lambda: self.upstream.decode(z, return_dict=False)[0]

    def encoders(self, side: int) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
        pixels = torch.rand(1, 3, side, side).to(self.compute.device, self.compute.dtype) * 2 - 1
        return lambda: self.ours.encode(pixels), lambda: self.upstream.encode(pixels).latent_dist.mode()


def vae_measures(size: Size, compute: Compute, note: Note) -> Iterator[Measure]:
    pair = VAEPair(size.models, compute)
    for side in size.vae_sides:
        for name, (ours, upstream) in (("decode", pair.decoders(side)), ("encode", pair.encoders(side))):
            note(f"VAE {name} {side}²: outputs differ by {difference(ours, upstream)}")
            times = compare_times(timed(ours, compute.device), timed(upstream, compute.device), size.repeats)
            yield Measure(f"VAE {name} {side}²", *times, "s", more_is_better=False)
