"""What fits on a card, for the released sizes, as README's table "What to expect on a card" has it."""

import functools

import pytest
import torch

from glm_core import ops
from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, VISION, card_lines
from glm_core.checkpoint.cards import describe_card, size_on_card
from glm_core.checkpoint.formats import LARGE_MATRICES, choose_formats, quantised_layout
from glm_core.pipeline.parts import MODULES
from tests.benchmarks.sizes import RELEASED

CONFIGS = {PLANNER: RELEASED.planner(), VISION: RELEASED.planner(), DIFFUSION: RELEASED.dit(), GLYPH: RELEASED.glyph(),
           VAE: RELEASED.vae()}
SWAPPED = "each part fits alone; ComfyUI swaps them for each image"
STAY = "all stay on the card"
ROWS = [  # format, card, what the line says
    (None, 24, SWAPPED), (None, 32, SWAPPED), (None, 80, STAY),
    ("int8", 12, SWAPPED), ("int8", 16, SWAPPED), ("int8", 24, STAY), ("int8", 32, STAY),
    ("w4a8", 8, SWAPPED), ("nvfp4", 8, SWAPPED),
    ("int8", 8, "planner streams 2.2 GB for each token, diffusion model streams 1.7 GB for each step"),
    (None, 16, "planner streams 1.8 GB for each token"),
]


@functools.cache
def tensors(part) -> dict[str, torch.Tensor]:
    """The part's tensors without numbers."""
    module_class, config_class, _ = MODULES[part]
    dtype = torch.float32 if part is GLYPH else torch.bfloat16
    with torch.device("meta"):
        module = module_class(config_class.from_json(CONFIGS[part], "test"), dtype=dtype, operations=ops)
    return module.state_dict()


@functools.cache
def sizes(format_name: str | None) -> dict:
    """On the card, by part."""
    found = {}
    for part in (PLANNER, GLYPH, DIFFUSION, VAE):
        layout = tensors(part) | (tensors(VISION) if part is PLANNER else {})
        if format_name and part in LARGE_MATRICES:
            layout = quantised_layout(layout, choose_formats(layout, part, format_name, "test"))
        found[part] = size_on_card(layout)
    return found


@pytest.mark.parametrize("format_name, card, expected", ROWS)
def test_cards_are_as_the_readme_says(format_name, card, expected):
    lines = dict(line.split(" GB: ") for line in card_lines(sizes(format_name)))
    assert lines[f"{card:3}"] == expected


def test_embeddings_and_vision_tower_are_not_counted():
    planner = tensors(PLANNER)
    embeddings = planner["language_model.embed_tokens.weight"].nbytes
    assert size_on_card(planner) == sum(tensor.nbytes for tensor in planner.values()) - embeddings
    assert size_on_card(tensors(VISION)) == 0


@pytest.mark.parametrize("room, expected", [
    (100, "all stay on the card"), (99, SWAPPED), (60, SWAPPED), (59, "VAE streams 0.0 GB for each image"),
    (10, "planner streams 0.0 GB for each token, VAE streams 0.0 GB for each image")])
def test_the_bounds(room, expected):
    assert describe_card({PLANNER: 40, VAE: 60}, room) == expected


def test_one_part_stays():
    assert describe_card({VAE: 60}, 60) == "it stays on the card"
