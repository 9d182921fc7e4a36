"""The decoder under ComfyUI's memory manager: estimates, references, compilation, partial loading."""

import math
from functools import partial
from types import SimpleNamespace
from unittest.mock import patch

import comfy.ldm.modules.attention as comfy_attention
import comfy.model_management
import comfy.quant_ops
import comfy.samplers
import torch
from comfy.cli_args import args
from comfy.patcher_extension import WrappersMP, add_wrapper
from half_loaded import CPU, check_half_loaded, check_half_loaded_with_patches

from glm_core.decoder import official_sigmas
from glm_core.decoder.layers import rotary_table, rotate
from glm_core.errors import GLMImageError
from glm_core.host import diffusion
from glm_core.host.compat import ROTATION, fused_rotation
from glm_core.host.diffusion import PEAK_ACTIVATIONS, load_diffusion_model, patch_sampling
from glm_core.host.kernels import host_kernels, kitchen_table
from glm_core.host.references import REFERENCES_KEY, Reference, find_references, storage_device
from glm_core.plans import Plan

SHAPE = [1, 16, 128, 128]  # of a latent whose memory is estimated
CUDA = torch.device("cuda")  # named only, never used


def random_references() -> list[Reference]:
    latents = torch.randn(1, 16, 64, 68), torch.randn(1, 16, 80, 64)
    return [Reference(latent, Plan(torch.zeros(1, latent.shape[2] // 4, latent.shape[3] // 4, dtype=torch.int64)))
            for latent in latents]


def estimate(model, references: list[Reference]) -> float:
    """ComfyUI's estimate of bytes for a latent of SHAPE."""
    shapes = model.extra_conds_shapes(**{REFERENCES_KEY: references})
    with patch.object(comfy.model_management, "pytorch_attention_flash_attention", lambda: True):
        return model.memory_required(SHAPE, {name: [shape] for name, shape in shapes.items()})


def inputs(network) -> tuple:
    """x, timestep, context, prior, target_size, transformer_options for a picture of 96 x 64 pixels."""
    context = torch.randn(1, 5, network.config.text_embed_dim)
    prior = torch.randint(0, 64, (1, 1, 8, 12))
    return torch.randn(1, 16, 8, 12), torch.tensor([500.0]), context, prior, torch.tensor([[64, 96]]), {}


def test_the_estimate_of_references_is_what_is_stored(files):
    model, references = load_diffusion_model(files.diffusion_model).model, random_references()
    stored = [model.keys_values(reference, CPU, {}) for reference in references]
    size = sum(tensor.nbytes for layers in stored for pair in layers for tensor in pair)
    estimated = estimate(model, references) - estimate(model, [])
    assert math.isclose(estimated, size, rel_tol=0.01), (estimated, size)


def test_the_estimate_of_a_picture_is_what_the_network_holds(files):
    model = load_diffusion_model(files.diffusion_model).model
    held = PEAK_ACTIVATIONS * model.diffusion_model.embed(torch.zeros(SHAPE), None)[0].nbytes
    assert math.isclose(estimate(model, []), held, rel_tol=1e-6), (estimate(model, []), held)


def test_a_run_computes_each_reference_once(files):
    model, (reference, _) = load_diffusion_model(files.diffusion_model).model, random_references()
    assert model.keys_values(reference, CPU, {}) is model.keys_values(reference, CPU, {})


def test_the_next_run_computes_references_anew(files):
    model, (reference, _) = load_diffusion_model(files.diffusion_model).model, random_references()
    before = model.keys_values(reference, CPU, {})
    model.references.clear()
    after = model.keys_values(reference, CPU, {})
    assert after is not before
    assert torch.equal(after[0][0], before[0][0])


def refusal(work) -> str:
    """The message with which ``work`` is refused."""
    try:
        work()
    except GLMImageError as error:
        return str(error)
    raise AssertionError("this must be refused")


def test_the_latent_of_another_vae_is_refused(files):
    for shape in ((1, 4, 64, 64), (1, 16, 32, 32), (1, 16, 1, 64, 64), (2, 16, 64, 64)):
        message = refusal(partial(Reference, torch.zeros(shape), Plan(torch.zeros(1, 16, 16, dtype=torch.int64))))
        assert "must be [1, 16, 64, 64]" in message and str(list(shape)) in message, message


def test_references_must_fit_the_latents_batch_and_the_codebook(files):
    one = Reference(torch.zeros(1, 16, 8, 8), Plan(torch.full((1, 2, 2), 70)))
    two = Reference(torch.zeros(2, 16, 8, 8), Plan(torch.zeros(2, 2, 2, dtype=torch.int64)))
    values = {REFERENCES_KEY: (one, two)}
    assert find_references(2, False, 71, values) == [one, two]
    assert "reference 1: ids must be from 0 to 69 (got 70)" in refusal(lambda: find_references(2, False, 70, values))
    message = refusal(lambda: find_references(3, False, 71, values))
    assert "reference 2: the batch size must be 1 or 3, like the latent's (got 2)" in message


def test_the_negative_sees_the_references_marked_for_it(files):
    plan = Plan(torch.zeros(1, 2, 2, dtype=torch.int64))
    plain, marked = (Reference(torch.zeros(1, 16, 8, 8), plan, in_negative) for in_negative in (False, True))
    values = {REFERENCES_KEY: (plain, marked)}
    assert find_references(1, True, 64, values) == [marked]
    assert find_references(1, False, 64, values) == [plain, marked]


def stored_on(size: int, patcher=None) -> str:
    """Where ``size`` bytes are stored when 10,000 are free and inference needs 4,000."""
    with patch.object(comfy.model_management, "get_free_memory", lambda device: 10_000), \
            patch.object(comfy.model_management, "minimum_inference_memory", lambda: 4_000):
        return str(storage_device(size, CUDA, patcher))


def test_references_that_fit_are_stored_on_the_device(files):
    assert stored_on(6_000) == "cuda"


def test_references_that_do_not_fit_are_stored_on_the_cpu(files):
    assert stored_on(6_001) == "cpu"


def test_references_may_have_the_memory_of_weights_that_can_be_paged_in_again(files):
    paging = SimpleNamespace(get_free_memory=lambda device: 10_000 + 7_000)
    assert stored_on(13_000, paging) == "cuda" and stored_on(13_001, paging) == "cpu"
    assert stored_on(6_000, object()) == "cuda" and stored_on(6_001, object()) == "cpu"  # a patcher of 0.8


def test_a_runs_references_ask_its_patcher_for_memory(files):
    patcher, (reference, _) = load_diffusion_model(files.diffusion_model), random_references()
    with patch.object(patcher.model, "current_patcher", patcher), \
            patch.object(diffusion, "storage_device", return_value=CPU) as asked:
        layers = patcher.model.keys_values(reference, CPU, {})
    size = sum(tensor.nbytes for pair in layers for tensor in pair)
    asked.assert_called_once_with(size, CPU, patcher)


def test_the_network_compiles_to_one_graph_for_both_branches(files):
    network = load_diffusion_model(files.diffusion_model).model.diffusion_model
    x, timestep, context, prior, size, options = inputs(network)
    compiled = torch.compile(network, backend="eager", fullgraph=True)  # a graph break is an error
    # attention as on a GPU; what a CPU gets asks for free memory in every call
    with patch.object(comfy_attention, "optimized_attention", comfy_attention.attention_pytorch):
        for branch in (prior, torch.full_like(prior, -1)):
            given = x, timestep, context, branch, size, options
            assert (compiled(*given) - network(*given)).abs().max() <= 1e-5
            assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_a_wrapper_may_write_into_its_input(files):
    """As EasyCache does; the sampler's latent stays as it is."""
    network, options = load_diffusion_model(files.diffusion_model).model.diffusion_model, {}
    add_wrapper(WrappersMP.DIFFUSION_MODEL, lambda executor, x, *args: executor(x.add_(1), *args), options)
    x, *others, _ = inputs(network)
    before = x.clone()
    assert not torch.equal(network(x, *others, options), network(x, *others, {}))
    assert torch.equal(x, before)


def test_comfy_kitchens_rotation_is_ours(files):
    table = rotary_table(3, 5, 16, CPU, text_len=4)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 2**-7)):
        x = torch.randn(2, 19, 3, 16, dtype=dtype).transpose(1, 2)
        theirs = torch.ops.comfy_kitchen.apply_rope_split_half1(x, kitchen_table(table))
        assert torch.allclose(rotate(x, table), theirs, rtol=tolerance, atol=tolerance)


def test_a_kernel_of_the_gpu_is_taken_if_there_is_one(files):
    kitchen = comfy.quant_ops.ck
    eager, kernel = ({"available": True, "disabled": False, "capabilities": [ROTATION]} for _ in range(2))
    with patch.object(kitchen, "list_backends", lambda: {"eager": eager, "cuda": kernel}):
        assert fused_rotation() is kitchen.apply_rope_split_half1
        for lacks in ({"available": False}, {"disabled": True}, {"capabilities": []}):
            with patch.dict(kernel, lacks):
                assert fused_rotation() is None and host_kernels().rotate is rotate
    with patch.object(comfy.quant_ops, "ck", None):
        assert fused_rotation() is None


def test_a_half_loaded_decoder_gives_the_same(files):
    patcher = load_diffusion_model(files.diffusion_model)
    given = inputs(patcher.model.diffusion_model)
    check_half_loaded(patcher, lambda: patcher.model.diffusion_model(*given))


def test_a_half_loaded_decoder_with_a_lora_gives_the_same(files):
    patcher = load_diffusion_model(files.diffusion_model)
    given = inputs(patcher.model.diffusion_model)
    check_half_loaded_with_patches(patcher, lambda: patcher.model.diffusion_model(*given))


def test_the_decoder_follows_the_flags_of_the_unet_but_never_takes_float16(files):
    plain = load_diffusion_model(files.diffusion_model).model
    with patch.dict(vars(args), fp16_unet=True, force_fp16=True):
        model = load_diffusion_model(files.diffusion_model).model
        assert model.get_dtype() == plain.get_dtype() and model.compute_dtype() == plain.compute_dtype()
    with patch.dict(vars(args), bf16_unet=True):
        assert load_diffusion_model(files.diffusion_model).model.get_dtype() == torch.bfloat16


def test_simple_is_the_official_schedule_at_any_number_of_steps(files):
    patched = patch_sampling(load_diffusion_model(files.diffusion_model), 128, 128)
    sampling = patched.get_model_object("model_sampling")
    for steps in (*range(1, 101), 333, 999):
        sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", steps)
        assert torch.equal(sigmas, official_sigmas(steps, 3.25)), steps


def test_the_network_tells_its_channels(files):
    network = load_diffusion_model(files.diffusion_model).model.diffusion_model
    assert network.in_channels == network.out_channels == 16


def test_what_a_controlnet_adds_changes_nothing(files):
    model = load_diffusion_model(files.diffusion_model).model
    x, timestep, context, prior, size, options = inputs(model.diffusion_model)
    given = {"c_crossattn": context, "transformer_options": options, "prior": prior, "target_size": size, "shift": 1.0}
    control = {part: [torch.randn(1, 24, 32)] for part in ("input", "middle", "output")}
    sigma = torch.tensor([0.5])
    assert torch.equal(model.apply_model(x, sigma, **given, control=control), model.apply_model(x, sigma, **given))
