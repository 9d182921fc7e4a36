"""A picture from prompt to pixels, and the memory that it takes, against diffusers' pipeline."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import ByT5Tokenizer

from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, Part
from glm_core.decoder import draw_noise
from glm_core.pipeline import Compute, LoadedPlanner, Loaders, PlanRequest, RenderRequest, RenderSettings, plan, render
from tests.support.tiny import prompt_tokenizer, write_checkpoint

from .decoder import GUIDANCE
from .models import (
    PARTS,
    config_of,
    make_ours,
    make_pipeline,
    make_processor,
    make_upstream,
    release,
    share_weights,
)
from .planner import PROMPT
from .report import Measure
from .sizes import Models, Size
from .timing import compare_times, timed

ROOT = Path(__file__).parents[2]
QUIET = {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error",
         "DIFFUSERS_VERBOSITY": "error"}
IMAGE_TARGET, MEMORY_TARGET = 1.4, 0.6
NO_FOLDER = Path("parts in memory")
PartOf = Callable[[Part], Any]  # gives a part when its turn comes


def draw_ours(part_of: PartOf, models: Models, side: int, steps: int, compute: Compute) -> Tensor:
    """Pixels [1, side, side, 3] of the pack's own pipeline; its parts come from ``part_of`` instead of a folder."""

    def load(model: Path, part: Part, compute: Compute) -> Any:
        return part_of(part)

    def load_planner(model: Path, compute: Compute) -> LoadedPlanner:
        return LoadedPlanner(part_of(PLANNER), prompt_tokenizer(models))

    request, loaders = PlanRequest(PROMPT, side, side), Loaders(load, load_planner)
    (written,) = plan(NO_FOLDER, [request], compute, loaders=loaders)
    to_render = RenderRequest.of(request, written, RenderSettings(steps, GUIDANCE))
    (rendered,) = render(NO_FOLDER, [to_render], compute, loaders=loaders)
    return rendered.pictures


def draw_upstream(pipe, side: int, steps: int):
    """The same size, steps and guidance; its planner writes one token more, the end."""
    return pipe(PROMPT, height=side, width=side, num_inference_steps=steps, guidance_scale=GUIDANCE,
                latents=draw_noise(0, 1, side, side), generator=torch.Generator().manual_seed(0),
                output_type="np").images


def upstream_parts(models: Models, compute: Compute) -> dict[Part, Any]:
    return {part: make_upstream(part, config_of(models, part), compute) for part in PARTS}


def upstream_pipeline(parts: dict[Part, Any]):
    """Upstream's pipeline with all parts in memory."""
    with tempfile.TemporaryDirectory() as folder:
        processor = make_processor(Path(folder))
    return make_pipeline(tokenizer=ByT5Tokenizer(), processor=processor, text_encoder=parts[GLYPH],
                         vision_language_encoder=parts[PLANNER], vae=parts[VAE], transformer=parts[DIFFUSION])


def image_measures(size: Size, compute: Compute) -> Iterator[Measure]:
    side, steps, repeats = size.image
    theirs = upstream_parts(size.models, compute)
    parts = {part: share_weights(part, module, config_of(size.models, part), compute)
             for part, module in theirs.items()}
    pipe = upstream_pipeline(theirs)

    def ours(steps: int):
        return draw_ours(parts.__getitem__, size.models, side, steps, compute)

    def upstream(steps: int):
        return draw_upstream(pipe, side, steps)

    ours(1)
    upstream(1)
    times = compare_times(timed(lambda: ours(steps), compute.device), timed(lambda: upstream(steps), compute.device),
                          repeats)
    yield Measure(f"whole picture {side}², {steps} guided steps", *(60 / times), "per minute", target=IMAGE_TARGET)


def memory_measures(size: Size, compute: Compute) -> Iterator[Measure]:
    """On a GPU what tensors took at most, else what whole processes did."""
    side = size.image[0]
    if compute.device.type == "cuda":
        peaks = peaks_on_gpu(size.models, side, compute)
    else:
        peaks = peaks_of_processes(size.models, side)
    yield Measure(f"peak memory, whole picture {side}²", *(peak / 1e9 for peak in peaks), "GB", more_is_better=False,
                  target=MEMORY_TARGET)


def peaks_on_gpu(models: Models, side: int, compute: Compute) -> tuple[int, int]:
    """Bytes of ours and of upstream; ours makes each part when its turn comes."""

    def peak(draw: Callable[[], object]) -> int:
        release()
        torch.cuda.reset_peak_memory_stats()
        draw()
        return torch.cuda.max_memory_allocated()

    def make_part(part: Part):
        return make_ours(part, config_of(models, part), compute)

    return (peak(lambda: draw_ours(make_part, models, side, 2, compute)),
            peak(lambda: draw_upstream(upstream_pipeline(upstream_parts(models, compute)), side, 2)))


def peaks_of_processes(models: Models, side: int) -> tuple[int, int]:
    """Largest resident sizes of ``python -m glm_core generate`` and of a process that holds upstream's pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(write_checkpoint(Path(folder) / "model", models))
        ours = ["-m", "glm_core", "generate", "--model", model, "--prompt", PROMPT, "--out", f"{folder}/out.png",
                "--width", str(side), "--height", str(side), "--steps", "2", "--guidance", str(GUIDANCE),
                "--dtype", "float32", "--device", "cpu"]
        upstream = ["-m", "tests.benchmarks.upstream_process", model, str(side), "2"]
        return process_peak(ours), process_peak(upstream)


def process_peak(arguments: list[str]) -> int:
    """Largest resident size in bytes of a Python process."""
    command = [sys.executable, "-m", "tests.benchmarks.peak_memory", sys.executable, *arguments]
    run = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE, env={**os.environ, **QUIET})
    return int(run.stdout)
