"""The planner under ComfyUI's memory manager, with its progress bar, previews and cancel button."""

import time
from collections.abc import Sequence
from dataclasses import replace

import comfy.model_management
import comfy.utils
import torch
from comfy.cli_args import args
from PIL import Image
from torch import Tensor, nn

from ..checkpoint import PLANNER, VISION, Weights, fill
from ..errors import GLMImageError
from ..plan import DROPPED, Plan, draw_grid
from ..planner import PlannerConfig, PlannerModel, PromptTokenizer, Sampling, prepare, write_plan
from ..planner.generate import bytes_in_memory, split_grids
from ..planner.model import fuse_qkv
from ..planner.run import Capture, Job, cuda_graph_if_possible
from ..vision import SemanticVQ, VisionConfig, tokenize
from .loading import choose_precision, is_dynamic, make_patcher, pages_weights, read_weights, stays_in_place

PREVIEW_SECONDS = 1.0  # with the one at the end, never more than two a second
PREVIEW_SIDE = 512
TOKENS_AT_MOST = 4096  # of one picture, 2048 x 2048


class PlanProgress:
    """Called after every token: stops when the user cancels, moves the bar, and every second and at the end shows the grid."""

    def __init__(self, job: Job):
        self.grids, self.total = job.grids, job.new_tokens
        self.bar = comfy.utils.ProgressBar(self.total)
        self.shown = time.monotonic()

    def __call__(self, i: int, tokens: Tensor) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        due = time.monotonic() - self.shown >= PREVIEW_SECONDS or i + 1 == self.total
        self.bar.update_absolute(i + 1, self.total, ("JPEG", self.draw(tokens), PREVIEW_SIDE) if due else None)
        if due:
            self.shown = time.monotonic()

    def draw(self, tokens: Tensor) -> Image.Image:
        """The grid that is being written, of the first item."""
        started = [grid for grid in split_grids(tokens[:1].cpu(), self.grids) if grid[0, 0, 0] != DROPPED]
        grid = started[-1]
        cell = max(1, PREVIEW_SIDE // max(grid.shape[1:]))
        return Image.fromarray((draw_grid(grid, cell)[0] * 255).byte().numpy())


def keep_off_device(module: nn.Module, name: str) -> None:
    """Leave a part within reach, but out of what the memory manager moves and patches.

    So the table of all words (1.4 GB in the released planner) neither takes room on the device nor, where only a part of the
    model fits, crosses the bus for every token.
    """
    part = getattr(module, name)
    delattr(module, name)
    vars(module)[name] = part


def recorder(device: torch.device) -> Capture | None:
    """What records a token's pass on this device: a CUDA graph, unless ComfyUI was told not to (0.8 has no such flag)."""
    told_not_to = getattr(args, "disable_cuda_graphs", False)
    return cuda_graph_if_possible if device.type == "cuda" and comfy.model_management.is_nvidia() and not told_not_to else None


class HostPlanner:
    """The value on a GLM_IMAGE_PLANNER wire: the text model and the vision tower, each loaded only while it works."""

    def __init__(self, path: str):
        weights = read_weights(path, PLANNER)
        self.where = weights.where
        self.tokenizer = PromptTokenizer(weights.tokenizer_json)
        self.load_device = comfy.model_management.get_torch_device()
        self.config, text_tensors = PlannerConfig.from_json(weights.config, weights.where), weights.tensors
        if not pages_weights(self.load_device):
            self.config, text_tensors = fuse_qkv(self.config, text_tensors)
        self.capture = recorder(self.load_device)
        self.precision = choose_precision(weights, self.load_device)
        self.patcher = self.load_part(PlannerModel, self.config, replace(weights, tensors=text_tensors))
        keep_off_device(self.patcher.model.language_model, "embed_tokens")
        self.vision = None
        if VISION.signature in weights.tensors:
            self.vision = self.load_part(SemanticVQ, VisionConfig.from_json(weights.config, weights.where), weights)

    def load_part(self, module_class, config, weights: Weights):
        offload_device = comfy.model_management.unet_offload_device()
        module = module_class(config, offload_device, self.precision.storage, self.precision.operations()).eval()
        patcher = make_patcher(module, self.load_device, offload_device)
        fill(module, weights.tensors, weights.where, assign=is_dynamic(patcher))
        return patcher

    def plan(self, prompt: str, width: int, height: int, batch: int, seed: int, sampling: Sampling,
             references: Sequence[Plan] = (), ahead: int = 1) -> Plan:
        """Plan ``batch`` pictures. Raises GLMImageError on bad sizes and batches, and the host's interrupt on cancel.

        The pass of a token is recorded anew for every run, so that it knows the weights and patches of this one.
        """
        job = prepare(self.tokenizer, self.config, prompt, width, height, references)
        needed = bytes_in_memory(self.config, job, batch, ahead, self.precision.compute)
        comfy.model_management.load_models_gpu([self.patcher], memory_required=needed)
        capture = self.capture if ahead == 1 and stays_in_place(self.patcher) else None
        plan = write_plan(self.patcher.model, job, batch=batch, seed=seed, sampling=sampling, ahead=ahead, device=self.load_device,
                          dtype=self.precision.compute, on_token=PlanProgress(job), capture=capture)
        return plan.to(comfy.model_management.intermediate_device())

    def tokenize(self, image: Tensor) -> Plan:
        """The token grids of pictures [B, H, W, channels]. Raises GLMImageError when the file has no vision tower."""
        if self.vision is None:
            raise GLMImageError(f"{self.where}: it has no vision tower; pictures need the planner with {VISION.signature}")
        codebook = self.config.codebook_size * (self.vision.model.config.embed_dim + TOKENS_AT_MOST) * torch.float32.itemsize
        comfy.model_management.load_models_gpu([self.vision], memory_required=2 * codebook)
        return tokenize(self.vision.model, image, self.load_device, self.precision.compute).to(
            comfy.model_management.intermediate_device())
