"""The LoRA files of the host tests, below the tiny model's loras folder."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from glm_core.checkpoint import DIFFUSION, PLANNER
from tests.host.in_process.lora_files import (
    ALPHA,
    RANK,
    STYLES,
    UNDERSCORED,
    Factors,
    lora_tensors,
    random_factors,
    write_peft,
)

METADATA_ALPHA = "metadata_alpha.safetensors"  # a file of diffusers, whose alpha is not in a tensor
PLANNER_LORA = "planner/adapter_model.safetensors"  # a file of PEFT, whose alpha is in adapter_config.json
FOREIGN_LORA = "foreign.safetensors"
PLANNER_MATRICES = "language_model.layers.", "visual.blocks."


def style_file(style: str) -> str:
    return f"styles/{style}.safetensors"


def factors_for(path: Path, begins: tuple[str, ...], without: str) -> Factors:
    """For the matrices of a file whose names begin so."""
    with safe_open(path, framework="pt") as file:
        shapes = {name.removesuffix(".weight"): tuple(file.get_slice(name).get_shape()) for name in file.keys()
                  if name.endswith(".weight") and name.startswith(begins) and without not in name}
    matrices = {name: (shape[0], shape[1]) for name, shape in shapes.items() if len(shape) == 2}
    return random_factors(matrices, size=0.5)


def write_loras(models: Path) -> None:
    folder = models / "loras"
    (folder / "styles").mkdir(parents=True)
    decoder = factors_for(models / DIFFUSION.file, ("",), "prior_token_embedding")
    for style in STYLES:
        halves = "kohya" if style in UNDERSCORED else "peft"
        save_file(lora_tensors(decoder, style, halves), folder / style_file(style))
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": ["to_q"]}
    save_file(lora_tensors(decoder, "transformer", alpha=None), folder / METADATA_ALPHA,
              {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in config.items()})})
    save_file(lora_tensors(random_factors({"double_blocks.0.img_attn.qkv": (8, 8)})), folder / FOREIGN_LORA)
    write_peft((folder / PLANNER_LORA).parent, factors_for(models / PLANNER.file, PLANNER_MATRICES, "embed"))
