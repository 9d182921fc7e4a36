"""A batch of token grids with their origins, and the file that holds it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import torch
from safetensors.torch import save, save_file
from torch import Tensor

from ..errors import GLMImageError
from ..files import parse_tensors, quote, read_tensors
from ..geometry import LATENT_PIXELS, TOKEN_LATENTS, TOKEN_PIXELS, check_size
from .origin import Drawn, Edited, Origin, Read, from_json, to_json

DROPPED = -1  # in the prior map: no plan here; in a grid: no token yet
COARSE_TENSOR = "preview"  # the coarse grid's name in plan files
LARGEST_ID = 2**31 - 1  # in a plan file; which codes there are is known to the models alone
LARGEST_LOG_PROB = 1e-3  # that of certainty is 0, but for rounding
MOST_COARSE_TOKENS = 4096  # in a plan file, per item


@dataclass(frozen=True)
class Plan:
    """A batch of token grids, one item per picture.

    ids: int64 [B, h, w], the target grid, h = height / 32 and w = width / 32.
    coarse: int64 [B, h', w'], the small grid that fixes the layout and is written first; None if there is none.
    origins: where each item comes from, one per item; () if nothing is known.
    log_probs: float32 [B, n], of every token in the order of writing (coarse grid, then target), from the full softmax
    at temperature 1; None if nobody computed them.

    The contract:

    - The tensors are normal ones, never inference tensors: a plan can be trained on.
    - A token names what its 32 x 32 pixels show and which part of it: moving whole regions keeps the meaning, mirroring
      or permuting tokens does not mirror the picture.
    - An operation says what becomes of origins, coarse grid and log-probabilities. What no longer holds is dropped; see
      ``edited``.
    - Where a plan meets another batch (latents, references, masks), a size of 1 or an equal size is accepted. Anything
      else is an error.

    Raises GLMImageError if a tensor has another shape or type, or if the parts have different batch sizes.
    """

    ids: Tensor
    coarse: Tensor | None = None
    origins: tuple[Origin, ...] = ()
    log_probs: Tensor | None = None

    def __post_init__(self) -> None:
        check_grid("ids", self.ids)
        if self.coarse is not None:
            check_grid("preview grid", self.coarse)
        if self.log_probs is not None:
            check_log_probs(self.log_probs)
        for name, items in (("preview grid", self.coarse), ("log_probs", self.log_probs),
                            ("origins", self.origins or None)):
            if items is not None and len(items) != self.batch:
                raise GLMImageError(f"plan: {name} and ids must have the same batch size "
                                    f"(got {len(items)} and {self.batch})")
        if self.log_probs is not None and self.log_probs.shape[1:] != (self.tokens,):
            raise GLMImageError(f"plan: log_probs must have {self.tokens} values per item "
                                f"(got {list(self.log_probs.shape[1:])})")
        for name in ("ids", "coarse", "log_probs"):
            object.__setattr__(self, name, normal_tensor(getattr(self, name)))

    @property
    def batch(self) -> int:
        return self.ids.shape[0]

    @property
    def height(self) -> int:
        """Of the picture, in pixels."""
        return self.ids.shape[1] * TOKEN_PIXELS

    @property
    def width(self) -> int:
        """Of the picture, in pixels."""
        return self.ids.shape[2] * TOKEN_PIXELS

    @property
    def tokens(self) -> int:
        """Number of tokens per item, in coarse grid and target together."""
        return self.ids[0].numel() + (0 if self.coarse is None else self.coarse[0].numel())

    def grid(self, name: str) -> Tensor:
        """The grid "target" or "preview" (the coarse one), int64 [B, rows, columns].

        Raises GLMImageError if the plan has no coarse grid.
        """
        if name == "preview":
            if self.coarse is None:
                raise GLMImageError("this plan has no preview grid; choose grid = target")
            return self.coarse
        return self.ids

    def to(self, device: torch.device | str) -> Plan:
        """The same plan with its tensors on ``device``; everything else is kept."""
        moved = {name: None if tensor is None else tensor.to(device)
                 for name, tensor in (("ids", self.ids), ("coarse", self.coarse), ("log_probs", self.log_probs))}
        return replace(self, **moved)

    def edited(self, operation: str, ids: Tensor, coarse: Tensor | None = None) -> Plan:
        """The plan that an operation, named ``operation``, made from this one: item i of ids [B, h, w] from item i.

        Origins become Edited. The coarse grid is dropped unless the operation gives a new one, int64 [B, h', w'].
        Log-probabilities are always dropped.
        """
        sources = [(origin,) for origin in self.origins] or [()] * self.batch
        return Plan(ids, coarse, tuple(Edited(operation, source) for source in sources))

    def check_complete(self, name: str = "plan") -> None:
        """Raise GLMImageError about ``name`` if cells of the target grid have no token, as after ``pad``."""
        missing = int((self.ids == DROPPED).sum())
        if missing:
            raise GLMImageError(f"{name}: all cells must have a token (got {missing} without one); fill them with "
                                "GLM-Image Replan")

    def check_codes(self, codebook_size: int, name: str = "plan") -> None:
        """Raise GLMImageError about ``name`` unless every id of the target grid is a row of the codebook."""
        self.check_complete(name)
        low, high = int(self.ids.min()), int(self.ids.max())
        if low < 0 or high >= codebook_size:
            raise GLMImageError(f"{name}: ids must be from 0 to {codebook_size - 1} (got {low if low < 0 else high})")

    def save(self, path: str | os.PathLike) -> None:
        """Write a safetensors file: the tensors, and the origins as JSON in its metadata."""
        save_file(self.tensors_by_name(), path, metadata={"origins": to_json(self.origins)})

    def to_bytes(self) -> bytes:
        """What ``save`` writes."""
        return save(self.tensors_by_name(), metadata={"origins": to_json(self.origins)})

    def tensors_by_name(self) -> dict[str, Tensor]:
        """The tensors under their names in plan files, as safetensors takes them."""
        tensors = {"ids": self.ids, COARSE_TENSOR: self.coarse, "log_probs": self.log_probs}
        return {name: tensor.contiguous().cpu() for name, tensor in tensors.items() if tensor is not None}

    @classmethod
    def load(cls, path: str | os.PathLike) -> Plan:
        """Read what ``save`` wrote, in this version or in 0.1. Raises GLMImageError if the file is not a plan."""
        source = f"plan file {path}"
        return cls.from_tensors(*read_tensors(path, source), source)

    @classmethod
    def from_bytes(cls, data: bytes, source: str) -> Plan:
        """Inverse of ``to_bytes``. Raises GLMImageError, naming ``source``, if the bytes are not those of a plan."""
        return cls.from_tensors(*parse_tensors(data, source), source)

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], metadata: dict[str, str], source: str) -> Plan:
        """The plan in a file. Raises GLMImageError, naming ``source``, if it is not one or has impossible numbers."""
        if "ids" not in tensors:
            raise GLMImageError(f"{source}: must contain 'ids', int64 [B, h, w] (got the tensors "
                                f"{quote(sorted(tensors))})")
        plan = cls(tensors["ids"], tensors.get(COARSE_TENSOR), log_probs=tensors.get("log_probs"))
        check_size(plan.width, plan.height)
        check_numbers(plan, source)
        return replace(plan, origins=read_origins(metadata, plan, source))


def check_grid(name: str, grid: Tensor) -> None:
    if grid.ndim != 3 or grid.dtype != torch.int64 or 0 in grid.shape:
        raise GLMImageError(f"plan: {name} must be int64 [B, h, w] (got {grid.dtype} {list(grid.shape)})")


def check_log_probs(log_probs: Tensor) -> None:
    if log_probs.ndim != 2 or log_probs.dtype != torch.float32:
        raise GLMImageError("plan: log_probs must be float32 [B, n] "
                            f"(got {log_probs.dtype} {list(log_probs.shape)})")


def check_numbers(plan: Plan, source: str) -> None:
    """Raise GLMImageError, naming ``source``, if a file's plan has numbers that no planner writes."""
    for name, grid in (("ids", plan.ids), (COARSE_TENSOR, plan.coarse)):
        if grid is not None and not ((grid >= DROPPED) & (grid <= LARGEST_ID)).all():
            raise GLMImageError(f"{source}: {name} must be from 0 to {LARGEST_ID}, or {DROPPED} for no token "
                                f"(got {int(grid.min())} to {int(grid.max())})")
    if plan.coarse is not None and plan.coarse[0].numel() > MOST_COARSE_TOKENS:
        raise GLMImageError(f"{source}: its preview grid must have at most {MOST_COARSE_TOKENS} tokens "
                            f"(got {plan.coarse[0].numel()})")
    if plan.log_probs is not None and not (plan.log_probs <= LARGEST_LOG_PROB).all():
        raise GLMImageError(f"{source}: log_probs must be at most 0 (got up to {float(plan.log_probs.max())})")


