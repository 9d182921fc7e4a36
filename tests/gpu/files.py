"""Files of random parts, as ``convert`` writes them, for ComfyUI's loaders."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from glm_core import ops
from glm_core.checkpoint import PLANNER, Part
from glm_core.checkpoint.formats import LARGE_MATRICES, quantise
from glm_core.checkpoint.read import CONFIG_METADATA, TOKENIZER_TENSOR
from glm_core.checkpoint.text import text_to_tensor
from glm_core.pipeline import Compute
from glm_core.pipeline.parts import MODULES
from tests.benchmarks.models import config_of
from tests.benchmarks.sizes import Models
from tests.support.tiny import make_tokenizer


def part_shapes(part: Part, config: dict) -> dict[str, torch.Size]:
    """Names and shapes of a part's tensors, as files have them: queries, keys and values apart."""
    module_class, config_class, options = MODULES[part]
    apart = dict.fromkeys(options, False)
    with torch.device("meta"):
        module = module_class(config_class.from_json(config, part.title), operations=ops, **apart)
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def random_tensor(name: str, shape: torch.Size, compute: Compute) -> Tensor:
    """As ``randomise`` of the benchmarks scales it."""
    noise = torch.randn(shape, device=compute.device, dtype=compute.dtype)
    if len(shape) > 1:
        return noise.mul_(shape[1:].numel() ** -0.5)
    return noise.mul_(0.2).add_(float(name.endswith("weight")))


def stored_tensors(part: Part, config: dict, format_name: str | None, compute: Compute) -> dict[str, Tensor]:
    """On the CPU; drawn and quantised one by one on the device."""
    stored: dict[str, Tensor] = {}
    for name, shape in part_shapes(part, config).items():
        tensors = {name: random_tensor(name, shape, compute)}
        if format_name and part in LARGE_MATRICES:
            tensors = quantise(tensors, part, format_name, part.title)
        stored |= {key: tensor.cpu() for key, tensor in tensors.items()}
    return stored


def write_part(folder: Path, part: Part, models: Models, compute: Compute, format_name: str | None = None) -> Path:
    """Write a part with random weights in the type of ``compute``, large matrices in a format of ``convert``."""
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    config = config_of(models, part)
    tensors = stored_tensors(part, config, format_name, compute)
    if part is PLANNER:
        tensors[TOKENIZER_TENSOR] = text_to_tensor(make_tokenizer(models.vocabulary).to_str())
    path = folder / Path(part.file).name
    save_file(tensors, path, {CONFIG_METADATA: json.dumps(config)})
    return path
