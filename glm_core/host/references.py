"""Reference images on their way into the decoder's attention: read, checked, and their keys and values kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import comfy.conds
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import torch
from torch import Tensor

from ..decoder.layers import KeyValue
from ..errors import GLMImageError
from ..geometry import latent_shape
from ..images import fit_image
from ..plans import Plan, check_batch, prior_map
from .compat import free_memory
from .planner import HostPlanner

PLAN_KEY = "glm_image_plan"  # in a conditioning: token ids, int64 [B, h, w]
REFERENCES_KEY = "glm_image_references"  # in a conditioning: a tuple of Reference
LATENTS_KEY = "reference_latents"  # as ComfyUI's own ReferenceLatent writes them, without tokens


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference image for planner and decoder: its tokens, and its latent [b, 16, h, w], not normalised.

    in_negative: the unconditional branch sees it too. Raises GLMImageError if the latent is not of the tokens' size.
    """

    latent: Tensor
    tokens: Plan
    in_negative: bool = False

    def __post_init__(self):
        expected = latent_shape(self.tokens.batch, self.tokens.width, self.tokens.height)
        if tuple(self.latent.shape) != expected:
            raise GLMImageError(f"reference image: the VAE's latent must be {list(expected)}, as the tokens have it "
                                f"(got {list(self.latent.shape)}); use the GLM-Image VAE")

    @property
    def key(self) -> tuple[int, int]:
        """Identifies the image during a run: the conditioning keeps both tensors alive, so no other has their ids."""
        return id(self.latent), id(self.tokens)

    def prior(self) -> Tensor:
        """Token ids per latent pixel [b, 1, h, w]."""
        return prior_map(self.tokens.ids, *self.latent.shape[-2:])


def read_reference(planner: HostPlanner, vae: comfy.sd.VAE, image: Tensor, in_negative: bool) -> Reference:
    """The reference of images [b, H, W, channels]: both parts are read off the same pixels.

    Raises GLMImageError on an image or a VAE that is not accepted.
    """
    tokens = planner.tokenize(image)
    return Reference(vae.encode(fit_image(image, tokens.width, tokens.height)), tokens, in_negative)


def find_references(batch: int, is_negative: bool, codebook_size: int, values: dict) -> list[Reference]:
    """The references in a conditioning's values that this branch sees; the negative one sees those marked for it.

    batch: of the latent that is sampled. codebook_size: of the decoder. Raises GLMImageError if a reference has
    another batch or ids outside the codebook, and on latents without tokens.
    """
    if values.get(LATENTS_KEY):
        raise GLMImageError(f"{LATENTS_KEY}: each latent must come with its tokens (got {len(values[LATENTS_KEY])} "
                            "without); use GLM-Image Reference instead of ReferenceLatent")
    references = values.get(REFERENCES_KEY) or ()
    for i, reference in enumerate(references, 1):
        check_batch(f"reference {i}", reference.tokens.batch, batch, "like the latent's")
        reference.tokens.check_codes(codebook_size, f"reference {i}")
    return [reference for reference in references if reference.in_negative or not is_negative]


def latent_pixels(latent: Tensor) -> int:
    """b * h * w of a latent [b, 16, h, w]."""
    return latent.shape[0] * latent.shape[2:].numel()


def references_shape(references: Sequence[Reference]) -> list[int]:
    """Latent pixels of all images together, as a shape for ComfyUI's memory estimate."""
    return [1, 1, sum(latent_pixels(reference.latent) for reference in references)]


class CONDReferences(comfy.conds.CONDConstant):
    """References as a network input. Two conditionings can share a batch if they have the same images."""

    def can_concat(self, other: CONDReferences) -> bool:
        return [reference.key for reference in self.cond] == [reference.key for reference in other.cond]

    def size(self) -> list[int]:
        return references_shape(self.cond)


class ReferenceCache:
    """Keys and values of the reference images of one sampling run; ``clear`` empties it."""

    def __init__(self):
        self.entries: dict[tuple, tuple[tuple, list[KeyValue]]] = {}

    def get(self, key: tuple, version: tuple, compute: Callable[[], list[KeyValue]]) -> list[KeyValue]:
        """The keys and values stored for ``key``, one pair for each block, tensors [b, heads, n, head_dim].

        They are computed if there are none, or none of this version (the strengths of the LoRA hooks).
        """
        if key not in self.entries or self.entries[key][0] != version:
            self.entries.pop(key, None)  # first, so that old and new ones are never in memory together
            self.entries[key] = version, compute()
        return self.entries[key][1]

    def clear(self) -> None:
        self.entries.clear()


def storage_device(size: int, device: torch.device,
                   patcher: comfy.model_patcher.ModelPatcher | None) -> torch.device:
    """Where to keep ``size`` bytes of keys and values: ``device`` if they fit there beside what inference needs.

    Otherwise the CPU; from there each block's pair is copied when it is used. patcher: of the model that samples, None
    outside a run.
    """
    free = free_memory(patcher, device) - comfy.model_management.minimum_inference_memory()
    return device if size <= free else torch.device("cpu")
