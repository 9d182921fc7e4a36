"""The planner under ComfyUI's memory manager, with its progress bar, previews and cancel button."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from comfy.cli_args import LatentPreviewMethod, args
from PIL import Image
from torch import Tensor, nn

from ..checkpoint import PLANNER, VISION, Weights, fill, fingerprint
from ..errors import GLMImageError
from ..geometry import check_batch_size, check_range
from ..planner import (
    KEPT_PER_PASS,
    Kept,
    PlannerConfig,
    PlannerModel,
    PlanWriter,
    PromptLayout,
    PromptTokenizer,
    Sampling,
    generate_plan,
    lay_out_prompt,
    split_grids,
    warn_of_untrained_size,
    write_tokens,
)
from ..planner.model import TokenAttention, has_plain_qkv
from ..planner.session import GraphRecorder, record_cuda_graph_if_possible, session_bytes
from ..plans import DROPPED, LARGEST_CELL, Plan, codebook_colours, draw_grid
from ..vision import SemanticVQ, VisionConfig, tokenize
from .compat import cuda_graphs_disabled, flash_decoding, is_dynamic, show_progress_text
from .loading import choose_planner_precision, make_patcher, pages_weights, read_weights
from .paging import held_in_place

PREVIEW_SECONDS = 1.0  # between two previews; only the last one may come sooner
TEXT_SECONDS = 0.5  # between two texts; only the last one may come sooner
PREVIEW_SIDE = 512  # pixels, at most
MAX_LOOK_AHEAD = 64
MAX_IMAGE_TOKENS = 4096  # of a reference image: 2048 x 2048 pixels
FLASH_HEAD_SIZE, FLASH_MOST_GROUP = 128, 64  # what comfy-kitchen's kernel is built for (flash_decode.cu)


@dataclass(frozen=True)
class Pace:
    """How fast the tokens of a plan come. first: how many were there at ``start``, in seconds."""

    first: int
    start: float
    total: int

    def text(self, done: int, now: float) -> str:
        """Tokens so far, tokens a second, minutes and seconds to come: "212 / 320 · 14.2 tokens/s · 0:08"."""
        parts = [f"{done} / {self.total}"]
        if done > self.first and now > self.start:
            rate = (done - self.first) / (now - self.start)
            parts.append(f"{rate:.1f} tokens/s")
            if done < self.total:
                minutes, seconds = divmod(ceil((self.total - done) / rate), 60)
                parts.append(f"{minutes}:{seconds:02}")
        return " · ".join(parts)


class PlanProgress:
    """Called after every token: stops on cancel, moves the bar, and previews the grid every second and at the end.
    Twice a second and at the end, a text on the node says how fast it goes and what remains.

    Like the sampler, it shows nothing with ComfyUI's preview method "none". A prompt's own ``preview_method`` is in
    ``args`` while the prompt runs.
    """

    def __init__(self, layout: PromptLayout, planner: HostPlanner):
        self.grids, self.total, self.planner = layout.grids, layout.new_tokens, planner
        self.bar = comfy.utils.ProgressBar(self.total)
        self.last_preview = self.last_text = time.monotonic()
        self.pace: Pace | None = None  # starts with the first token: the prompt is read before it
        self.has_preview = args.preview_method != LatentPreviewMethod.NoPreviews

    def __call__(self, i: int, tokens: Tensor) -> None:
        """See ``OnToken``."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        is_due = self.has_preview and (time.monotonic() - self.last_preview >= PREVIEW_SECONDS or i + 1 == self.total)
        self.bar.update_absolute(i + 1, self.total, ("JPEG", self.draw(tokens), PREVIEW_SIDE) if is_due else None)
        if is_due:
            self.last_preview = time.monotonic()
        self.show_pace(i + 1, time.monotonic())

    def show_pace(self, done: int, now: float) -> None:
        self.pace = self.pace or Pace(done, now, self.total)
        if now - self.last_text >= TEXT_SECONDS or done == self.total:
            show_progress_text(self.pace.text(done, now))
            self.last_text = now

    def draw(self, tokens: Tensor) -> Image.Image:
        """The first item's grid that is being written."""
        started = [grid for grid in split_grids(tokens[:1].cpu(), self.grids) if grid[0, 0, 0] != DROPPED]
        grid = started[-1]
        cell = min(max(1, PREVIEW_SIDE // max(grid.shape[1:])), LARGEST_CELL)
        return Image.fromarray((draw_grid(grid, cell, self.planner.code_colours)[0] * 255).byte().numpy())


def hide_from_manager(module: nn.Module, name: str) -> None:
    """Keep this submodule usable but hide it from the memory manager.

    This way the table of the whole vocabulary (1.4 GB in the released planner) takes no memory on the device. And if
    only part of the model fits there, the table does not cross the bus for every token.
    """
    submodule = getattr(module, name)
    delattr(module, name)
    vars(module)[name] = submodule  # an ordinary attribute, which torch does not take for a submodule


def graph_recorder(device: torch.device) -> GraphRecorder | None:
    """For NVIDIA GPUs the recorder of CUDA graphs, unless ComfyUI runs with --disable-cuda-graphs; otherwise None."""
    is_possible = device.type == "cuda" and comfy.model_management.is_nvidia() and not cuda_graphs_disabled()
    return record_cuda_graph_if_possible if is_possible else None


def choose_token_attention(config: PlannerConfig, device: torch.device, dtype: torch.dtype) -> TokenAttention | None:
    """ComfyUI's kernel for one token, if it suits the planner; it reads only what is written and splits the keys."""
    decode = flash_decoding(device)
    suits = config.head_size == FLASH_HEAD_SIZE and config.group <= FLASH_MOST_GROUP and dtype == torch.bfloat16
    if decode is None or not suits:
        return None

    def attend_one(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor) -> Tensor:
        return decode(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), lengths).flatten(2)

    return attend_one


class HostPlanner:
    """The value on a GLM_IMAGE_PLANNER wire: the text model and the vision tower, each loaded only while it works."""

    def __init__(self, path: str):
        weights = read_weights(path, PLANNER)
        assert weights.tokenizer_json is not None  # read_part refuses a planner without one
        self.source, self.fingerprint = weights.source, fingerprint(weights.tensors)
        self.tokenizer = PromptTokenizer(weights.tokenizer_json)
        self.load_device = comfy.model_management.get_torch_device()
        self.config = PlannerConfig.from_json(weights.config, weights.source)
        self.tokenizer.check_vocabulary(self.config.vocab_size, weights.source)
        self.recorder = graph_recorder(self.load_device)
        self.precision = choose_planner_precision(weights, self.load_device)
        fused = has_plain_qkv(weights.tensors) and not pages_weights(self.load_device)
        token_attention = choose_token_attention(self.config, self.load_device, self.precision.compute)
        self.patcher = self.load_part(PlannerModel, self.config, weights, fused=fused, token_attention=token_attention)
        hide_from_manager(self.patcher.model.language_model, "embed_tokens")
        self.vision = None
        if VISION.signature in weights.tensors:
            self.vision = self.load_part(SemanticVQ, VisionConfig.from_json(weights.config, weights.source), weights)

    def clone(self) -> HostPlanner:
        """A planner that shares the weights but has its own patches (LoRAs)."""
        cloned = copy.copy(self)
        cloned.patcher = self.patcher.clone()
        cloned.vision = self.vision and self.vision.clone()
        return cloned

    @cached_property
    def code_colours(self) -> Tensor:
        """Colours of the codes, see ``codebook_colours``; clones share them.

        By the codebook with which the vision tower reads images, in which codes that look alike are close; for a file
        without a vision tower, by the planner's own embeddings of the codes.
        """
        if self.vision is None:
            return codebook_colours(self.patcher.model.code_embeddings("cpu", torch.float32))
        return codebook_colours(self.vision.model.vqmodel.quantize.embedding.weight)

    def load_part(self, module_class: Callable[..., nn.Module], config: PlannerConfig | VisionConfig, weights: Weights,
                  **options: Any) -> comfy.model_patcher.ModelPatcher:
        """A patcher for a new module with these weights. options: arguments of ``module_class``."""
        offload_device = comfy.model_management.unet_offload_device()
        dtype, operations = self.precision.storage, self.precision.operations()
        module = module_class(config, offload_device, dtype, operations, **options).eval()
        patcher = make_patcher(module, self.load_device, offload_device)
        fill(module, weights.tensors, weights.source, assign=is_dynamic(patcher))
        return patcher

    def plan(self, prompt: str, width: int, height: int, batch: int, seed: int, sampling: Sampling,
             references: Sequence[Plan] = (), lookahead: int = 1) -> Plan:
        """Plan ``batch`` pictures of width x height pixels; see ``generate_plan``.

        The pass of a token is recorded anew in every call, so that the recording has the present weights and patches.
        Raises GLMImageError on bad sizes and batches, and ComfyUI's InterruptProcessingException on cancel.
        """
        check_batch_size(batch)
        check_range("seed", seed, 0, 2**64 - 1)
        check_range("look_ahead", lookahead, 1, MAX_LOOK_AHEAD)
        layout = lay_out_prompt(self.tokenizer, self.config, prompt, width, height, references)
        warn_of_untrained_size(self.config, width, height)
        plan = generate_plan(self.patcher.model, layout, batch=batch, seed=seed, sampling=sampling,
                             fingerprint=self.fingerprint, **self.prepare(layout, batch, lookahead))
        return plan.to(comfy.model_management.intermediate_device())

    def writer(self) -> PlanWriter:
        """What the operations of ``planner.redraw`` write with."""
        return PlanWriter(self.tokenizer, self.config, self.write, self.fingerprint)

    def write(self, layout: PromptLayout, seeds: Sequence[int], sampling: Sampling,
              kept: Kept | None) -> tuple[Tensor, Tensor]:
        """See ``write_tokens``. Raises ComfyUI's InterruptProcessingException on cancel."""
        options = self.prepare(layout, len(seeds), kept_per_pass=KEPT_PER_PASS if kept else 0)
        tokens, log_probs = write_tokens(self.patcher.model, layout, seeds, sampling, kept, **options)
        device = comfy.model_management.intermediate_device()
        return tokens.to(device), log_probs.to(device)

    def prepare(self, layout: PromptLayout, batch: int, lookahead: int = 1, kept_per_pass: int = 0) -> dict[str, Any]:
        """Load the model, with room for these passes; the options with which ``write_tokens`` runs inside ComfyUI."""
        width = max(lookahead, kept_per_pass + 1)
        needed = session_bytes(self.config, layout, batch, width, self.precision.compute)
        comfy.model_management.load_models_gpu([self.patcher], memory_required=needed)
        return {"lookahead": lookahead, "device": self.load_device, "dtype": self.precision.compute,
                "on_token": PlanProgress(layout, self), "recorder": self.hold_and_record(),
                "on_chunk": comfy.model_management.throw_exception_if_processing_interrupted}

    @contextmanager
    def hold_and_record(self) -> Iterator[GraphRecorder | None]:
        """A Recorder: inside, the loaded planner is held in place if its weights have room."""
        with held_in_place(self.patcher, self.precision.compute) as held:
            yield self.recorder if held else None

    def tokenize(self, image: Tensor) -> Plan:
        """The tokens of images [B, H, W, channels] in 0...1.

        Raises GLMImageError if the planner's file has no vision tower, or as ``encoder_pixels`` does.
        """
        if self.vision is None:
            raise GLMImageError(f"{self.source}: reference images need a planner file with the vision tower "
                                f"(the tensor {VISION.signature} is missing)")
        # per code: its direction, and its distance to every token of an image; twice, for intermediate results
        numbers = self.config.codebook_size * (self.vision.model.config.embed_dim + MAX_IMAGE_TOKENS)
        needed = 2 * numbers * torch.float32.itemsize
        comfy.model_management.load_models_gpu([self.vision], memory_required=needed)
        plan = tokenize(self.vision.model, image, self.load_device, self.precision.compute)
        return plan.to(comfy.model_management.intermediate_device())
