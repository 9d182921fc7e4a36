"""The planner under ComfyUI's memory manager: what it manages, recorded passes, clones with patches, fused matrices."""

from types import SimpleNamespace
from unittest.mock import patch

import comfy.model_management
import comfy.model_patcher
import comfy.quant_ops
import numpy as np
import torch
from comfy.cli_args import args
from half_loaded import CPU, check_half_loaded, check_half_loaded_with_patches, random_patches
from safetensors import safe_open
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from glm_core.host import planner as host_planner
from glm_core.host.loading import pages_weights
from glm_core.host.planner import HostPlanner, PlanProgress, choose_token_attention, graph_recorder
from glm_core.planner import Sampling, lay_out_prompt, plan_prompt
from glm_core.planner.session import DecodeSession, record_cuda_graph_if_possible
from glm_core.plans import codebook_colours

CUDA = torch.device("cuda")  # named only, never used
CANCEL_AFTER = 5


def plan_ids(planner: HostPlanner, **options) -> Tensor:
    """Ids [1, 3, 2] of a plan of 64 x 96 pixels."""
    return planner.plan("a poster", 64, 96, 1, 3, Sampling(), **options).ids


def test_a_plan_is_written_with_all_that_was_asked_for(files):
    planner, sampling = HostPlanner(files.planner), Sampling(1.5, 0.9, 20)
    found = planner.plan("a poster", 64, 96, 2, 7, sampling)
    expected = plan_prompt(planner.patcher.model, planner.tokenizer, "a poster", 64, 96, batch=2, seed=7,
                           sampling=sampling, fingerprint=planner.fingerprint)
    assert torch.equal(found.ids, expected.ids) and torch.equal(found.coarse, expected.coarse)
    assert found.origins == expected.origins


def test_the_planner_tries_as_many_tokens_as_it_is_told(files):
    widths, decode = [], DecodeSession.decode

    def counted(session: DecodeSession, ids: Tensor, position: int) -> Tensor:
        widths.append(ids.shape[1])
        return decode(session, ids, position)

    with patch.object(DecodeSession, "decode", counted):
        plan_ids(HostPlanner(files.planner), lookahead=4)
    assert max(widths) == 4


class TracingRecorder:
    """Records passes as a CUDA graph does: operations and the tensors they work on, and nothing that Python does."""

    def __init__(self):
        self.recordings = 0

    def __call__(self, step):
        self.recordings += 1
        return make_fx(step)()


def recorded_plan(planner: HostPlanner, **options) -> tuple[Tensor, int]:
    """Ids of a plan whose pass is recorded if possible, and how often one was."""
    recorder = TracingRecorder()
    with patch.object(planner, "recorder", recorder):
        return plan_ids(planner, **options), recorder.recordings


def with_patches(planner: HostPlanner) -> HostPlanner:
    """A clone with a random LoRA."""
    clone = planner.clone()
    clone.patcher.add_patches(random_patches(clone.patcher))
    return clone


def is_fused(planner: HostPlanner) -> bool:
    return any(name.endswith("qkv_proj") for name, _ in planner.patcher.model.named_modules())


def unfused_planner(files) -> HostPlanner:
    with patch.object(host_planner, "pages_weights", lambda device: True):
        return HostPlanner(files.planner)


def test_the_table_of_words_is_not_the_managers_to_move(files):
    planner = HostPlanner(files.planner)
    with safe_open(files.planner, framework="pt") as file:
        sizes = [file.get_tensor(name).nbytes for name in file.keys() if "language_model" in name or "lm_head" in name]
    table = planner.patcher.model.language_model.embed_tokens.weight
    assert not [name for name in planner.patcher.model.state_dict() if "embed" in name]
    assert table.nbytes == max(sizes)
    assert planner.patcher.model_size() + table.nbytes == sum(sizes)


def prompt_logits(planner: HostPlanner) -> Tensor:
    """Logits [1, P, V] after every token of a prompt."""
    model, layout = planner.patcher.model, lay_out_prompt(planner.tokenizer, planner.config, "a poster", 64, 96)
    session = DecodeSession.start(model, layout, 1, CPU, torch.float32)
    return model.lm_head(session.hidden(model.embed(layout.prompt_ids, CPU, torch.float32), 0))


def test_a_half_loaded_planner_gives_the_same(files):
    planner = HostPlanner(files.planner)
    check_half_loaded(planner.patcher, lambda: prompt_logits(planner))


def test_a_half_loaded_planner_with_a_lora_gives_the_same(files):
    planner = HostPlanner(files.planner)
    check_half_loaded_with_patches(planner.patcher, lambda: prompt_logits(planner))


def test_a_recorded_pass_gives_the_same_plan(files):
    planner = HostPlanner(files.planner)
    ids, recordings = recorded_plan(planner)
    assert torch.equal(ids, plan_ids(planner))
    assert recordings == 1


