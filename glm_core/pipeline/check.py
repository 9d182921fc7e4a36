"""Is a checkpoint whole, and GLM-Image? From its headers first, then by drawing with it where memory allows."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from .. import ops
from ..checkpoint import (
    DIFFUSION,
    GLYPH,
    PARTS,
    PLANNER,
    VAE,
    VISION,
    Part,
    Weights,
    dequantise,
    gigabytes,
    locate,
    read_part,
    read_tags,
)
from ..checkpoint.formats import TAG
from ..checkpoint.read import ADVICE, TOKENIZER_TENSOR
from ..errors import GLMImageError
from ..planner import PlannerConfig, PromptTokenizer
from .parts import MODULES, Compute
from .requests import PlanRequest, RenderRequest, RenderSettings
from .run import plan, render

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8,
          "I8": torch.int8, "I16": torch.int16, "I32": torch.int32, "I64": torch.int64, "BOOL": torch.bool,
          "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
SAMPLE = 'A sign that says "OPEN 2026", 开门'
IMAGE_TOKEN = "<|dit_token_{}|>"  # the released tokenizer's names of image tokens; start and end follow the codebook
SIDE = 64  # of the picture that is drawn, in pixels
MOST_MEMORY = 0.5  # share of the machine's memory that drawing may take


@dataclass
class CheckReport:
    """What was found: a line per part or check, and a line per fault. Neither names a folder but the model's own."""

    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass
class Checker:
    """One check of the folder ``model``, an absolute path."""

    model: Path
    report: CheckReport = field(default_factory=CheckReport)
    configs: dict[Part, Any] = field(default_factory=dict)
    numbers: int = 0  # of the largest part

    def fault(self, message: str) -> None:
        message = message.removesuffix(f"; {ADVICE}")
        self.report.faults.append(" ".join(message.replace(str(self.model), self.model.name).split()))

    def check_part(self, part: Part) -> None:
        blank: list[str] = []
        try:
            weights = read_part(locate(self.model, part), part, partial(read_shapes, blank=blank))
            if blank:
                self.fault(f"{part.title}: {blank[0]}{and_more(blank)} must not be all zero, as it is where a "
                           "download left a gap")
            self.report.lines.append(f"{part.title}: {describe(weights)}")
            self.check_tensors(part, weights)
            if part is PLANNER:
                self.check_planner(weights)
        except (GLMImageError, OSError) as error:
            self.fault(str(error))

    def check_planner(self, weights: Weights) -> None:
        """What only the planner's files have: the vision tower and the tokenizer."""
        if VISION.signature in weights.tensors:
            self.check_tensors(VISION, weights)
        else:
            self.report.lines.append("vision tower: none, so reference images cannot be used")
        assert weights.tokenizer_json is not None  # read_part refuses a planner without one
        for message in tokenizer_faults(PromptTokenizer(weights.tokenizer_json), self.configs[PLANNER]):
            self.fault(f"tokenizer: {message}")

    def check_tensors(self, part: Part, weights: Weights) -> None:
        """Names and shapes against the config."""
        self.configs[part] = MODULES[part][1].from_json(weights.config, weights.source)
        expected = expected_tensors(part, self.configs[part])
        self.numbers = max(self.numbers, sum(tensor.numel() for tensor in expected.values()))
        for message in tensor_faults(weights, expected):
            self.fault(f"{part.title}: {message}")

    def check_agreement(self) -> None:
        """Values on which the configs of two parts must agree."""
        for first, key, second, other_key in (
                (DIFFUSION, "prior_vq_quantizer_codebook_size", PLANNER, "codebook_size"),
                (DIFFUSION, "text_embed_dim", GLYPH, "d_model"), (DIFFUSION, "in_channels", VAE, "latent_channels"),
                (DIFFUSION, "out_channels", VAE, "latent_channels")):
            if first in self.configs and second in self.configs:
                wanted, found = getattr(self.configs[second], other_key), getattr(self.configs[first], key)
                if wanted != found:
                    self.fault(f"{first.title}: {key} must be {wanted}, the {second.title}'s {other_key} "
                               f"(got {found})")

    def check_drawing(self) -> None:
        """Draw a tiny picture on the CPU, if the largest part takes no more than MOST_MEMORY in float32."""
        needed = 2 * self.numbers * torch.float32.itemsize  # as read, and as it is computed with
        self.report.lines.append(f"memory: {gigabytes(self.numbers * 2)} in bfloat16 for the largest part")
        if needed > MOST_MEMORY * physical_memory():
            self.report.lines.append(f"drawing: not tried; it needs {needed / 1e9:.0f} GB in float32")
            return
        compute = Compute(torch.device("cpu"), torch.float32)
        request = PlanRequest(SAMPLE, SIDE, SIDE, coarse=False)
        [drawn] = plan(self.model, [request], compute)
        [result] = render(self.model, [RenderRequest.of(request, drawn, RenderSettings(steps=1))], compute)
        if not (result.latent.isfinite().all() and result.pictures.isfinite().all()):
            self.fault("drawing: every number must be finite (got NaN or infinity)")
        self.report.lines.append(f"drawing: {SIDE}x{SIDE} pixels in one step")


