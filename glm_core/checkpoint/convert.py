"""The released folder → one file a part, with configuration and tokenizer inside."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from .formats import LAYERS, quantise
from .parts import PARTS, locate
from .read import CONFIG_METADATA, TOKENIZER_TENSOR, read_part


def convert_folder(folder: Path, out: Path, quantised: str | None = None) -> Iterator[Path]:
    """Write the four files below ``out``, laid out like ComfyUI's models folder; yields each path once it is written.

    Tensors keep their released names and their types, but for the large matrices where ``quantised`` names one of FORMATS for them.
    Raises GLMImageError when a part is missing or incomplete, or does not suit the format.
    """
    sources = [(part, locate(folder, part)) for part in PARTS]
    for part, source in sources:
        weights = read_part(source, part)
        tensors = {name: tensor.contiguous() for name, tensor in weights.tensors.items()}
        if weights.tokenizer_json is not None:
            tensors[TOKENIZER_TENSOR] = torch.tensor(list(weights.tokenizer_json.encode("utf-8")), dtype=torch.uint8)
        target = out / part.file
        if quantised and part in LAYERS:
            tensors, target = quantise(tensors, part, quantised), out / part.quantised_file(quantised)
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, target, metadata={**weights.metadata, CONFIG_METADATA: json.dumps(weights.config)})
        yield target
