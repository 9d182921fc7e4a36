"""Reference images on their way from a conditioning into the decoder's attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import comfy.conds
import comfy.model_management
import comfy.sd
import node_helpers
import torch
from torch import Tensor

from ..decoder.layers import KeyValue
from ..errors import GLMImageError
from ..images import fit_image
from ..plans import Plan, Read, prior_map

LATENTS_KEY = "reference_latents"  # ComfyUI's own, as ReferenceLatent writes it
TOKENS_KEY = "glm_image_reference_tokens"
IN_NEGATIVE_KEY = "glm_image_reference_in_negative"


def attach_reference(conditioning: list, image: Tensor, vae: comfy.sd.VAE, tokens: Plan, in_negative: bool) -> list:
    """The conditioning with one more reference image [b, H, W, channels] in 0...1: its latent and its tokens.

    in_negative: whether the unconditional branch sees it too, if this conditioning is the negative one.
    Raises GLMImageError if the tokens come from another image.
    """
    check_tokens(tokens, image)
    latent = vae.encode(fit_image(image, tokens.width, tokens.height))
    values = {LATENTS_KEY: [latent], TOKENS_KEY: [tokens.ids], IN_NEGATIVE_KEY: [in_negative]}
    return node_helpers.conditioning_set_values(conditioning, values, append=True)


def check_tokens(tokens: Plan, image: Tensor) -> None:
    """Raise GLMImageError if the tokens come from another batch, or from an image of another size."""
    if tokens.batch != len(image):
        raise GLMImageError(f"tokens come from a batch of {tokens.batch}, but this image is a batch of {len(image)}; "
                            "tokenize this image")
    width, height = image.shape[2], image.shape[1]
    for origin in tokens.origins:
        if isinstance(origin, Read) and origin.size != (width, height):
            raise GLMImageError(f"tokens come from a {origin.size[0]}x{origin.size[1]} image, but this image is "
                                f"{width}x{height}; tokenize this image")


@dataclass(frozen=True)
class Reference:
    """A reference image in a conditioning: latent [b, 16, h, w], not normalised, and tokens int64 [b, h/4, w/4]."""

    latent: Tensor
    tokens: Tensor

    @property
    def key(self) -> tuple[int, int]:
        """Identifies the image during a run: the conditioning keeps both tensors alive, so no other has their ids."""
        return id(self.latent), id(self.tokens)

    def prior(self) -> Tensor:
        """Token ids per latent pixel [b, 1, h, w]."""
        return prior_map(self.tokens, *self.latent.shape[-2:]).expand(len(self.latent), -1, -1, -1)


def find_references(batch: int, is_negative: bool, values: dict) -> list[Reference]:
    """The references in a conditioning's ``values`` that this branch sees; the negative one sees only those marked so.

    batch: of the latent that is sampled. Raises GLMImageError if a reference has no tokens or another batch.
    """
    latents, tokens = values.get(LATENTS_KEY) or [], values.get(TOKENS_KEY) or []
    if len(latents) != len(tokens):
        raise GLMImageError(f"{LATENTS_KEY}: each latent must come with its tokens (got {len(latents)} latents and "
                            f"tokens for {len(tokens)}); use GLM-Image Reference instead of ReferenceLatent")
    for i, latent in enumerate(latents, 1):
        if len(latent) not in (1, batch):
            raise GLMImageError(f"reference {i}: the batch size must be 1 or {batch}, like the latent's "
                                f"(got {len(latent)})")
    in_negative = values.get(IN_NEGATIVE_KEY) or []
    return [Reference(latent, ids) for latent, ids, also_in_negative in zip(latents, tokens, in_negative)
            if also_in_negative or not is_negative]


def latent_pixels(latent: Tensor) -> int:
    """b * h * w of a latent [b, 16, h, w]."""
    return latent.shape[0] * latent.shape[2:].numel()


def references_shape(latents: list[Tensor]) -> list[int]:
    """Total number of latent pixels of all images, as a shape for ComfyUI's memory estimate."""
    return [1, 1, sum(map(latent_pixels, latents))]


class CONDReferences(comfy.conds.CONDConstant):
    """References as a network input. Two conditionings can share a batch if they have the same images."""

    def can_concat(self, other: CONDReferences) -> bool:
        return [reference.key for reference in self.cond] == [reference.key for reference in other.cond]

    def size(self) -> list[int]:
        return references_shape([reference.latent for reference in self.cond])


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


def storage_device(size: int, device: torch.device) -> torch.device:
    """Where to keep ``size`` bytes of keys and values: ``device`` if they fit there beside what inference needs.

    Otherwise the CPU; from there each block's pair is copied when it is used.
    """
    free = comfy.model_management.get_free_memory(device) - comfy.model_management.minimum_inference_memory()
    return device if size <= free else torch.device("cpu")
