"""A checkpoint in the released layout, with one safetensors file per part."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from .parts import PLANNER, Part

MODEL_INDEX = {
    "_class_name": "GlmImagePipeline", "_diffusers_version": "0.37.0.dev0",
    "text_encoder": ["transformers", "T5EncoderModel"], "tokenizer": ["transformers", "ByT5Tokenizer"],
    "vision_language_encoder": ["transformers", "GlmImageForConditionalGeneration"],
    "processor": ["transformers", "GlmImageProcessor"], "transformer": ["diffusers", "GlmImageTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
}


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` to ``path``; creates the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def write_part(folder: Path, part: Part, config: dict, tensors: dict[str, Tensor],
               dtype: torch.dtype | None = None) -> None:
    """Write one part's config.json, and its weights, to the part's own folder in ``folder``.

    dtype: to which they are cast; None leaves each as it is.
    """
    write_json(folder / part.folder / "config.json", config)
    stem = "diffusion_pytorch_model" if "_class_name" in config else "model"  # diffusers' and transformers' names
    cast = {}
    for name, tensor in tensors.items():
        cast[released_name(name, part)] = tensor.to("cpu", dtype or tensor.dtype).contiguous()
    save_file(cast, folder / part.folder / f"{stem}.safetensors", metadata={"format": "pt"})


def released_name(name: str, part: Part) -> str:
    """A tensor's full name in the released files: ``model.`` comes before the planner's, except for its head."""
    if part is PLANNER and not name.startswith("lm_head"):
        return f"model.{name}"
    return name


def write_index(folder: Path) -> None:
    """Write model_index.json, which names the classes of diffusers and transformers that load the parts."""
    write_json(folder / "model_index.json", MODEL_INDEX)


def write_tokenizer(folder: Path, tokenizer_json: str) -> None:
    """Write tokenizer.json, given as text, to the planner's path in the released layout."""
    path = folder / "processor" / "tokenizer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tokenizer_json, encoding="utf-8")
