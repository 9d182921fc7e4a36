"""What fits on which card: an estimate by sizes alone."""

from collections.abc import Mapping

from torch import Tensor

from .parts import DIFFUSION, PLANNER, Part
from .read import TOKENIZER_TENSOR
from .stream import size_of

CARDS = 8, 12, 16, 24, 32, 80  # GiB
BESIDE_WEIGHTS = 2_500_000_000  # bytes of a card for ComfyUI, activations and the cache of keys and values
# word embeddings stay in main memory, and the vision tower is loaded only for reference images
OFF_CARD = "language_model.embed_tokens.", "visual.", "vqmodel.", TOKENIZER_TENSOR
PASSES = {PLANNER: "token", DIFFUSION: "step"}  # that read all weights


def size_on_card(layout: Mapping[str, Tensor]) -> int:
    """Bytes of a part's tensors that a card has to hold."""
    return sum(size_of(tensor) for name, tensor in layout.items() if not name.startswith(OFF_CARD))


def card_lines(weights: Mapping[Part, int]) -> list[str]:
    """A line per card. weights: ``size_on_card`` of each part."""
    return [f"{card:3} GB: {describe_card(weights, card * 2**30 - BESIDE_WEIGHTS)}" for card in CARDS]


def describe_card(weights: Mapping[Part, int], room: int) -> str:
    """What becomes of the parts where they have ``room``, in bytes."""
    streamed = {part: size - room for part, size in weights.items() if size > room}
    if streamed:
        return ", ".join(f"{part.title} streams {size / 1e9:.1f} GB for each {PASSES.get(part, 'image')}"
                         for part, size in streamed.items())
    if sum(weights.values()) > room:
        return "each part fits alone; ComfyUI swaps them for each image"
    return "all stay on the card" if len(weights) > 1 else "it stays on the card"
