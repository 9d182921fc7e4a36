"""The one rule for two batches that meet."""

from ..errors import GLMImageError


def check_batch(name: str, found: int, wanted: int, whose: str, advice: str = "") -> None:
    """Raise GLMImageError unless ``found``, the batch size of ``name``, is 1 or ``wanted``, which ``whose`` explains.

    ``advice``: what the message ends with.
    """
    if found not in (1, wanted):
        sizes = "1" if wanted == 1 else f"1 or {wanted}"
        raise GLMImageError(f"{name}: the batch size must be {sizes}, {whose} (got {found}){advice}")
