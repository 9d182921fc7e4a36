"""Reference pictures on their way from a conditioning into the decoder's attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import comfy.conds
import comfy.model_management
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


def attach_reference(conditioning, image: Tensor, vae, tokens: Plan, in_negative: bool):
    """The conditioning with one more reference picture [b, H, W, channels]: its latent and its tokens.

    Raises GLMImageError when the tokens were read off other pictures.
    """
    if tokens.batch != len(image):
        raise GLMImageError(f"tokens come from a batch of {tokens.batch} images, but this image is a batch of {len(image)}; "
                            "tokenize this image")
    size = image.shape[2], image.shape[1]
    for origin in tokens.origins:
        if isinstance(origin, Read) and origin.size != size:
            raise GLMImageError(f"tokens come from a {origin.size[0]}x{origin.size[1]} image, but this image is {size[0]}x{size[1]}; "
                                "tokenize this image")
    latent = vae.encode(fit_image(image, tokens.width, tokens.height))
    values = {LATENTS_KEY: [latent], TOKENS_KEY: [tokens.ids], IN_NEGATIVE_KEY: [in_negative]}
    return node_helpers.conditioning_set_values(conditioning, values, append=True)


@dataclass(frozen=True)
class Reference:
    """A picture as the network wants it: latent [b, 16, h, w], not normalised, and tokens [b, h / 4, w / 4]."""

    latent: Tensor
    tokens: Tensor

    @property
    def key(self) -> tuple[int, int]:
        """The conditioning holds both tensors for the whole run, so that their identities tell pictures apart."""
        return id(self.latent), id(self.tokens)

    def prior(self) -> Tensor:
        return prior_map(self.tokens, *self.latent.shape[-2:]).expand(len(self.latent), -1, -1, -1)


def find_references(batch: int, is_negative: bool, values: dict) -> list[Reference]:
    """The references of a conditioning that this branch sees. The unconditional one sees none but those that ask for it."""
    latents, tokens = values.get(LATENTS_KEY) or [], values.get(TOKENS_KEY) or []
    if len(latents) != len(tokens):
        raise GLMImageError(f"{LATENTS_KEY}: found {len(latents)} latents but tokens for {len(tokens)}; "
                            "add pictures with GLM-Image Reference, which gives both")
    for i, latent in enumerate(latents, 1):
        if len(latent) not in (1, batch):
            raise GLMImageError(f"reference {i}: found a batch of {len(latent)} for {batch} latents; accepted are 1 and {batch}")
    seen = values.get(IN_NEGATIVE_KEY) or []
    return [Reference(latent, ids) for latent, ids, in_negative in zip(latents, tokens, seen) if in_negative or not is_negative]


def references_shape(latents: list[Tensor]) -> list[int]:
    """Latent pixels of all pictures together, as a shape for ComfyUI's memory estimate."""
    return [1, 1, sum(latent.shape[0] * latent.shape[2:].numel() for latent in latents)]


class CONDReferences(comfy.conds.CONDConstant):
    """Passed on as it is; two conditionings share a batch when they show the same pictures."""

    def can_concat(self, other) -> bool:
        return [reference.key for reference in self.cond] == [reference.key for reference in other.cond]

    def size(self) -> list[int]:
        return references_shape([reference.latent for reference in self.cond])


class ReferenceCache:
    """Keys and values of the pictures of one sampling run. ``clear`` ends it, also after a cancel."""

    def __init__(self):
        self.entries: dict[tuple, tuple[tuple, list[KeyValue]]] = {}

    def get(self, key: tuple, version: tuple, compute: Callable[[], list[KeyValue]]) -> list[KeyValue]:
        """What is kept under ``key`` if it is of this version (the strengths of hooked LoRAs), else computed anew."""
        if key not in self.entries or self.entries[key][0] != version:
            self.entries.pop(key, None)  # before, so that old and new are never there together
            self.entries[key] = version, compute()
        return self.entries[key][1]

    def clear(self) -> None:
        self.entries.clear()


def storage_device(size: int, device: torch.device) -> torch.device:
    """The computing device if ``size`` bytes fit beside what inference needs, else the CPU; each layer then travels when used."""
    room = comfy.model_management.get_free_memory(device) - comfy.model_management.minimum_inference_memory()
    return device if size <= room else torch.device("cpu")
