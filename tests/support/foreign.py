"""Folders in the formats of SDNQ, AutoRound and bitsandbytes, written by plain arithmetic, and what they restore.

``tests/checkpoint/fixtures`` has single layers that the tools themselves wrote.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from glm_core.checkpoint import DIFFUSION, PLANNER, Part
from glm_core.checkpoint.files import part_files

NF4_LEVELS = torch.tensor([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0])
WHOLE = "embed", "lm_head", "norm", "vqmodel", "proj_out", "projector"  # parts of names that no tool quantises


@dataclass(frozen=True)
class Layer:
    """tensors: by their names in the layer. matrix: what they restore, bfloat16."""

    tensors: dict[str, Tensor]
    matrix: Tensor


def pack(numbers: Tensor, bits: int) -> Tensor:
    """Numbers of 4 or 5 bits as SDNQ packs them: eight numbers of 5 bits in five bytes."""
    if bits == 4:
        pairs = numbers.view(-1, 2)
        return (pairs[:, 0] + 16 * pairs[:, 1]).byte()
    n = numbers.view(-1, 8).int()
    sixth, seventh, eighth = n[:, 5], n[:, 6], n[:, 7]
    tops = [sixth % 8, seventh % 8, eighth % 8, sixth // 8 + eighth // 16 * 4, seventh // 8 + eighth // 8 % 2 * 4]
    return torch.stack([n[:, i] + 32 * top for i, top in enumerate(tops)], 1).byte()


def grouped(matrix: Tensor, size: int) -> Tensor:
    return matrix.unflatten(1, (-1, min(size, matrix.shape[1])))


def sdnq_uint4(matrix: Tensor) -> Layer:
    groups = grouped(matrix, 64)
    zero = groups.amin(2, keepdim=True)
    scale = (groups.amax(2, keepdim=True) - zero) / 15
    numbers = ((groups - zero) / scale).round().clamp(0, 15)
    return Layer({"weight": pack(numbers, 4), "scale": scale, "zero_point": zero},
                 torch.addcmul(zero, numbers, scale).flatten(1).bfloat16())


def sdnq_int5(matrix: Tensor) -> Layer:
    groups = grouped(matrix, 128)
    scale = groups.abs().amax(2, keepdim=True) / 15
    numbers = (groups / scale).round().clamp(-16, 15)
    return Layer({"weight": pack(numbers + 16, 5), "scale": scale}, (numbers * scale).flatten(1).bfloat16())


def sdnq_int8(matrix: Tensor) -> Layer:
    groups = grouped(matrix, 1024)
    scale = groups.abs().amax(2, keepdim=True) / 127
    numbers = (groups / scale).round()
    return Layer({"weight": numbers.char(), "scale": scale}, (numbers * scale).flatten(1).bfloat16())


def autoround(matrix: Tensor) -> Layer:
    groups = matrix.unflatten(1, (-1, 128))
    scale = (groups.abs().amax(2, keepdim=True) / 7).half()
    numbers = (groups / scale).round().clamp(-8, 7)
    nibbles = (numbers.flatten(1).T + 8).long().unflatten(0, (-1, 8))
    words = (nibbles << 4 * torch.arange(8)[:, None]).sum(1)
    zeros = torch.full((scale.shape[1], len(matrix) // 8), 0x77777777, dtype=torch.int32)
    return Layer({"qweight": words.int(), "scales": scale[..., 0].T, "qzeros": zeros},
                 (numbers.half() * scale).flatten(1).bfloat16())


def bnb_nf4(matrix: Tensor) -> Layer:
    blocks = matrix.reshape(-1, 64)
    scale = blocks.abs().amax(1)
    numbers = (blocks[..., None] / scale[:, None, None] - NF4_LEVELS).abs().argmin(-1)
    pairs = numbers.view(-1, 2)
    state = json.dumps({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": list(matrix.shape)})
    return Layer({"weight": (16 * pairs[:, :1] + pairs[:, 1:]).byte(), "weight.absmax": scale,
                  "weight.quant_map": NF4_LEVELS.clone(),
                  "weight.quant_state.bitsandbytes__nf4": torch.tensor(list(state.encode()), dtype=torch.uint8)},
                 (NF4_LEVELS[numbers] * scale[:, None]).view_as(matrix).bfloat16())


def bnb_int8(matrix: Tensor) -> Layer:
    scale = matrix.abs().amax(1)
    numbers = (matrix / scale[:, None] * 127).round()
    return Layer({"weight": numbers.char(), "SCB": scale, "weight_format": torch.tensor(0, dtype=torch.uint8)},
                 (numbers * scale[:, None] * 7.874015718698502e-3).bfloat16())


def mixed_sdnq(name: str, config: dict) -> Callable[[Tensor], Layer]:
    """The three of SDNQ by turns, as its dynamic quantisation mixes them; the config's list grows."""
    dtypes = {"uint4": sdnq_uint4, "int5": sdnq_int5, "int8": sdnq_int8}
    listed = config.setdefault("modules_dtype_dict", {dtype: [] for dtype in dtypes})
    dtype = min(dtypes, key=lambda dtype: len(listed[dtype]))
    listed[dtype].append(f"{name}.weight")
    return dtypes[dtype]


WRITERS: dict[str, tuple[Callable[[str, dict], Callable[[Tensor], Layer]], dict]] = {
    "SDNQ": (mixed_sdnq, {"quant_method": "sdnq", "weights_dtype": "uint4"}),
    "AutoRound int4": (lambda name, config: autoround, {
        "quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True, "data_type": "int",
        "packing_format": "auto_round:auto_gptq"}),
    "bitsandbytes nf4": (lambda name, config: bnb_nf4, {
        "quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}),
    "bitsandbytes int8": (lambda name, config: bnb_int8, {"quant_method": "bitsandbytes", "load_in_8bit": True}),
}


def write_foreign(released: Path, folder: Path, kind: str) -> dict[Part, dict[str, Tensor]]:
    """Planner and diffusion model of ``released`` in a format of WRITERS; returns the tensors that they restore.

    AutoRound's planner has only its language model in the format. Names are those in the files.
    """
    shutil.copytree(released, folder, dirs_exist_ok=True)
    return {part: write_part(folder / part.folder, kind) for part in (PLANNER, DIFFUSION)}


def write_part(folder: Path, kind: str) -> dict[str, Tensor]:
    choose, settings = WRITERS[kind]
    config, stored, restored = dict(settings), {}, {}
    files = part_files(folder, str(folder))
    for name, tensor in {name: tensor for file in files for name, tensor in load_file(file).items()}.items():
        whole = tensor.ndim != 2 or any(word in name for word in WHOLE) or kind.startswith("Auto") and "visual" in name
        if whole or not name.endswith(".weight"):
            stored[name] = restored[name] = tensor
            continue
        layer = choose(name.removesuffix(".weight"), config)(tensor)
        stored |= {f"{name.removesuffix('weight')}{key}": value.contiguous() for key, value in layer.tensors.items()}
        restored[name] = layer.matrix
    for file in [*files, *folder.glob("*.index.json")]:
        file.unlink()
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": config}))
    return restored
