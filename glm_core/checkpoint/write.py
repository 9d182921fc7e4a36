"""A checkpoint in the released layout, one safetensors file a part."""

import json
from pathlib import Path

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


def write_json(path: Path, data) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def write_part(folder: Path, part: Part, config: dict, tensors: dict[str, Tensor], dtype: torch.dtype) -> None:
    """config.json and weights of one part; the planner's tensors get the released outer ``model.``."""
    if part is PLANNER:
        tensors = {name if name.startswith("lm_head") else f"model.{name}": tensor for name, tensor in tensors.items()}
    write_json(folder / part.folder / "config.json", config)
    name = "diffusion_pytorch_model" if config.get("_class_name") else "model"
    save_file({name: tensor.to("cpu", dtype).contiguous() for name, tensor in tensors.items()},
              folder / part.folder / f"{name}.safetensors", metadata={"format": "pt"})


def write_index(folder: Path) -> None:
    write_json(folder / "model_index.json", MODEL_INDEX)


def write_tokenizer(folder: Path, tokenizer_json: str) -> None:
    path = folder / "processor" / "tokenizer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tokenizer_json, encoding="utf-8")
