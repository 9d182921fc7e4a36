"""Inside ComfyUI, with and without DynamicVRAM: plans recorded = plain, weights held in place, memory given back.

All computes in float32, where rounding tips no token and no latent; two layers of the released width at full size.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import comfy.model_management
import torch
import torch.nn.functional as F
from comfy.cli_args import args
from torch import Tensor

from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE, Part
from glm_core.checkpoint.read import read_part
from glm_core.decoder import draw_noise, sample_latent
from glm_core.host import HostPlanner
from glm_core.host.planner import choose_token_attention
from glm_core.pipeline import Compute, build, encode_glyphs
from glm_core.planner import PlannerConfig
from tests.benchmarks.sizes import Models
from tests.support.compute import CPU

from .comfyui_picture import PROMPT, Picture
from .comfyui_planner import counted, free_bytes, plan_ids, unload, without_recording
from .files import write_part
from .parity import GUIDANCE, LOOKAHEAD, MODELS, STEPS, WIDE, check_close, check_equal, share_equal
from .record import Record

WIDTH, HEIGHT = 128, 96
CANCEL_AFTER = 5
CACHE_LENGTH = 1504
LOST = 64e6  # bytes, at most, that a run may keep of the device once all is unloaded: libraries' workspaces grow
LATENT_LIMIT = 1e-3  # after some steps; of the difference's norm, relative to the result's
FLOAT32 = "fp32_text_enc", "fp32_unet", "fp32_vae"  # ComfyUI's options


def write_files(folder: Path, models: Models, device: torch.device) -> dict[Part, Path]:
    compute = Compute(device, torch.float32)
    return {part: write_part(folder, part, models, compute) for part in (PLANNER, GLYPH, DIFFUSION, VAE)}


class Planners:
    """One planner that records where ComfyUI lets it, and one that never does."""

    def __init__(self, path: Path):
        self.path = path
        self.recorded = HostPlanner(str(path))
        with without_recording():
            self.plain_planner = HostPlanner(str(path))

    def plain(self, patched: bool = False, **options) -> Tensor:
        with without_recording():
            return self.ids(self.with_patches(self.plain_planner) if patched else self.plain_planner, **options)

    def ids(self, planner: HostPlanner | None = None, **options) -> Tensor:
        return plan_ids(planner or self.recorded, PROMPT, WIDTH, HEIGHT, **options)

    def with_patches(self, planner: HostPlanner) -> HostPlanner:
        """A clone with the same random LoRA for every planner."""
        clone = planner.clone()
        generator = torch.Generator().manual_seed(0)
        matrices = {key: value for key, value in clone.patcher.model.state_dict().items()
                    if value.ndim == 2 and "self_attn" in key}
        patches = {key: ("diff", (0.02 * torch.randn(value.shape, generator=generator),))
                   for key, value in matrices.items()}
        assert set(clone.patcher.add_patches(patches)) == set(patches)
        return clone


def cancel(planners: Planners) -> None:
    """Begin a plan and cancel it, as ComfyUI's button does."""
    def interrupt(planner_progress, i: int, tokens: Tensor) -> None:
        if i == CANCEL_AFTER:
            comfy.model_management.interrupt_current_processing()
        comfy.model_management.throw_exception_if_processing_interrupted()

    with patch("glm_core.host.planner.PlanProgress.__call__", interrupt):
        try:
            planners.ids()
        except comfy.model_management.InterruptProcessingException:
            return
    raise AssertionError("the plan must be cancelled")


def check_recorded(planners: Planners, device: torch.device, dynamic: bool) -> str:
    """Raise AssertionError on a GPU unless every pass of a plan is replayed."""
    with counted(dynamic) as counts:
        found = planners.ids()
    assert device.type == "cpu" or counts.replays >= found.numel() - 1, f"all passes must be replayed ({counts})"
    return f"{counts.replays} replays for {found.numel()} tokens"


def check_plans(record: Record, planners: Planners, device: torch.device, dynamic: bool) -> None:
    plain, ids = planners.plain, planners.ids

    def with_a_lora() -> str:
        found = ids(planners.with_patches(planners.recorded))
        assert not torch.equal(found, ids()), "a LoRA must change the plan"
        return check_equal(found, plain(patched=True))

    def after(work: Callable[[], object]) -> str:
        expected = plain()
        work()
        return check_equal(ids(), expected)

    record.check("the pass is recorded by default", lambda: check_recorded(planners, device, dynamic))
    record.check("recorded = plain", lambda: check_equal(ids(), plain()))
    record.check("recorded = plain, batch 3", lambda: check_equal(ids(batch=3), plain(batch=3)))
    record.check("recorded, looking ahead = plain", lambda: check_equal(ids(lookahead=LOOKAHEAD), plain()))
    record.check("recorded with a LoRA = plain with it", with_a_lora)
    record.check("recorded after a LoRA = plain", lambda: check_equal(ids(), plain()))
    record.check("recorded after a cancel = plain", lambda: after(lambda: cancel(planners)))
    record.check("recorded after an unload = plain", lambda: after(unload))


