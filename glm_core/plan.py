"""The plan: the value that the planner hands to the decoder, and that people can look at, keep and edit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import GLMImageError

TOKEN_PIXELS = 32  # one token of the target grid covers 32 x 32 pixels
LATENT_PIXELS = 8
TOKEN_LATENTS = TOKEN_PIXELS // LATENT_PIXELS
DROPPED = -1  # an id in the prior map that stands for "no plan here"


@dataclass(frozen=True)
class Plan:
    """A batch of token grids.

    ids: int64 [B, h, w], the target grid, h = height / 32 and w = width / 32.
    preview: int64 [B, h', w'], the small grid that fixes the layout, where the planner wrote one.
    prompt, seed: where a drawn plan came from; item i was drawn with seed + i.
    source: width and height of the pictures, where the ids were read off pictures.
    """

    ids: Tensor
    preview: Tensor | None = None
    prompt: str = ""
    seed: int | None = None
    source: tuple[int, int] | None = None

    def __post_init__(self):
        for name, grid in (("ids", self.ids), ("preview", self.preview)):
            if grid is not None and (grid.ndim != 3 or grid.dtype != torch.int64):
                raise GLMImageError(f"plan {name}: found {grid.dtype} {list(grid.shape)}, expected int64 [B, h, w]")
        if self.preview is not None and len(self.preview) != len(self.ids):
            raise GLMImageError(f"plan preview: found {len(self.preview)} items beside {len(self.ids)} in ids")

    @property
    def batch(self) -> int:
        return self.ids.shape[0]

    @property
    def height(self) -> int:
        return self.ids.shape[1] * TOKEN_PIXELS

    @property
    def width(self) -> int:
        return self.ids.shape[2] * TOKEN_PIXELS

    def grid(self, name: str) -> Tensor:
        """The target or the preview grid, int64 [B, rows, columns]; an error when there is no preview."""
        if name == "preview" and self.preview is None:
            raise GLMImageError("plan: it has no preview grid; accepted here is target")
        return self.preview if name == "preview" else self.ids

    def to(self, device) -> Plan:
        return replace(self, ids=self.ids.to(device), preview=None if self.preview is None else self.preview.to(device))

    def check_codes(self, codebook_size: int) -> None:
        """Raise GLMImageError unless every id of the target grid is a row of the codebook."""
        low, high = int(self.ids.min()), int(self.ids.max())
        if low < 0 or high >= codebook_size:
            found = low if low < 0 else high
            raise GLMImageError(f"plan ids: found id {found}, accepted are 0 to {codebook_size - 1}")

    def save(self, path: str) -> None:
        tensors = {"ids": self.ids.contiguous().cpu()}
        if self.preview is not None:
            tensors["preview"] = self.preview.contiguous().cpu()
        metadata = {"prompt": self.prompt}
        if self.seed is not None:
            metadata["seed"] = str(self.seed)
        if self.source is not None:
            metadata["source"] = "x".join(map(str, self.source))
        save_file(tensors, path, metadata=metadata)

    @classmethod
    def load(cls, path: str) -> Plan:
        """Read what ``save`` wrote. Raises GLMImageError when the file is not a plan."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                grids = {name: file.get_tensor(name) for name in file.keys()}
        except (OSError, SafetensorError) as error:
            raise GLMImageError(f"plan file {path}: cannot be read as safetensors ({error})") from error
        if "ids" not in grids:
            raise GLMImageError(f"plan file {path}: found the tensors {sorted(grids)}, expected 'ids' (int64 [B, h, w])")
        seed = int(metadata["seed"]) if "seed" in metadata else None
        source = tuple(map(int, metadata["source"].split("x"))) if "source" in metadata else None
        return cls(grids["ids"], grids.get("preview"), metadata.get("prompt", ""), seed, source)


def prior_map(ids: Tensor, latent_height: int, latent_width: int) -> Tensor:
    """Spread token ids [B, h, w] over latent pixels: [B, 1, H/8, W/8], one id per latent pixel.

    Raises GLMImageError when plan and latent are of different sizes.
    """
    expected = ids.shape[1] * TOKEN_LATENTS, ids.shape[2] * TOKEN_LATENTS
    if (latent_height, latent_width) != expected:
        plan_size, latent_size = (f"{w * LATENT_PIXELS}x{h * LATENT_PIXELS}" for h, w in
                                  (expected, (latent_height, latent_width)))
        raise GLMImageError(f"plan: it is for {plan_size} pixels, but the latent is {latent_size}; "
                            "give the latent the plan's size")
    return ids.repeat_interleave(TOKEN_LATENTS, 1).repeat_interleave(TOKEN_LATENTS, 2)[:, None]


def colours(ids: Tensor) -> Tensor:
    """A fixed colour for every id, float32 [..., 3] in 0...1; DROPPED is black.

    Hues lie a golden angle apart (saturation and value likewise, by other irrational steps), so that neighbouring ids differ.
    """
    hue, saturation, value = (ids.double() * step % 1 for step in (0.6180339887, 0.7548776662, 0.5698402910))
    saturation, value = 0.35 + 0.5 * saturation, 0.45 + 0.5 * value
    channel = (torch.tensor([5.0, 3.0, 1.0], dtype=torch.float64, device=ids.device) + 6 * hue[..., None]) % 6
    shade = torch.minimum(channel, 4 - channel).clamp(0, 1)  # the usual HSV to RGB, all sectors at once
    rgb = value[..., None] * (1 - saturation[..., None] * shade)
    return (rgb * (ids != DROPPED)[..., None]).float()


def draw_grid(ids: Tensor, cell: int) -> Tensor:
    """Draw token grids [B, h, w] as squares of ``cell`` pixels: float32 [B, h * cell, w * cell, 3] in 0...1."""
    return colours(ids).repeat_interleave(cell, 1).repeat_interleave(cell, 2)
