"""What a user asks for: requests for plans and for pictures, and drawing settings. All check themselves when made."""

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
from ..plans import Plan, check_batch

MOST_PICTURES = 4096  # of a batch, as in ComfyUI
MOST_STEPS = 1000  # timesteps of the schedule
SEEDS = 2**64

def check_count(name: str, count: int, most: int | None = None) -> None:
    """Raise GLMImageError, naming the option ``name``, unless ``count`` is from 1 to ``most``."""
    if count < 1:
        raise GLMImageError(f"--{name} must be at least 1 (got {count})")
    if most is not None and count > most:
        raise GLMImageError(f"--{name} must be at most {most} (got {count})")


def check_seed(seed: int) -> None:
    if not 0 <= seed < SEEDS:
        raise GLMImageError(f"--seed must be from 0 to {SEEDS - 1} (got {seed})")


@dataclass(frozen=True)
class ReferenceImage:
    """A reference image, float32 [b, H, W, 3] in 0...1, and the tokens read from it.

    Raises GLMImageError if image and tokens are of different batches, or as ``to_rgb`` does.
    """

    image: Tensor
    tokens: Plan

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", to_rgb(self.image))
        if len(self.image) != self.tokens.batch:
            raise GLMImageError("reference image: images and tokens must have the same batch size "
                                f"(got {len(self.image)} and {self.tokens.batch})")


@dataclass(frozen=True)
class PlanRequest:
    """Plans of ``batch`` pictures of width x height pixels for one prompt, each the likeliest of ``best_of``.

    The plans for item i have the seeds from seed + i * best_of on; after 2^64 - 1 comes 0.

    references: in the order in which the prompt refers to them, each of one image or of ``batch`` images.
    look_ahead: number of tokens that the planner tries in one pass.
    coarse: whether a coarse grid is written first; with references there is none.
    Raises GLMImageError on a value out of range.
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
    best_of: int = 1

    def __post_init__(self) -> None:
        check_text("prompt", self.prompt)
        check_size(self.width, self.height)
        check_count("batch", self.batch, MOST_PICTURES)
        check_count("best-of", self.best_of)
        check_count("batch times --best-of", self.seeds, MOST_PICTURES)
        check_count("look-ahead", self.look_ahead)
        check_seed(self.seed)

    @property
    def seeds(self) -> int:
        """Number of seeds that the request takes, one for every plan that is made for it."""
        return self.batch * self.best_of


@dataclass(frozen=True)
class RenderSettings:
    """How a plan is drawn.

    steps: of the sampler. guidance: its scale; 1 or less turns guidance off. seed: of the noise. quotes: the rules that
    find quoted texts, a key of QUOTE_RULES.
    Raises GLMImageError on a value out of range.
    """

    steps: int = 50
    guidance: float = 1.5
    seed: int = 0
    quotes: str = NATURAL

    def __post_init__(self) -> None:
        check_count("steps", self.steps, MOST_STEPS)
        check_seed(self.seed)
        if not isfinite(self.guidance):
            raise GLMImageError(f"--guidance must be a finite number (got {self.guidance})")
        if self.quotes not in QUOTE_RULES:
            raise GLMImageError(f"quotes must be one of {', '.join(QUOTE_RULES)} (got {self.quotes!r})")


@dataclass(frozen=True)
class RenderRequest:
    """Pictures of one plan.

    prompt: its quoted texts are drawn as text. references: each of one image or of as many as there are plans.
    noise: float32 [B, 16, H/8, W/8], used instead of the seed's.
    Raises GLMImageError if the noise is not of the plan's size or not finite, or a reference of another batch.
    """

    plan: Plan
    prompt: str
    settings: RenderSettings = RenderSettings()
    references: tuple[ReferenceImage, ...] = ()
    noise: Tensor | None = None

    def __post_init__(self) -> None:
        if self.noise is not None:
            check_noise(self.noise, self.plan.batch, self.plan.width, self.plan.height)
        for i, reference in enumerate(self.references, 1):
            check_batch(f"reference {i}", reference.tokens.batch, self.plan.batch, "the number of plans")

    @classmethod
    def of(cls, request: PlanRequest, plan: Plan, settings: RenderSettings) -> RenderRequest:
        """For the plan of a request, with its prompt, its references, and noise from its seed.

        ComfyUI's KSampler draws the same noise from that seed.
        """
        return cls(plan, request.prompt, replace(settings, seed=request.seed), request.references)


def check_noise(noise: Tensor, batch: int, width: int, height: int) -> None:
    """Raise GLMImageError unless ``noise`` fits latents of these pictures and has only finite numbers."""
    expected = latent_shape(batch, width, height)
    if tuple(noise.shape) != expected:
        raise GLMImageError(f"noise must have the shape {list(expected)} to match the plan (got {list(noise.shape)})")
    if not noise.isfinite().all():
        raise GLMImageError(f"noise must have finite numbers only (got {int((~noise.isfinite()).sum())} others)")


def with_seeds(requests: list[PlanRequest], seed: int) -> list[PlanRequest]:
    """The requests with their seeds: each request's seeds follow those of the one before, the first gets ``seed``.

    So no two plans of a command share a seed. With n plans for each request, request j gets seed + j * n. After
    2**64 - 1 comes 0, as in a batch.
    """
    offsets = accumulate((request.seeds for request in requests), initial=0)
    return [replace(request, seed=(seed + offset) % SEEDS) for request, offset in zip(requests, offsets)]
