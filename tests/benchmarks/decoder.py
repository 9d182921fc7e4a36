"""The decoder against diffusers: single steps, a guided run, and the VAE."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import torch
from torch import Tensor

from glm_core.checkpoint import DIFFUSION, VAE
from glm_core.pipeline import Place, draw_noise, render_latent
from glm_core.plans import LATENT_PIXELS, TOKEN_PIXELS, Plan, prior_map

from .models import make_pair, make_pipeline
from .report import Measure
from .sizes import Models, Size
from .timing import race, timed

GLYPHS = 16  # embeddings of the quoted texts
GUIDANCE = 1.5
TIMESTEP = 499.0
RUN_TARGET = 0.85


def difference(ours: Tensor, reference: Tensor) -> str:
    """How far two outputs that should be one are apart."""
    return f"{(ours.float() - reference.float()).norm() / reference.float().norm():.1e} of their size"


class DiTPair:
    """Ours and the reference's network, ``layers`` deep, on the same weights."""

    def __init__(self, models: Models, layers: int, place: Place):
        self.place, self.config = place, models.dit() | {"num_layers": layers}
        self.ours, self.reference = make_pair(DIFFUSION, self.config, place)

    def inputs(self, side: int) -> SimpleNamespace:
        """Random: noise, plan, glyph embeddings, and the one embedding of no text."""
        tokens = side // TOKEN_PIXELS
        plan = Plan(torch.randint(0, 16384, (1, tokens, tokens), generator=torch.Generator().manual_seed(side)))
        glyphs = torch.randn(1, GLYPHS + 1, self.config["text_embed_dim"]).to(self.place.device, self.place.dtype)
        return SimpleNamespace(noise=draw_noise(0, 1, side, side).to(self.place.device), plan=plan, glyphs=glyphs[:, :-1],
                               no_glyphs=glyphs[:, -1:], prior=prior_map(plan.ids, side // LATENT_PIXELS, side // LATENT_PIXELS))

    def steps(self, side: int):
        """A conditional forward on each side, as functions that give the velocity."""
        given = self.inputs(side)
        x, prior = given.noise.to(self.place.dtype), given.prior.to(self.place.device)
        timestep = torch.tensor([TIMESTEP], device=self.place.device)
        per_patch = prior[:, 0, ::2, ::2].flatten(1)
        told = {"prior_token_id": per_patch, "prior_token_drop": torch.zeros_like(per_patch, dtype=torch.bool), "timestep": timestep,
                "target_size": torch.full((1, 2), float(side), device=self.place.device),
                "crop_coords": torch.zeros(1, 2, device=self.place.device)}
        return (lambda: self.ours(x, timestep, given.glyphs, prior),
                lambda: self.reference(hidden_states=x, encoder_hidden_states=given.glyphs, return_dict=False, **told)[0])

    def runs(self, side: int):
        """A guided run on each side, as functions of the number of steps that give the latent."""
        given = self.inputs(side)
        pipe = make_pipeline(transformer=self.reference)
        pipe.encode_prompt = lambda *args, **kwargs: (given.glyphs, given.no_glyphs)
        per_patch = given.prior[:, 0, ::2, ::2].flatten(1).to(self.place.device)
        return (lambda steps: render_latent(self.ours, given.plan, given.glyphs, given.no_glyphs, given.noise, self.place, steps=steps,
                                            guidance=GUIDANCE),
                lambda steps: pipe("", height=side, width=side, num_inference_steps=steps, guidance_scale=GUIDANCE, latents=given.noise,
                                   prior_token_ids=per_patch, output_type="latent").images)

    def operations(self, side: int) -> float:
        """Floating-point operations of a forward: attention, its projections, the feed-forward, and the plan's projector."""
        layers, inner = self.config["num_layers"], self.config["num_attention_heads"] * self.config["attention_head_dim"]
        picture = (side // 16) ** 2
        tokens = picture + GLYPHS
        return layers * (24 * inner**2 * tokens + 4 * inner * tokens**2) + 4 * inner**2 * picture


@torch.inference_mode()
def compare(ours: Callable[[], Tensor], reference: Callable[[], Tensor]) -> str:
    """Run each once, which also warms them up, and tell how far their outputs are apart."""
    return difference(ours(), reference())


def dit_measures(size: Size, place: Place, rate: float, note) -> Iterator[Measure]:
    for side, layers, repeats in size.dit_steps:
        pair = DiTPair(size.models, layers, place)
        ours, reference = pair.steps(side)
        note(f"DiT step {side}²: velocities differ by {compare(ours, reference)}")
        times = race(timed(ours, place.device), timed(reference, place.device), repeats)
        name = f"DiT step {side}², {layers} of {size.models.dit_layers} layers"
        yield Measure(name, *times, "s", more_is_better=False)
        yield Measure(f"{name}: share of matrix rate", *(100 * pair.operations(side) / times / rate), "%")
        del pair, ours, reference
    yield run_measure(size, place, note)


def run_measure(size: Size, place: Place, note) -> Measure:
    side, steps, repeats = size.dit_run
    ours, reference = DiTPair(size.models, size.models.dit_layers, place).runs(side)
    note(f"DiT run {side}²: latents differ by {compare(lambda: ours(2), lambda: reference(2))} after 2 steps")
    times = race(timed(lambda: ours(steps), place.device), timed(lambda: reference(steps), place.device), repeats)
    return Measure(f"DiT run {side}², {steps} guided steps", *times, "s", more_is_better=False, target=RUN_TARGET)


class VAEPair:
    def __init__(self, models: Models, place: Place):
        self.place = place
        self.ours, self.reference = make_pair(VAE, models.vae(), place)

    def decoders(self, side: int):
        z = draw_noise(0, 1, side, side).to(self.place.device, self.place.dtype)
        return lambda: self.ours.decode(z), lambda: self.reference.decode(z, return_dict=False)[0]

    def encoders(self, side: int):
        pixels = torch.rand(1, 3, side, side).to(self.place.device, self.place.dtype) * 2 - 1
        return lambda: self.ours.encode(pixels), lambda: self.reference.encode(pixels).latent_dist.mode()


def vae_measures(size: Size, place: Place, note) -> Iterator[Measure]:
    pair = VAEPair(size.models, place)
    for side in size.vae_sides:
        for name, (ours, reference) in (("decode", pair.decoders(side)), ("encode", pair.encoders(side))):
            note(f"VAE {name} {side}²: outputs differ by {compare(ours, reference)}")
            times = race(timed(ours, place.device), timed(reference, place.device), size.repeats)
            yield Measure(f"VAE {name} {side}²", *times, "s", more_is_better=False)
