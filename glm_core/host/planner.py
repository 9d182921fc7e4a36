"""The planner under ComfyUI's memory manager, with its progress bar, previews and cancel button."""

import time

import comfy.model_management
import comfy.utils
import torch
from PIL import Image
from torch import Tensor

from ..checkpoint import PLANNER, fill
from ..plan import Plan, draw_grid
from ..planner import PlannerConfig, PlannerModel, PromptTokenizer, Sampling, make_plan
from ..planner.generate import run_length
from ..planner.grids import plan_grids
from ..planner.model import KVCache
from .loading import choose_precision, is_dynamic, make_patcher, read_weights

PREVIEW_SECONDS = 0.5
PREVIEW_SIDE = 512


class PlanProgress:
    """Called after every token: stops when the user cancels, moves the bar, and twice a second shows the grid so far."""

    def __init__(self, width: int, height: int):
        self.target, self.preview = plan_grids(width, height)
        self.preview_tokens, target_tokens = (rows * columns for rows, columns in (self.preview, self.target))
        self.total = self.preview_tokens + target_tokens
        self.bar = comfy.utils.ProgressBar(self.total)
        self.shown = time.monotonic()

    def __call__(self, i: int, tokens: Tensor) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        due = time.monotonic() - self.shown >= PREVIEW_SECONDS
        self.bar.update_absolute(i + 1, self.total, ("JPEG", self.draw(i, tokens[0]), PREVIEW_SIDE) if due else None)
        if due:
            self.shown = time.monotonic()

    def draw(self, i: int, tokens: Tensor) -> Image.Image:
        """The grid that is being written, of the first item."""
        first, second = tokens.cpu().split((self.preview_tokens, self.total - self.preview_tokens))
        grid = first.view(1, *self.preview) if i < self.preview_tokens else second.view(1, *self.target)
        cell = max(1, PREVIEW_SIDE // max(grid.shape[1:]))
        return Image.fromarray((draw_grid(grid, cell)[0] * 255).byte().numpy())


class HostPlanner:
    """The value on a GLM_IMAGE_PLANNER wire."""

    def __init__(self, path: str):
        weights = read_weights(path, PLANNER)
        self.config = PlannerConfig.from_json(weights.config, weights.where)
        self.tokenizer = PromptTokenizer(weights.tokenizer_json)
        self.load_device = comfy.model_management.get_torch_device()
        offload_device = comfy.model_management.unet_offload_device()
        precision = choose_precision(weights, self.load_device)
        self.dtype = precision.compute
        self.model = PlannerModel(self.config, offload_device, precision.storage, precision.operations()).eval()
        self.patcher = make_patcher(self.model, self.load_device, offload_device)
        fill(self.model, weights.tensors, weights.where, assign=is_dynamic(self.patcher))

    def plan(self, prompt: str, width: int, height: int, batch: int, seed: int, sampling: Sampling) -> Plan:
        """Plan ``batch`` pictures. Raises GLMImageError on sizes that are not accepted, and the host's interrupt on cancel."""
        memory = self.memory_required(run_length(self.tokenizer, prompt, width, height), batch)
        comfy.model_management.load_models_gpu([self.patcher], memory_required=memory)
        plan = make_plan(self.model, self.tokenizer, prompt, width, height, batch=batch, seed=seed, sampling=sampling,
                         device=self.load_device, dtype=self.dtype, on_token=PlanProgress(width, height))
        return plan.to(comfy.model_management.intermediate_device())

    def memory_required(self, length: int, batch: int) -> int:
        """Bytes of the KV cache, of the prompt's activations and of the logits being sorted."""
        widest = 2 * self.config.intermediate_size + 8 * self.config.hidden_size
        logits = 8 * batch * self.config.vision_vocab_size * torch.float32.itemsize
        return KVCache.size_in_bytes(self.config, batch, length, self.dtype) + length * widest * self.dtype.itemsize + logits
