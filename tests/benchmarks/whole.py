"""A picture from prompt to pixels, and the memory that it takes, against diffusers' pipeline."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import ByT5Tokenizer

from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, Part
from glm_core.pipeline import Place, decode_pixels, draw_noise, encode_glyphs, render_latent
from glm_core.planner import plan_prompt
from tests.support.tiny import write_checkpoint

from .decoder import GUIDANCE
from .models import PARTS, config_of, make_ours, make_pipeline, make_processor, make_reference, prompt_tokenizer, release, share_weights
from .planner import PROMPT
from .report import Measure
from .sizes import Models, Size
from .timing import race, timed

ROOT = Path(__file__).parents[2]
QUIET = {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
IMAGE_TARGET, MEMORY_TARGET = 1.4, 0.6


@torch.inference_mode()
def draw_ours(part_of: Callable[[Part], torch.nn.Module], tokenizer, side: int, steps: int, place: Place) -> Tensor:
    """Pixels [1, side, side, 3]; ``part_of`` is asked for each part when its turn comes, and the part is not held after it."""
    plan = plan_prompt(part_of(PLANNER), tokenizer, PROMPT, side, side, device=place.device, dtype=place.dtype)
    encoder = part_of(GLYPH)
    glyphs, no_glyphs = (encode_glyphs(encoder, prompt, place) for prompt in (PROMPT, ""))
    del encoder
    latent = render_latent(part_of(DIFFUSION), plan, glyphs, no_glyphs, draw_noise(0, 1, side, side), place, steps=steps,
                           guidance=GUIDANCE)
    return decode_pixels(part_of(VAE), latent, place)


def draw_reference(pipe, side: int, steps: int):
    """The same size, steps and guidance; its planner writes one token more, the end."""
    return pipe(PROMPT, height=side, width=side, num_inference_steps=steps, guidance_scale=GUIDANCE, latents=draw_noise(0, 1, side, side),
                generator=torch.Generator().manual_seed(0), output_type="np").images


def reference_parts(models: Models, place: Place) -> dict:
    return {part: make_reference(part, config_of(models, part), place) for part in PARTS}


def held_pipeline(parts: dict):
    """The reference's pipeline with all parts in memory."""
    with tempfile.TemporaryDirectory() as folder:
        processor = make_processor(Path(folder))
    return make_pipeline(tokenizer=ByT5Tokenizer(), processor=processor, text_encoder=parts[GLYPH], vision_language_encoder=parts[PLANNER],
                         vae=parts[VAE], transformer=parts[DIFFUSION])


def image_measures(size: Size, place: Place) -> Iterator[Measure]:
    side, steps, repeats = size.image
    references, tokenizer = reference_parts(size.models, place), prompt_tokenizer()
    parts = {part: share_weights(part, module, config_of(size.models, part), place) for part, module in references.items()}
    pipe = held_pipeline(references)

    def ours(steps):
        return lambda: draw_ours(parts.get, tokenizer, side, steps, place)

    def reference(steps):
        return lambda: draw_reference(pipe, side, steps)

    ours(1)(), reference(1)()
    times = race(timed(ours(steps), place.device), timed(reference(steps), place.device), repeats)
    yield Measure(f"whole picture {side}², {steps} guided steps", *(60 / times), "per minute", target=IMAGE_TARGET)


def memory_measures(size: Size, place: Place) -> Iterator[Measure]:
    """On a GPU what tensors took at most, else what whole processes did."""
    side = size.image[0]
    peaks = peaks_on_gpu(size.models, side, place) if place.device.type == "cuda" else peaks_of_processes(size.models, side)
    yield Measure(f"peak memory, whole picture {side}²", *(peak / 1e9 for peak in peaks), "GB", more_is_better=False, target=MEMORY_TARGET)


def peaks_on_gpu(models: Models, side: int, place: Place) -> tuple[int, int]:
    def peak(draw: Callable) -> int:
        release()
        torch.cuda.reset_peak_memory_stats()
        draw()
        return torch.cuda.max_memory_allocated()

    return (peak(lambda: draw_ours(lambda part: make_ours(part, config_of(models, part), place), prompt_tokenizer(), side, 2, place)),
            peak(lambda: draw_reference(held_pipeline(reference_parts(models, place)), side, 2)))


def peaks_of_processes(models: Models, side: int) -> tuple[int, int]:
    """Largest resident sizes of ``python -m glm_core generate`` and of a process that holds the reference's pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(write_checkpoint(Path(folder) / "model", models))
        ours = ["-m", "glm_core", "generate", "--model", model, "--prompt", PROMPT, "--out", f"{folder}/out.png", "--width", str(side),
                "--height", str(side), "--steps", "2", "--guidance", str(GUIDANCE), "--dtype", "float32", "--device", "cpu"]
        reference = ["-m", "tests.benchmarks.held", model, str(side), "2"]
        return process_peak(ours), process_peak(reference)


def process_peak(arguments: list[str]) -> int:
    """Largest resident size in bytes of a Python process."""
    run = subprocess.run([sys.executable, "-m", "tests.benchmarks.peak", sys.executable, *arguments], cwd=ROOT, check=True, text=True,
                         stdout=subprocess.PIPE, env={**os.environ, **QUIET})
    return int(run.stdout)
