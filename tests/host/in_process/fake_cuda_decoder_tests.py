"""The decoder and its neighbours on tensors of a GPU that is not there: a mix of devices or a read-back is an error.

They need a CUDA build of torch, as a user with an NVIDIA card has; with others they are skipped.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import SkipTest
from unittest.mock import patch

import comfy.ldm.modules.attention as comfy_attention
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException

from glm_core import ops
from glm_core.decoder import AutoencoderKL, DiTConfig, GLMImageDiT, VAEConfig, sample_latent
from glm_core.decoder.layers import rotary_table
from glm_core.glyph import GlyphConfig, GlyphEncoder, encode_texts
from glm_core.host import kernels
from glm_core.host.diffusion import GLMImage, GLMImageConfig
from glm_core.host.references import Reference
from glm_core.plans import Plan
from glm_core.vision import SemanticVQ, VisionConfig

CUDA, BF16 = torch.device("cuda"), torch.bfloat16
BUILD = {"device": CUDA, "dtype": BF16, "operations": ops}
DIT = DiTConfig(num_layers=2, num_attention_heads=2, attention_head_dim=16, text_embed_dim=24, time_embed_dim=32,
                condition_dim=16, prior_vq_quantizer_codebook_size=64)
PLAN = Plan(torch.zeros(1, 2, 3, dtype=torch.int64))


@contextmanager
def fake_cuda() -> Iterator[None]:
    if not torch.backends.cuda.is_built():
        raise SkipTest("needs a CUDA build of torch")
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def random(*shape: int, device: torch.device = CUDA) -> Tensor:
    return torch.randn(shape, device=device, dtype=BF16)


def refused(work: Callable[[], object], error: type[Exception]) -> bool:
    try:
        work()
    except error:
        return True
    return False


def test_these_tests_can_fail(files):
    with fake_cuda():
        assert refused(lambda: random(2) + random(2, device=torch.device("cpu")), RuntimeError)
        assert refused(lambda: random(1).item(), DataDependentOutputException)


def test_the_glyph_encoder_stays_on_the_gpu(files):
    with fake_cuda():
        encoder = GlyphEncoder(GlyphConfig(16, 32, 8, 2, 2, 384), **BUILD)
        embeddings = encode_texts(encoder, [[5, 6, 1], [7, 1]], CUDA, BF16)
    assert embeddings.shape == (1, 5, 16) and embeddings.device.type == "cuda"


def test_the_vision_tower_stays_on_the_gpu(files):
    with fake_cuda():
        tower = SemanticVQ(VisionConfig(32, 2, 2, 64, 16, 64), **BUILD)
        ids = tower(random(1, 3, 64, 96))
    assert ids.shape == (1, 4, 6) and ids.device.type == "cuda"


def test_the_vae_stays_on_the_gpu(files):
    with fake_cuda():
        vae = AutoencoderKL(VAEConfig((32, 32, 32, 32), 1), **BUILD)
        pixels = vae.decode(random(1, 16, 8, 12))
        latent = vae.encode(pixels)
    assert pixels.shape == (1, 3, 64, 96) and latent.shape == (1, 16, 8, 12)
    assert pixels.device.type == latent.device.type == "cuda"


def test_the_command_lines_steps_read_nothing_back(files):
    """Four steps with guidance and a reference image, of which another plan's size is taken."""
    with fake_cuda(), patch.object(Plan, "check_codes"):  # reads the ids, once, on the CPU
        dit = GLMImageDiT(DIT, **BUILD)
        reference = random(1, 16, 12, 8), Plan(torch.zeros(1, 3, 2, dtype=torch.int64))
        noise = torch.randn(1, 16, 8, 12)
        latent = sample_latent(dit, PLAN, random(1, 5, 24), random(1, 1, 24), noise, steps=4, guidance=1.5,
                               references=[reference], device=CUDA, dtype=BF16)
    assert latent.shape == noise.shape and latent.device.type == "cuda"


def host_model() -> GLMImage:
    """ComfyUI's model with weights on the GPU; its operations cast them, as when a file is not of the type computed."""
    config = GLMImageConfig(DIT)
    config.set_inference_dtype(torch.float32, BF16)
    return config.get_model({}, device=CUDA)


def run_steps(model: GLMImage, count: int) -> Tensor:
    """Steps with a reference image, whose tensors are on the CPU as ComfyUI keeps them."""
    reference = Reference(torch.randn(1, 16, 12, 8), Plan(torch.zeros(1, 3, 2, dtype=torch.int64)))
    prior = torch.zeros(1, 1, 8, 12, device=CUDA, dtype=torch.int64)
    x, sigmas = torch.randn(1, 16, 8, 12, device=CUDA), torch.linspace(1, 0, count + 1, device=CUDA)
    for sigma, next_sigma in zip(sigmas[:-1], sigmas[1:]):
        denoised = model.apply_model(x, sigma[None], c_crossattn=random(1, 5, 24), prior=prior, shift=2.0,
                                     target_size=torch.tensor([[64, 96]], device=CUDA), references=[reference])
        x = x + (x - denoised) / sigma * (next_sigma - sigma)
    return x


def test_comfyuis_steps_read_nothing_back(files):
    """With comfy-kitchen's rotation, which works on tensors without contents as it does on a card."""
    rotated = []

    def fused(x: Tensor, table: Tensor) -> Tensor:
        rotated.append(table.shape)
        return torch.ops.comfy_kitchen.apply_rope_split_half1(x, table)

    with fake_cuda(), patch.object(kernels, "fused_rotation", lambda: fused), \
            patch("glm_core.host.diffusion.storage_device", lambda size, device, patcher: device), \
            patch.object(comfy_attention, "optimized_attention", comfy_attention.attention_pytorch):
        x = run_steps(host_model(), 3)
    assert x.shape == (1, 16, 8, 12) and x.device.type == "cuda"
    text_and_image, image = (1, 1, 5 + 24, 8, 2, 2), (1, 1, 24, 8, 2, 2)  # the reference alone is computed once
    assert rotated == [image] * 4 + [text_and_image] * 12


def test_the_kernel_rotates_only_what_it_can(files):
    """The rest is rotated by our own function."""
    taken = []
    with fake_cuda(), torch.inference_mode(False):
        for device, dtype, grad in (("cuda", BF16, False), ("cuda", torch.float32, False), ("cuda", BF16, True),
                                    ("cpu", BF16, False)):
            x = torch.empty(1, 3, 2, 16, device=device, dtype=dtype, requires_grad=grad)
            table = rotary_table(1, 2, 16, torch.device(device))
            kernels.host_rotate(lambda x, table: taken.append((x.device.type, x.dtype)) or x, x, table)
    assert taken == [("cuda", BF16)]