def test_a_recorded_pass_has_the_patches_of_its_planner(files):
    planner = HostPlanner(files.planner)
    patched = with_patches(planner)
    ids, recordings = recorded_plan(patched)
    assert torch.equal(ids, plan_ids(patched))
    assert not torch.equal(ids, plan_ids(planner))
    assert recordings == 1


def test_a_recorded_pass_after_one_with_patches_has_none_of_them(files):
    planner = HostPlanner(files.planner)
    expected = plan_ids(planner)
    recorded_plan(with_patches(planner))
    ids, recordings = recorded_plan(planner)
    assert torch.equal(ids, expected)
    assert recordings == 1


def cancelled_plan(planner: HostPlanner) -> bool:
    """Whether a run with a recorded pass that is cancelled after a few tokens ends there."""

    def stop(progress, i, tokens):
        if i == CANCEL_AFTER:
            raise comfy.model_management.InterruptProcessingException

    with patch.object(PlanProgress, "__call__", stop):
        try:
            recorded_plan(planner)
        except comfy.model_management.InterruptProcessingException:
            return True
    return False


def test_a_recorded_pass_after_a_cancel_gives_the_same_plan(files):
    planner = HostPlanner(files.planner)
    expected = plan_ids(planner)
    assert cancelled_plan(planner)
    ids, recordings = recorded_plan(planner)
    assert torch.equal(ids, expected)
    assert recordings == 1


def test_a_cancel_within_the_prompt_ends_there(files):
    planner = HostPlanner(files.planner)
    expected = plan_ids(planner)
    comfy.model_management.interrupt_current_processing()
    with patch.object(DecodeSession, "hidden", side_effect=AssertionError("the prompt was read")):
        cancelled = is_cancelled(planner)
    assert cancelled
    assert torch.equal(plan_ids(planner), expected)


def is_cancelled(planner: HostPlanner) -> bool:
    try:
        plan_ids(planner)
    except comfy.model_management.InterruptProcessingException:
        return True
    return False


def test_passes_of_several_tokens_are_recorded(files):
    planner = HostPlanner(files.planner)
    ids, recordings = recorded_plan(planner, lookahead=4)
    assert torch.equal(ids, plan_ids(planner))
    assert recordings == 1