def normal_tensor(tensor: Tensor | None) -> Tensor | None:
    """``tensor``, or a copy that can be trained on if it was made in inference mode."""
    if tensor is None or not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


def read_origins(metadata: dict[str, str], plan: Plan, source: str) -> tuple[Origin, ...]:
    """What a file's metadata say of the plan's items. Raises GLMImageError, naming ``source``, on bad metadata."""
    try:
        return from_json(metadata["origins"]) if "origins" in metadata else old_origins(metadata, plan)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise GLMImageError(f"{source}: its origins cannot be read ({quote(error)})") from error


def old_origins(metadata: dict[str, str], plan: Plan) -> tuple[Origin, ...]:
    """Origins from a file of version 0.1, which has one prompt, one seed and one source size for all items."""
    if "source" in metadata:
        width, height = map(int, metadata["source"].split("x"))
        return (Read((width, height)),) * plan.batch
    if "seed" in metadata:
        first = int(metadata["seed"])
        return tuple(Drawn(metadata.get("prompt", ""), first + i, (plan.width, plan.height)) for i in range(plan.batch))
    return ()


def prior_map(ids: Tensor, latent_height: int, latent_width: int) -> Tensor:
    """Spread token ids [B, h, w] over latent pixels: [B, 1, H/8, W/8], one id per latent pixel.

    Raises GLMImageError if plan and latent are of different sizes.
    """
    expected = ids.shape[1] * TOKEN_LATENTS, ids.shape[2] * TOKEN_LATENTS
    if (latent_height, latent_width) != expected:
        plan_size, latent_size = (f"{w * LATENT_PIXELS}x{h * LATENT_PIXELS}" for h, w in
                                  (expected, (latent_height, latent_width)))
        raise GLMImageError(f"plan and latent must have the same size (got {plan_size} and {latent_size} pixels); "
                            "take the latent's size from the plan")
    return ids.repeat_interleave(TOKEN_LATENTS, 1).repeat_interleave(TOKEN_LATENTS, 2)[:, None]
