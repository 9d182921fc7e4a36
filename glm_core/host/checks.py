"""Checks of what other nodes put on ComfyUI's own wires. All raise GLMImageError."""

from torch import Tensor

from ..errors import GLMImageError
from ..geometry import LATENT_CHANNELS
from ..plans import check_batch


def check_picture_latent(latent: Tensor) -> None:
    """For nodes that use only its size: the latent must be of pictures, [B, channels, h, w]."""
    if not isinstance(latent, Tensor) or latent.ndim != 4:
        raise GLMImageError("latent: must be of pictures, [batch, channels, height, width] "
                            f"(got {shape_in_words(latent)}); connect Empty GLM-Image Latent or VAE Encode")


def check_latent(latent: Tensor) -> None:
    """The latent must be one of GLM-Image, [B, 16, h, w]."""
    check_picture_latent(latent)
    if latent.shape[1] != LATENT_CHANNELS:
        raise GLMImageError(f"latent: must have {LATENT_CHANNELS} channels (got {latent.shape[1]}, from another "
                            "model's nodes); connect Empty GLM-Image Latent, or VAE Encode with the GLM-Image VAE")


def shape_in_words(latent: Tensor) -> str:
    return str(list(latent.shape)) if isinstance(latent, Tensor) else "a latent of several parts"


def glyph_embeddings(embeddings: Tensor | None, width: int, batch: int) -> Tensor:
    """A conditioning's embeddings, which must be the glyph encoder's, [1 or batch, n, width]."""
    advice = "connect CLIP Text Encode with the GLM-Image glyph encoder"
    if embeddings is None or embeddings.ndim != 3 or embeddings.shape[-1] != width or not embeddings.shape[1]:
        found = "none" if embeddings is None else list(embeddings.shape)
        raise GLMImageError(f"conditioning: must be the glyph encoder's embeddings, [batch, n, {width}] (got {found}); "
                            f"{advice}")
    check_batch("conditioning", len(embeddings), batch, "like the latent's")
    return embeddings
