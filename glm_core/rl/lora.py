"""LoRA: instead of a model's weights, train a low-rank product that is added to each matrix of its blocks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..checkpoint.write import write_json
from ..errors import GLMImageError

PLANNER_PREFIX = "base_model.model.model."  # PEFT's, before a module's name; the loaders read both
DECODER_PREFIX = "transformer."  # diffusers'
PLANNER_FILE, PLANNER_CONFIG = "adapter_model.safetensors", "adapter_config.json"  # PEFT's names
DECODER_FILE = "pytorch_lora_weights.safetensors"  # diffusers' name


class LoRA(nn.Module):
    """The product B A of a layer with weights [out, in]: A is [rank, in], B is [out, rank] and starts at 0."""

    def __init__(self, layer: nn.Linear, rank: int, generator: torch.Generator):
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, layer.in_features))
        self.a.data.normal_(std=layer.in_features**-0.5, generator=generator)
        self.b = nn.Parameter(torch.zeros(layer.out_features, rank))
        self.to(layer.weight.device)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.a.to(x.dtype)), self.b.to(x.dtype))


def add_to_output(lora: LoRA, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook."""
    return output + lora(inputs[0])


def attach_lora(model: nn.Module, rank: int, seed: int, blocks: str) -> nn.ModuleDict:
    """Freeze a model and hook a LoRA to every linear layer with ``blocks`` in its name. Their names have / for dots.

    Raises GLMImageError on a rank below 1, or if there is no such layer.
    """
    if rank < 1:
        raise GLMImageError(f"--lora must be at least 1 (got {rank})")
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    loras = nn.ModuleDict()
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and blocks in name:
            lora = LoRA(layer, rank, generator)
            layer.register_forward_hook(partial(add_to_output, lora))
            loras[name.replace(".", "/")] = lora
    if not loras:
        raise GLMImageError(f"the model must have linear layers in {blocks} (got none)")
    return loras


def lora_tensors(loras: nn.ModuleDict, prefix: str) -> dict[str, Tensor]:
    """Tensors by the names that files have."""
    tensors = {}
    for name, lora in loras.items():
        assert isinstance(lora, LoRA)
        module = prefix + name.replace("/", ".")
        tensors[f"{module}.lora_A.weight"] = lora.a.data.cpu().contiguous()
        tensors[f"{module}.lora_B.weight"] = lora.b.data.cpu().contiguous()
    return tensors


def save_planner_lora(loras: nn.ModuleDict, folder: Path, rank: int) -> None:
    """PEFT's two files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = sorted({name.rpartition("/")[2] for name in loras})
    save_file(lora_tensors(loras, PLANNER_PREFIX), folder / PLANNER_FILE, metadata={"format": "pt"})
    write_json(folder / PLANNER_CONFIG, {"peft_type": "LORA", "r": rank, "lora_alpha": rank,
                                         "target_modules": modules, "bias": "none"})


def save_decoder_lora(loras: nn.ModuleDict, folder: Path) -> None:
    """diffusers' file in ``folder``; without an alpha, the product counts in full."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(lora_tensors(loras, DECODER_PREFIX), folder / DECODER_FILE, metadata={"format": "pt"})