def test_nothing_is_recorded_where_weights_move(files):
    planner = HostPlanner(files.planner)
    expected = plan_ids(planner)
    planner.patcher.detach()
    planner.patcher.patch_model(CPU, lowvram_model_memory=planner.patcher.model_size() // 2)
    with patch.object(comfy.model_management, "load_models_gpu"):
        ids, recordings = recorded_plan(planner)
    assert torch.equal(ids, expected)
    assert recordings == 0


def test_passes_are_recorded_on_nvidia(files):
    with patch.object(comfy.model_management, "is_nvidia", lambda: True):
        assert graph_recorder(CUDA) is record_cuda_graph_if_possible


def test_passes_are_not_recorded_on_other_gpus(files):
    assert graph_recorder(CUDA) is None


def test_passes_are_not_recorded_on_the_cpu(files):
    with patch.object(comfy.model_management, "is_nvidia", lambda: True):
        assert graph_recorder(CPU) is None


def test_passes_are_not_recorded_where_comfyui_was_told_not_to(files):
    with patch.object(comfy.model_management, "is_nvidia", lambda: True), \
            patch.object(args, "disable_cuda_graphs", True, create=True):
        assert graph_recorder(CUDA) is None


def test_patches_of_a_clone_do_not_reach_the_original(files):
    planner = HostPlanner(files.planner)
    before = plan_ids(planner)
    patched = plan_ids(with_patches(planner))
    assert not torch.equal(patched, before)
    assert torch.equal(plan_ids(planner), before)


def test_a_clone_shares_the_weights(files):
    planner = HostPlanner(files.planner)
    clone = planner.clone()
    assert clone.patcher is not planner.patcher and clone.patcher.model is planner.patcher.model
    assert clone.vision is not planner.vision and clone.vision.model is planner.vision.model


def test_a_clone_without_patches_gives_the_same_plan(files):
    planner = HostPlanner(files.planner)
    assert torch.equal(plan_ids(planner.clone()), plan_ids(planner))


def test_a_planner_is_fused(files):
    assert is_fused(HostPlanner(files.planner))


def test_a_planner_is_not_fused_where_comfyui_pages_weights(files):
    assert not is_fused(unfused_planner(files))


def test_fused_and_unfused_planners_give_the_same_plan(files):
    assert torch.equal(plan_ids(HostPlanner(files.planner)), plan_ids(unfused_planner(files)))


def test_a_comfyui_that_can_page_weights_does_so_on_a_gpu_alone(files):
    with patch.object(comfy.model_patcher, "CoreModelPatcher", object, create=True):
        assert pages_weights(CUDA) and not pages_weights(CPU)


def started_with(**options):
    """Inside, ComfyUI behaves as if it had been started with these options."""
    return patch.dict(vars(args), options)


def test_the_planner_follows_the_flags_of_text_encoders_alone(files):
    plain = HostPlanner(files.planner).precision
    unet = {"fp8_e4m3fn_unet": True, "fp8_e5m2_unet": True, "fp16_unet": True, "bf16_unet": True}
    for name in unet:
        with started_with(**{name: True}):
            assert HostPlanner(files.planner).precision == plain, name
            assert getattr(args, name)
    with started_with(bf16_text_enc=True, fp32_unet=True):
        assert HostPlanner(files.planner).precision.storage == torch.bfloat16
    with started_with(fp8_e4m3fn_text_enc=True):
        planner = HostPlanner(files.planner)
        assert planner.precision.storage == torch.float8_e4m3fn and planner.precision.compute == torch.float32
        assert plan_ids(planner).shape == (1, 3, 2)


def test_the_planner_never_takes_float16(files):
    plain = HostPlanner(files.planner).precision
    for options in ({"fp16_text_enc": True}, {"fp16_unet": True, "force_fp16": True}):
        with started_with(**options):
            assert HostPlanner(files.planner).precision == plain, options


KERNEL_CONFIG = SimpleNamespace(head_size=128, group=16)  # of the released planner


def kitchen(is_available: bool) -> SimpleNamespace:
    """comfy-kitchen whose kernel only notes what it gets."""
    return SimpleNamespace(flash_attention_decode_is_available=lambda device: is_available,
                           flash_attention_decode=lambda q, k, v, lengths: (q, k, v, lengths))


def test_the_kernel_for_one_token_is_chosen_where_it_suits(files):
    cases = [({}, torch.bfloat16, True), ({}, torch.float32, False), ({}, torch.float16, False),
             ({"head_size": 64}, torch.bfloat16, False), ({"group": 65}, torch.bfloat16, False)]
    for change, dtype, expected in cases:
        config = SimpleNamespace(**{**vars(KERNEL_CONFIG), **change})
        with patch.object(comfy.quant_ops, "ck", kitchen(True), create=True):
            assert (choose_token_attention(config, CUDA, dtype) is not None) == expected, (change, dtype)


def test_no_kernel_for_one_token_is_chosen_where_there_is_none(files):
    for library in (kitchen(False), SimpleNamespace(), None):
        with patch.object(comfy.quant_ops, "ck", library, create=True):
            assert choose_token_attention(KERNEL_CONFIG, CUDA, torch.bfloat16) is None
    assert choose_token_attention(KERNEL_CONFIG, CPU, torch.bfloat16) is None


def test_the_kernel_for_one_token_gets_positions_before_heads(files):
    library, seen = kitchen(True), []
    library.flash_attention_decode = lambda *args: (seen.extend(args), args[0])[1]
    with patch.object(comfy.quant_ops, "ck", library, create=True):
        attend_one = choose_token_attention(KERNEL_CONFIG, CUDA, torch.bfloat16)
    q, k, v = torch.rand(3, 32, 1, 128), torch.rand(3, 2, 40, 128), torch.rand(3, 2, 40, 128)
    lengths = torch.tensor([7, 7, 7], dtype=torch.int32)
    assert torch.equal(attend_one(q, k, v, lengths), q.transpose(1, 2).flatten(2))
    assert [tuple(x.shape) for x in seen] == [(3, 1, 32, 128), (3, 40, 2, 128), (3, 40, 2, 128), (3,)]
    assert seen[1].data_ptr() == k.data_ptr()  # a view


def test_colours_of_codes_are_computed_once_and_shared_by_clones(files):
    planner = HostPlanner(files.planner)
    codebook = planner.vision.model.vqmodel.quantize.embedding.weight
    assert torch.equal(planner.code_colours, codebook_colours(codebook))
    with patch.object(host_planner, "codebook_colours", side_effect=AssertionError("computed again")):
        assert planner.clone().code_colours is planner.code_colours


def test_a_planner_without_a_vision_tower_has_colours_too(files):
    planner = HostPlanner(files.planner)
    planner.vision = None
    colours = planner.code_colours
    assert torch.equal(colours, codebook_colours(planner.patcher.model.code_embeddings("cpu", torch.float32)))
    assert colours.shape == (planner.config.codebook_size, 3)


def test_the_live_picture_has_the_planners_colours(files):
    planner = HostPlanner(files.planner)
    layout = lay_out_prompt(planner.tokenizer, planner.config, "a poster", 64, 64)
    progress = PlanProgress(layout, planner)
    tokens = torch.arange(layout.new_tokens)[None]
    rows, columns = layout.grids[-1]
    picture = torch.from_numpy(np.array(progress.draw(tokens)))
    cell = picture.shape[0] // rows
    expected = (planner.code_colours[tokens[0, -rows * columns :]] * 255).byte().view(rows, columns, 3)
    assert torch.equal(picture[::cell, ::cell], expected)
