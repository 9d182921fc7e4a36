"""LoRAs as tools write them, for tests on both sides of the process border: needs neither pytest nor ComfyUI."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

RANK, ALPHA = 4, 8.0
DOTTED = {  # tools' prefixes for the names of the decoder's modules
    "diffusion_model": "diffusion_model.", "transformer": "transformer.", "bare": "", "unet": "unet.",
    "peft": "base_model.model.", "peft_transformer": "base_model.model.transformer.",
}
UNDERSCORED = {"kohya": "lora_unet_", "lycoris": "lycoris_", "onetrainer": "lora_transformer_"}
STYLES = [*DOTTED, *UNDERSCORED]
HALVES = {  # what follows the module's name, for both halves of a LoRA
    "peft": (".lora_A.weight", ".lora_B.weight"), "peft_default": (".lora_A.default.weight", ".lora_B.default.weight"),
    "kohya": (".lora_down.weight", ".lora_up.weight"), "diffusers": (".lora.down.weight", ".lora.up.weight"),
}
PEFT_PLANNER = "base_model.model.model."  # as GLM-Image-RL writes it

Factors = dict[str, tuple[Tensor, Tensor]]  # module → down [rank, columns], up [rows, rank]


def random_factors(shapes: Mapping[str, tuple[int, int]], seed: int = 0, size: float = 1.0) -> Factors:
    """For modules with weights of these shapes; the products are about ``size`` times a random weight."""
    generator = torch.Generator().manual_seed(seed)
    return {module: (torch.randn(RANK, columns, generator=generator) * size / columns**0.5,
                     torch.randn(rows, RANK, generator=generator) / RANK**0.5)
            for module, (rows, columns) in shapes.items()}


def styled(module: str, style: str) -> str:
    if style in DOTTED:
        return DOTTED[style] + module
    return UNDERSCORED[style] + module.replace(".", "_")


def lora_tensors(factors: Factors, style: str = "diffusion_model", halves: str = "peft",
                 alpha: float | None = ALPHA) -> dict[str, Tensor]:
    """The same LoRA of the decoder in one of STYLES and one of HALVES, with a tensor for alpha or without."""
    down_name, up_name = HALVES[halves]
    tensors = {}
    for module, (down, up) in factors.items():
        name = styled(module, style)
        tensors |= {name + down_name: down, name + up_name: up}
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def loha_tensors(factors: Factors, style: str) -> dict[str, Tensor]:
    tensors = {}
    for module, (down, up) in factors.items():
        halves = {"hada_w1_a": up, "hada_w1_b": down, "hada_w2_a": up.flip(0), "hada_w2_b": down.flip(1)}
        tensors |= {f"{styled(module, style)}.{kind}": tensor for kind, tensor in halves.items()}
        tensors[f"{styled(module, style)}.alpha"] = torch.tensor(ALPHA)
    return tensors


def lokr_tensors(shapes: Mapping[str, tuple[int, int]], style: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for module, (rows, columns) in shapes.items():
        name = styled(module, style)
        tensors[f"{name}.lokr_w1"] = torch.randn(2, 2, generator=generator)
        tensors[f"{name}.lokr_w2_a"] = torch.randn(rows // 2, RANK, generator=generator) / RANK
        tensors[f"{name}.lokr_w2_b"] = torch.randn(RANK, columns // 2, generator=generator) / RANK
        tensors[f"{name}.alpha"] = torch.tensor(ALPHA)
    return tensors


def write_peft(folder: Path, factors: Factors, prefix: str = PEFT_PLANNER, **config) -> Path:
    """adapter_model.safetensors and adapter_config.json, which alone knows alpha."""
    folder.mkdir(parents=True, exist_ok=True)
    down_name, up_name = HALVES["peft"]
    tensors = {prefix + module + name: tensor for module, pair in factors.items()
               for name, tensor in zip((down_name, up_name), pair)}
    save_file(tensors, folder / "adapter_model.safetensors")
    values = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA} | config
    (folder / "adapter_config.json").write_text(json.dumps(values))
    return folder / "adapter_model.safetensors"


def merged(tensors: Mapping[str, Tensor], factors: Factors, scale: float = ALPHA / RANK) -> dict[str, Tensor]:
    """The weights of a model with a LoRA merged into them."""
    changed = dict(tensors)
    for module, (down, up) in factors.items():
        changed[f"{module}.weight"] = tensors[f"{module}.weight"] + scale * up @ down
    return changed
