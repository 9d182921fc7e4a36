"""What a user asks for, checked when it is made: requests for plans and for pictures, and the settings of these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from math import isfinite

from torch import Tensor

from ..errors import GLMImageError, check_text
from ..geometry import check_size, latent_shape
from ..glyph import NATURAL, QUOTE_RULES
from ..images import to_rgb
from ..planner import Sampling
from ..plans import Plan

MOST_PICTURES = 4096  # of a batch, as in ComfyUI
MOST_STEPS = 1000  # timesteps of the schedule
SEEDS = 2**64


def check_count(name: str, count: int, most: int | None = None) -> None:
    if count < 1:
        raise GLMImageError(f"--{name} must be at least 1 (got {count})")
    if most is not None and count > most:
        raise GLMImageError(f"--{name} must be at most {most} (got {count})")


def check_seed(seed: int) -> None:
    if not 0 <= seed < SEEDS:
        raise GLMImageError(f"--seed must be from 0 to {SEEDS - 1} (got {seed})")


@dataclass(frozen=True)
class ReferenceImage:
    """An image to edit or to take something from, float32 [b, H, W, 3] in 0...1, and the tokens read off it."""

    image: Tensor
    tokens: Plan

    def __post_init__(self):
        object.__setattr__(self, "image", to_rgb(self.image))
        if len(self.image) != self.tokens.batch:
            raise GLMImageError("reference image: images and tokens must be of the same batch "
                                f"(got {len(self.image)} and {self.tokens.batch})")


@dataclass(frozen=True)
class PlanRequest:
    """Plans of ``batch`` pictures of width x height pixels for one prompt; item i is planned with seed + i, which goes
    on with 0 after 2^64 - 1.

    references: in the order that the prompt refers to them, each of one image or of ``batch``. look_ahead: tokens that
    the planner tries in one pass. coarse: whether a coarse grid is written first; with references there is none. Raises
    GLMImageError on a value out of range.
    """

    prompt: str
    width: int
    height: int
    batch: int = 1
    seed: int = 0
    sampling: Sampling = Sampling()
    references: tuple[ReferenceImage, ...] = ()
    look_ahead: int = 1
    coarse: bool = True

    def __post_init__(self):
        check_text("prompt", self.prompt)
        check_size(self.width, self.height)
        check_count("batch", self.batch, MOST_PICTURES)
        check_count("look-ahead", self.look_ahead)
        check_seed(self.seed)


@dataclass(frozen=True)
class RenderSettings:
    """How a plan is drawn: sampling steps, guidance scale (1 or less turns guidance off), the noise's seed, and the
    rule that finds quoted texts. Raises GLMImageError on a value out of range."""

    steps: int = 50
    guidance: float = 1.5
    seed: int = 0
    quotes: str = NATURAL

    def __post_init__(self):
        check_count("steps", self.steps, MOST_STEPS)
        check_seed(self.seed)
        if not isfinite(self.guidance):
            raise GLMImageError(f"--guidance must be a finite number (got {self.guidance})")
        if self.quotes not in QUOTE_RULES:
            raise GLMImageError(f"quotes must be one of {', '.join(QUOTE_RULES)} (got {self.quotes!r})")


@dataclass(frozen=True)
class RenderRequest:
    """Pictures of one plan.

    prompt: its quoted texts are lettered. noise: float32 [B, 16, H/8, W/8], to start from instead of the seed's.
    Raises GLMImageError when the noise is not of the plan's size, or not finite.
    """

    plan: Plan
    prompt: str
    settings: RenderSettings = RenderSettings()
    references: tuple[ReferenceImage, ...] = ()
    noise: Tensor | None = None

    def __post_init__(self):
        if self.noise is not None:
            check_noise(self.noise, self.plan.batch, self.plan.width, self.plan.height)

    @classmethod
    def of(cls, request: PlanRequest, plan: Plan, settings: RenderSettings) -> RenderRequest:
        """Draw a request's plan: its prompt, its references, and noise of its seed, which KSampler draws alike."""
        return cls(plan, request.prompt, replace(settings, seed=request.seed), request.references)


def check_noise(noise: Tensor, batch: int, width: int, height: int) -> None:
    """Raise GLMImageError unless ``noise`` fits latents of these pictures and has only finite numbers."""
    expected = latent_shape(batch, width, height)
    if tuple(noise.shape) != expected:
        raise GLMImageError(f"noise must be {list(expected)}, as the plan has it (got {list(noise.shape)})")
    if not noise.isfinite().all():
        raise GLMImageError(f"noise must have finite numbers only (got {int((~noise.isfinite()).sum())} others)")


def with_seeds(requests: list[PlanRequest], seed: int) -> list[PlanRequest]:
    """The one seed rule of a command: each request's seeds follow those of the one before, so that no two pictures of a
    command share one. With batches of n, request j gets seed + j * n; seeds go on with 0 after 2^64 - 1.
    """
    offsets = accumulate((request.batch for request in requests), initial=0)
    return [replace(request, seed=(seed + offset) % SEEDS) for request, offset in zip(requests, offsets)]