def check_kernel(device: torch.device) -> str:
    """ComfyUI's attention of one token against torch's in float32, with the released heads."""
    config = PlannerConfig.from_json(WIDE.planner(), PLANNER.title)
    attention = choose_token_attention(config, device, torch.bfloat16)
    if attention is None:
        return "this comfy-kitchen has none for this device"
    remarks = []
    for batch, length in ((1, 1), (1, 700), (3, 1500)):
        q, k, v = (torch.randn(batch, heads, n, config.head_size, device=device, dtype=torch.bfloat16)
                   for heads, n in ((config.num_attention_heads, 1), (config.num_key_value_heads, CACHE_LENGTH),
                                    (config.num_key_value_heads, CACHE_LENGTH)))
        found = attention(q, k, v, torch.full((batch,), length, dtype=torch.int32, device=device))
        written = (tensor[:, :, :length].float() for tensor in (k, v))
        expected = F.scaled_dot_product_attention(q.float(), *written, enable_gqa=True)
        remarks.append(check_close(found, expected.transpose(1, 2).flatten(2), torch.bfloat16))
    return ", ".join(remarks)


def check_formats(record: Record, folder: Path, models: Models, device: torch.device, dynamic: bool) -> None:
    """Files in bfloat16 and int8 are recorded too. Rounding may tip tokens there, so their share is only noted."""
    for name, format_name in (("bfloat16", None), ("int8", "int8")):
        path = write_part(folder, PLANNER, models, Compute(device, torch.bfloat16), format_name)
        planners = Planners(path)
        record.check(f"{name}: the pass is recorded by default",
                     lambda planners=planners: check_recorded(planners, device, dynamic))
        record.check(f"{name}: recorded beside plain",
                     lambda planners=planners: f"{share_equal(planners.ids(), planners.plain()):.1%} of tokens equal")


def check_pages(record: Record, planners: Planners) -> None:
    """Under DynamicVRAM: weights are faulted in for the prompt and once more to be held, and none for a token."""
    weights = sum(hasattr(module, "_v") for module in planners.recorded.patcher.model.modules())

    def run(work: Callable[[], object]) -> str:
        with counted(True) as counts:
            work()
        assert weights, "the planner's weights must be paged"
        assert counts.unpins == counts.faults, f"every weight that was pinned must be released ({counts})"
        assert counts.faults <= 3 * weights, f"a token must fault no weight in ({counts}, {weights} weights)"
        return f"{counts}, {weights} weights"

    record.check("weights are held in place and released", lambda: run(planners.ids))
    record.check("weights are released after a cancel", lambda: run(lambda: cancel(planners)))


def check_memory(record: Record, planners: Planners, device: torch.device) -> None:
    """A first run lets libraries take what they keep."""
    def memory() -> str:
        free = []
        for _ in range(2):
            planners.ids()
            unload()
            free.append(free_bytes(device))
        lost = free[0] - free[1]
        assert lost <= LOST, f"a run must give back its memory, but for {LOST / 1e6:.0f} MB (lost {lost / 1e6:.0f} MB)"
        return f"{lost / 1e6:.0f} MB lost"

    record.check("memory is given back", memory)


def check_picture(record: Record, files: dict[Part, Path], models: Models) -> None:
    """The latent that ComfyUI's sampler gives, against our own loop on the CPU; then its pixels."""
    picture = Picture(files)
    plan = picture.plan(WIDTH, HEIGHT)
    noise = draw_noise(0, 1, WIDTH, HEIGHT)
    cpu = {part: build(part, read_part(files[part], part), CPU) for part in (GLYPH, DIFFUSION)}

    def latent() -> str:
        glyphs, no_glyphs = (encode_glyphs(cpu[GLYPH], prompt, CPU) for prompt in (PROMPT, ""))
        expected = sample_latent(cpu[DIFFUSION], plan.to("cpu"), glyphs, no_glyphs, noise, steps=STEPS,
                                 guidance=GUIDANCE)
        found = picture.normalised(picture.sample(plan, noise, STEPS, GUIDANCE))
        error = float((found - expected).norm() / expected.norm())
        assert error <= LATENT_LIMIT, f"latents must differ by {LATENT_LIMIT} at most (got {error})"
        return f"differs by {error:.1e}"

    def pixels() -> str:
        decoded = picture.decode(picture.sample(plan, noise, STEPS, GUIDANCE))
        assert decoded.shape == (1, HEIGHT, WIDTH, 3) and decoded.isfinite().all()
        return f"standard deviation {decoded.std():.3f}"

    record.check("latent = our own loop's on the CPU", latent)
    record.check("pixels", pixels)


def checks(record: Record, device: torch.device, size: str, dynamic: bool) -> None:
    vars(args).update(dict.fromkeys(FLOAT32, True))
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    models = MODELS[size]
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), models, device)
        planners = Planners(files[PLANNER])
        check_plans(record, planners, device, dynamic)
        if dynamic:
            check_pages(record, planners)
        if device.type == "cuda":
            check_memory(record, planners, device)
        check_picture(record, files, models)
        vars(args).update(dict.fromkeys(FLOAT32, False))
        record.check("attention of one token", lambda: check_kernel(device))
        check_formats(record, Path(folder) / "formats", models, device, dynamic)
