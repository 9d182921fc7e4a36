"""Files in quantised forms of other tools, made of a part's plain tensors."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, Part, read_part
from glm_core.checkpoint.read import TOKENIZER_TENSOR
from glm_core.checkpoint.text import text_to_tensor

LAYERS = {  # a layer of each part
    PLANNER: "language_model.layers.0.mlp.down_proj", DIFFUSION: "transformer_blocks.0.attn1.to_q",
    GLYPH: "encoder.block.0.layer.0.SelfAttention.q", VAE: "decoder.mid_block.resnets.0.conv2",
}
PREFIX = "model.diffusion_model."
E4M3 = torch.float8_e4m3fn


def int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers, and one scale a row."""
    scale = weight.flatten(1).abs().amax(1).clamp(min=1e-6) / 127
    return (weight / scale.view(-1, *[1] * (weight.ndim - 1))).round().to(torch.int8), scale


def bitsandbytes_int8(weight: Tensor) -> dict[str, Tensor]:
    numbers, scale = int8(weight)
    return {"weight": numbers, "SCB": scale * 127}


def bare_int8(weight: Tensor) -> dict[str, Tensor]:
    return {"weight": int8(weight)[0]}


def sdnq_int8(weight: Tensor) -> dict[str, Tensor]:
    numbers, scale = int8(weight)
    return {"weight": numbers, "scale": scale[:, None]}


def autoround_int4(weight: Tensor) -> dict[str, Tensor]:
    return {"qweight": torch.zeros(len(weight) // 8, 1, dtype=torch.int32), "scales": torch.ones(len(weight), 1)}


def fp8_with(name: str, weight: Tensor) -> dict[str, Tensor]:
    scale = weight.abs().max() / 448
    return {"weight": (weight / scale).to(E4M3), name: scale}


def fp8_weight_scale(weight: Tensor) -> dict[str, Tensor]:
    return fp8_with("weight_scale", weight)


def fp8_scale_weight(weight: Tensor) -> dict[str, Tensor]:
    return fp8_with("scale_weight", weight)


def fp8_scale_inv(weight: Tensor) -> dict[str, Tensor]:
    return fp8_with("weight_scale_inv", weight)


UNKNOWN = (bitsandbytes_int8, bare_int8, sdnq_int8, autoround_int4, fp8_weight_scale, fp8_scale_weight, fp8_scale_inv)


def write_file(path: Path, part: Part, tensors: dict[str, Tensor], original: Path,
               metadata: dict | None = None) -> Path:
    """A file of ``tensors`` with config and tokenizer of the converted file ``original``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = read_part(original, part)
    extra = {TOKENIZER_TENSOR: text_to_tensor(weights.tokenizer_json)} if weights.tokenizer_json else {}
    save_file(tensors | extra, path, metadata={"config": json.dumps(weights.config), **(metadata or {})})
    return path


def write_scheme(path: Path, part: Part, original: Path, scheme) -> Path:
    """The part in the converted file ``original``, one layer of it as ``scheme`` stores it."""
    tensors = read_part(original, part).tensors
    weight = tensors.pop(f"{LAYERS[part]}.weight")
    tensors |= {f"{LAYERS[part]}.{name}": tensor.contiguous() for name, tensor in scheme(weight).items()}
    return write_file(path, part, tensors, original)


def write_with_marks_in_metadata(path: Path, part: Part, quantised: Path, prefix: str = "",
                                 prefix_in_marks: str = "") -> Path:
    """The file ``quantised`` that ``convert`` wrote, its marks in the metadata and names under a prefix."""
    tensors = load_file(quantised)
    marks = {name.removesuffix(".comfy_quant"): json.loads(bytes(tensors.pop(name).tolist()))
             for name in list(tensors) if name.endswith(".comfy_quant")}
    layers = {prefix_in_marks + layer: mark for layer, mark in marks.items()}
    tensors.pop(TOKENIZER_TENSOR, None)
    return write_file(path, part, {prefix + name: tensor for name, tensor in tensors.items()}, quantised,
                      {"_quantization_metadata": json.dumps({"format_version": "1.0", "layers": layers})})


def write_scaled_fp8(path: Path, part: Part, quantised: Path, prefix: str = "") -> Path:
    """The fp8 file that ``convert`` wrote in the older form of scaled fp8."""
    tensors = load_file(quantised)
    tensors.pop(TOKENIZER_TENSOR, None)
    tensors = {prefix + name.replace(".weight_scale", ".scale_weight"): tensor
               for name, tensor in tensors.items() if not name.endswith(".comfy_quant")}
    return write_file(path, part, tensors | {prefix + "scaled_fp8": torch.zeros(0, dtype=E4M3)}, quantised)


def write_plain_fp8(path: Path, part: Part, original: Path) -> Path:
    """All weights cast to fp8, without scales."""
    tensors = read_part(original, part).tensors
    cast = {name: tensor.to(E4M3) if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}
    return write_file(path, part, cast, original)


def write_marked(path: Path, part: Part, original: Path, mark: dict) -> Path:
    """One layer in fp8 or int8, as ``mark`` says."""
    write = fp8_weight_scale if "float8" in mark["format"] else lambda weight: {
        "weight": int8(weight)[0], "weight_scale": int8(weight)[1][:, None]}
    return write_scheme(path, part, original,
                        lambda weight: {**write(weight), "comfy_quant": text_to_tensor(json.dumps(mark))})


def write_convrot(path: Path, original: Path, group: int = 16) -> Path:
    """The diffusion model with one layer in ConvRot int8: rotated in groups, then stored in int8."""
    rotation = hadamard(group)

    def rotated(weight: Tensor) -> dict[str, Tensor]:
        turned = (weight.view(len(weight), -1, group) @ rotation.T).flatten(1)
        numbers, scale = int8(turned)
        mark = {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": group}
        return {"weight": numbers, "weight_scale": scale[:, None], "comfy_quant": text_to_tensor(json.dumps(mark))}

    return write_scheme(path, DIFFUSION, original, rotated)


def hadamard(size: int) -> Tensor:
    """Of a power of four, as ComfyUI's kernels build it: the regular one of order 4, times itself."""
    regular = torch.tensor([[1.0, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]])
    result = regular
    while len(result) < size:
        result = torch.kron(result, regular)
    return result / size**0.5
