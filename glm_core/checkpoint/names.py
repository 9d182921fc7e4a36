"""Names of tensors: what stands in a file → the released name."""

from collections.abc import Callable, Iterable

from ..errors import GLMImageError
from .parts import PARTS, Part

T5_ALIASES = {"encoder.embed_tokens.weight": "shared.weight"}  # files store the shared embedding under either name


def released_name_of(names: Iterable[str], part: Part, source: str) -> Callable[[str], str | None]:
    """From a tensor's name in a file with ``names`` to its released one, without an outer prefix such as
    ``model.diffusion_model.`` or ``transformer.``; None for tensors outside the part's prefix.

    Raises GLMImageError if the part's signature is not among the names.
    """
    prefix = find_prefix(names, part)
    if prefix is None:
        raise GLMImageError(f"{source}: not a GLM-Image {part.title}: {describe_other(names, part)}")
    outer = prefix.removesuffix("model.")  # the planner's lm_head stands beside its "model.", not inside

    def released_name(name: str) -> str | None:
        if not name.startswith(outer):
            return None
        bare = name.removeprefix(prefix if name.startswith(prefix) else outer)
        return T5_ALIASES.get(bare, bare)

    return released_name


def find_prefix(names: Iterable[str], part: Part) -> str | None:
    """The prefix before the part's signature in the names; None if no name ends with the signature."""
    matches = [name for name in names if name == part.signature or name.endswith("." + part.signature)]
    return min(matches, key=len).removesuffix(part.signature) if matches else None


def describe_other(names: Iterable[str], part: Part) -> str:
    """What a file without ``part`` holds instead, for a message."""
    for other in PARTS:
        if find_prefix(names, other) is not None:
            return f"it holds the {other.title}"
    return f"it has no tensor {part.signature}"