def check_model(model: Path) -> CheckReport:
    """Check a released or converted folder. Every fault is one line of the report; none is raised."""
    checker = Checker(model.resolve())
    if not model.is_dir():
        checker.fault(f"model folder {model.name}: no such folder")
        return checker.report
    for part in PARTS:
        checker.check_part(part)
    checker.check_agreement()
    if not checker.report.faults:
        try:
            checker.check_drawing()
        except GLMImageError as error:
            checker.fault(str(error))
    return checker.report


def check_tensors(part: Part, weights: Weights) -> None:
    """Raise GLMImageError if a tensor is missing, or has another shape than the config says. Computes nothing.

    Layers in a format of ComfyUI are left to those who load them.
    """
    config = MODULES[part][1].from_json(weights.config, weights.source)
    layers = read_tags(weights.tensors, weights.source)
    expected = {name: tensor for name, tensor in expected_tensors(part, config).items()
                if name.removesuffix("weight") not in layers}
    if faults := tensor_faults(weights, expected):
        raise GLMImageError(f"{weights.source}: {faults[0]}")
    if part is PLANNER and VISION.signature in weights.tensors:
        check_tensors(VISION, weights)


def expected_tensors(part: Part, config: Any) -> dict[str, Tensor]:
    """What a model of this config has, by name, on the device meta."""
    with torch.device("meta"):
        return MODULES[part][0](config, operations=ops).state_dict()


def tensor_faults(weights: Weights, expected: dict[str, Tensor]) -> list[str]:
    """Missing tensors, and those of another shape than ``expected``, a line each kind."""
    missing = [name for name in expected if name not in weights.tensors]
    found = {name: dequantise(weights.tensors, name, weights.source).shape for name in expected if name not in missing}
    wrong = [name for name, shape in found.items() if shape != expected[name].shape]
    return [*(f"missing tensors: {name}{and_more(missing)}" for name in missing[:1]),
            *(f"{name}{and_more(wrong)} must have the shape {list(expected[name].shape)}, as the config says "
              f"(got {list(found[name])})" for name in wrong[:1])]


def and_more(names: list[str]) -> str:
    """How many follow the first, for a message."""
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def read_shapes(path: str, blank: list[str]) -> dict[str, Tensor]:
    """A file's tensors on the meta device, with their names, shapes and dtypes; tokenizer and tags with their bytes.

    blank: gets the names of matrices that seem to be all zero.
    """
    tensors = {}
    with safe_open(path, framework="pt") as file:
        for name in file.keys():
            header = file.get_slice(name)
            if name == TOKENIZER_TENSOR or name.endswith(TAG):
                tensors[name] = file.get_tensor(name)
            elif header.get_dtype() in DTYPES:
                tensors[name] = torch.empty(header.get_shape(), dtype=DTYPES[header.get_dtype()], device="meta")
                if is_blank(header):
                    blank.append(name)
            else:
                raise GLMImageError(f"{path}: the dtype of {name} must be one of {', '.join(DTYPES)} "
                                    f"(got {header.get_dtype()})")
    return tensors


def is_blank(header: Any) -> bool:
    """True if some rows of a matrix are all zero: the first, the middle and the last. header: a slice of safe_open."""
    rows, *others = header.get_shape() or [0]
    if not (rows and others and all(others)):
        return False
    return not any(header[i:i + 1].contiguous().view(torch.uint8).any() for i in (0, rows // 2, rows - 1))


def describe(weights: Weights) -> str:
    """Number of tensors, size and dtypes of a part."""
    size = sum(tensor.nbytes for tensor in weights.tensors.values())
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in weights.tensors.values()})
    return f"{len(weights.tensors)} tensors, {gigabytes(size)}, {', '.join(dtypes)}"


def tokenizer_faults(tokenizer: PromptTokenizer, config: PlannerConfig) -> list[str]:
    """How a tokenizer does not suit the planner: a text's ids are above the image's and within the vocabulary, and
    start and end of an image, if it names them, are those of the config.
    """
    text = tokenizer.encode(SAMPLE)
    controls = [tokenizer.grid_start, tokenizer.grid_end]
    faults = []
    if min(text + controls) < config.vision_vocab_size:
        faults.append(f"the ids of text must be at least {config.vision_vocab_size}, after the image's "
                      f"(got {min(text + controls)})")
    if max(text + controls) >= config.vocab_size:
        faults.append(f"ids must be below {config.vocab_size}, the planner's vocabulary "
                      f"(got {max(text + controls)})")
    known = tokenizer.tokenizer.get_vocab()
    for i, key in enumerate(("image_start_token_id", "image_end_token_id")):
        name, found = IMAGE_TOKEN.format(config.codebook_size + i), getattr(config, key)
        if known.get(name, found) != found:
            faults.append(f"{key} of the config must be {known[name]}, the id of {name} (got {found})")
    if tokenizer.grid_start == tokenizer.grid_end:
        faults.append(f"<sop> and <eop> must have different ids (got {tokenizer.grid_start})")
    return faults


def physical_memory() -> int:
    """Bytes of this machine's memory; 0 if the system does not say."""
    if os.name == "nt":
        return windows_memory()
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names:
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class MemoryStatus(ctypes.Structure):
    """What Windows' GlobalMemoryStatusEx fills in."""

    _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32), ("total", ctypes.c_uint64),
                ("others", ctypes.c_uint64 * 6)]


def windows_memory() -> int:
    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    vars(ctypes)["windll"].kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status.total
