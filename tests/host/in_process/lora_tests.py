"""LoRAs on the decoder and on the planner: key styles, fused and quantised matrices, stacking, removal."""

import logging
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import comfy.lora
import comfy.model_base
import comfy.model_management
import comfy.quant_ops
import comfy.sd
import torch
from lora_files import (
    ALPHA,
    HALVES,
    RANK,
    STYLES,
    Factors,
    loha_tensors,
    lokr_tensors,
    lora_tensors,
    merged,
    random_factors,
    write_peft,
)
from planner_tests import plan_ids, prompt_logits, recorded_plan, unfused_planner
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from glm_core.checkpoint import DIFFUSION_STYLES, FORMATS
from glm_core.errors import GLMImageError
from glm_core.host import HostPlanner, load_diffusion_model, load_lora
from glm_core.host.compat import LORA_MARK, add_lora_names
from glm_core.host.diffusion import GLMImage

CONFIGS = {"unet_config": {}}
LANGUAGE, VISION = "language_model.layers", "visual.blocks"


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """Of the weights of all linear layers."""
    return {name.removesuffix(".weight"): tuple(tensor.shape) for name, tensor in module.named_parameters()
            if name.endswith(".weight") and tensor.ndim == 2 and "embed" not in name.rsplit(".", 2)[-2]}


def planner_factors(files, words: str = "", seed: int = 0, size: float = 1.0) -> Factors:
    """For the matrices of the text model and the vision tower whose released names contain ``words``."""
    shapes = {}
    with safe_open(files.planner, framework="pt") as file:
        for name in file.keys():
            is_matrix = name.endswith("weight") and len(file.get_slice(name).get_shape()) == 2
            if is_matrix and name.startswith((LANGUAGE, VISION)) and words in name:
                shapes[name.removesuffix(".weight")] = tuple(file.get_slice(name).get_shape())
    return random_factors(shapes, seed, size)


@contextmanager
def peft_file(factors: Factors, **config):
    with TemporaryDirectory() as folder:
        yield str(write_peft(Path(folder), factors, **config))


def with_lora(planner: HostPlanner, factors: Factors, strength: float = 1.0, **config) -> HostPlanner:
    with peft_file(factors, **config) as path:
        changed = load_lora(path, None, planner, 0.0, strength)[1]
    assert changed is not None
    return changed


def merged_planner(files, *loras: Factors, scale: float = ALPHA / RANK) -> HostPlanner:
    """A planner from a file whose weights have the LoRAs in them."""
    with safe_open(files.planner, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(files.planner)
    for factors in loras:
        tensors = merged(tensors, factors, scale)
    with TemporaryDirectory() as folder:
        save_file(tensors, f"{folder}/merged.safetensors", metadata=metadata)
        return HostPlanner(f"{folder}/merged.safetensors")


def loaded_patches(patcher, tensors: dict[str, Tensor]) -> dict[str, list[Tensor]]:
    """What core's loader makes of a file: the adapter's tensors and alpha, by key."""
    changed, _ = comfy.sd.load_lora_for_models(patcher, None, tensors, 1.0, 0.0)
    return {key: [torch.as_tensor(weight) for weight in patches[0][1].weights if weight is not None]
            for key, patches in changed.patches.items()}


def same_patches(first: dict[str, list[Tensor]], second: dict[str, list[Tensor]]) -> bool:
    return first.keys() == second.keys() and all(
        len(first[key]) == len(second[key]) and all(map(torch.equal, first[key], second[key])) for key in first)


def test_core_finds_every_module_in_every_style_and_spelling(files):
    patcher = load_diffusion_model(files.diffusion_model)
    factors = random_factors(shapes_of(patcher.model.diffusion_model))
    expected = loaded_patches(patcher, lora_tensors(factors))
    assert len(expected) == len(factors) > 20
    for style in STYLES:
        for halves in HALVES:
            found = loaded_patches(patcher, lora_tensors(factors, style, halves))
            assert same_patches(found, expected), (style, halves)


def test_core_finds_loha_and_lokr_in_every_style(files):
    patcher = load_diffusion_model(files.diffusion_model)
    shapes = shapes_of(patcher.model.diffusion_model)
    factors = random_factors(shapes)
    for style in STYLES:
        for make, given in ((loha_tensors, factors), (lokr_tensors, shapes)):
            found = loaded_patches(patcher, make(given, style))
            assert len(found) == len(shapes), (style, make)
            assert same_patches(found, loaded_patches(patcher, make(given, "diffusion_model"))), (style, make)


def model_of(model_class: type):
    """A model of a core class without weights, as far as a map of keys asks for it."""
    model = object.__new__(model_class)
    keys = "diffusion_model.transformer_blocks.0.attn1.to_q.weight", "diffusion_model.decoder.proj_out.weight"
    vars(model).update(state_dict=lambda: dict.fromkeys(keys), model_config=type("Config", (), CONFIGS))
    return model


def test_the_maps_of_other_models_stay_as_they_are(files):
    original = comfy.lora.model_lora_keys_unet.__wrapped__
    classes = [value for value in vars(comfy.model_base).values()
               if isinstance(value, type) and issubclass(value, comfy.model_base.BaseModel)]
    assert len(classes) > 30
    for model_class in classes:
        model = model_of(model_class)
        expected = original(model, {"kept": "key"})
        assert comfy.lora.model_lora_keys_unet(model, {"kept": "key"}) == expected, model_class


def test_what_core_maps_for_our_model_stays_as_it_is(files):
    model = load_diffusion_model(files.diffusion_model).model
    expected = comfy.lora.model_lora_keys_unet.__wrapped__(model, {})
    found = comfy.lora.model_lora_keys_unet(model, {})
    assert {name: found[name] for name in expected} == expected
    assert "lycoris_norm_out_linear" in found.keys() - expected.keys()


def test_the_map_is_wrapped_once(files):
    wrapped = comfy.lora.model_lora_keys_unet
    add_lora_names(GLMImage, DIFFUSION_STYLES.names)
    assert comfy.lora.model_lora_keys_unet is wrapped
    assert not hasattr(wrapped.__wrapped__, LORA_MARK)


def test_a_planner_with_a_lora_plans_as_a_merged_one(files):
    factors = planner_factors(files)
    assert len(factors) >= 12 + 4
    plain, expected = HostPlanner(files.planner), merged_planner(files, factors)
    changed = with_lora(plain, factors)
    assert (prompt_logits_of(changed) - prompt_logits_of(expected)).abs().max() <= 1e-4
    assert torch.equal(plan_ids(changed), plan_ids(expected))
    assert not torch.equal(plan_ids(changed), plan_ids(plain))


def prompt_logits_of(planner: HostPlanner) -> Tensor:
    """``prompt_logits`` with the patches of this planner, after the memory manager has loaded it."""
    comfy.model_management.load_models_gpu([planner.patcher])
    return prompt_logits(planner)


def test_every_matrix_of_a_planner_takes_its_part_of_a_lora(files):
    """Each alone, so that none can stand in the rows of another, on fused and unfused planners."""
    fused, unfused = HostPlanner(files.planner), unfused_planner(files)
    for words in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"):
        factors = planner_factors(files, words)
        expected = prompt_logits_of(merged_planner(files, factors))
        assert (expected - prompt_logits_of(fused)).abs().max() > 1e-2
        for planner in (fused, unfused):
            found = prompt_logits_of(with_lora(planner, factors))
            assert (found - expected).abs().max() <= 1e-4, (words, (found - expected).abs().max())


def test_gate_and_up_may_come_apart(files):
    planner = HostPlanner(files.planner)
    rows, columns = planner.config.intermediate_size, planner.config.hidden_size
    module = f"{LANGUAGE}.1.mlp"
    apart = random_factors({f"{module}.gate_proj": (rows, columns), f"{module}.up_proj": (rows, columns)})
    tensors = load_file(files.planner)
    change = torch.cat([ALPHA / RANK * up @ down for down, up in apart.values()])
    whole = tensors[f"{module}.gate_up_proj.weight"] + change
    changed = with_lora(planner, apart)
    changed.patcher.patch_model(planner.load_device)
    found = changed.patcher.model.language_model.layers[1].mlp.gate_up_proj.weight.clone()
    changed.patcher.unpatch_model(planner.load_device)
    assert (found - whole).abs().max() <= 1e-5


def test_the_vision_tower_takes_its_part_of_a_lora(files):
    factors = planner_factors(files, VISION)
    planner, image = HostPlanner(files.planner), torch.rand(1, 512, 512, 3)
    changed, expected = with_lora(planner, factors), merged_planner(files, factors)
    assert changed.fingerprint == planner.fingerprint
    assert torch.equal(changed.tokenize(image).ids, expected.tokenize(image).ids)
    assert not torch.equal(changed.tokenize(image).ids, planner.tokenize(image).ids)


def test_loras_add_up_in_any_order(files):
    first, second = planner_factors(files, seed=1, size=0.5), planner_factors(files, "mlp", seed=2)
    planner, expected = HostPlanner(files.planner), merged_planner(files, first, second)
    for one, other in ((first, second), (second, first)):
        stacked = with_lora(with_lora(planner, one), other)
        assert (prompt_logits_of(stacked) - prompt_logits_of(expected)).abs().max() <= 1e-4


def test_a_strength_multiplies_the_change(files):
    factors = planner_factors(files)
    half = with_lora(HostPlanner(files.planner), factors, strength=-0.5)
    expected = merged_planner(files, factors, scale=-0.5 * ALPHA / RANK)
    assert (prompt_logits_of(half) - prompt_logits(expected)).abs().max() <= 1e-4


def test_strength_zero_is_the_planner_itself(files):
    planner = HostPlanner(files.planner)
    assert with_lora(planner, planner_factors(files), strength=0.0) is planner


def test_a_removed_lora_leaves_no_trace(files):
    for planner in (HostPlanner(files.planner), unfused_planner(files), HostPlanner(quantised(files))):
        logits = prompt_logits_of(planner)
        changed = prompt_logits_of(with_lora(planner, planner_factors(files)))
        assert (changed - logits).abs().max() > 0.1
        assert torch.equal(prompt_logits_of(planner), logits)


def test_a_plan_after_one_with_a_lora_has_none_of_it(files):
    planner = HostPlanner(files.planner)
    ids = plan_ids(planner)
    assert not torch.equal(plan_ids(with_lora(planner, planner_factors(files))), ids)
    assert torch.equal(plan_ids(planner), ids)


def test_a_recorded_pass_has_the_lora(files):
    changed = with_lora(HostPlanner(files.planner), planner_factors(files))
    ids, recordings = recorded_plan(changed)
    assert recordings == 1
    assert torch.equal(ids, plan_ids(changed))


def quantised(files, name: str = "fp8") -> str:
    return files.planner.replace(".safetensors", f"_{name}.safetensors")


def test_a_quantised_planner_takes_a_lora(files):
    """Up to the format's rounding: the changed weights are quantised again."""
    factors = planner_factors(files, LANGUAGE)
    expected = merged_planner(files, factors).patcher.model.state_dict()
    for form, most in (("fp8", 1 / 16), ("int8", 1 / 50), ("nvfp4", 1 / 5)):
        if FORMATS[form].comfy_name not in comfy.quant_ops.QUANT_ALGOS:
            continue
        changed = with_lora(HostPlanner(quantised(files, form)), factors)
        changed.patcher.patch_model(changed.load_device)
        for name in ("mlp.gate_up_proj", "mlp.down_proj", "self_attn.o_proj"):
            weight = changed.patcher.model.get_submodule(f"{LANGUAGE}.0.{name}").weight.dequantize()
            right = expected[f"{LANGUAGE}.0.{name}.weight"]
            assert (weight - right).norm() <= right.norm() * most, (form, name)
        changed.patcher.unpatch_model(changed.load_device)


def test_plans_name_the_changed_planner(files):
    planner, factors = HostPlanner(files.planner), planner_factors(files)
    names = {planner.fingerprint, with_lora(planner, factors).fingerprint, with_lora(planner, factors, 0.5).fingerprint}
    assert len(names) == 3
    assert with_lora(planner, factors).fingerprint in names


def test_rslora_and_patterns_set_the_scale(files):
    factors = planner_factors(files, "mlp")
    planner = HostPlanner(files.planner)
    found = prompt_logits_of(with_lora(planner, factors, use_rslora=True, alpha_pattern={"gate_up_proj": 2.0,
                                                                                       "down_proj": 2.0}))
    expected = prompt_logits(merged_planner(files, factors, scale=2.0 / RANK**0.5))
    assert (found - expected).abs().max() <= 1e-4


def message_of(call) -> str:
    """Of the error that ``call`` raises."""
    try:
        call()
    except GLMImageError as error:
        return str(error)
    raise AssertionError("no error")


def test_the_token_embedding_is_refused(files):
    planner = HostPlanner(files.planner)
    factors = random_factors({"language_model.embed_tokens": (8, 8)})
    assert "embed_tokens" in message_of(lambda: with_lora(planner, factors))


def test_a_lora_of_another_size_is_refused(files):
    planner, name = HostPlanner(files.planner), f"{LANGUAGE}.0.self_attn.k_proj"
    rows, columns = planner_factors(files, name)[name][1].shape[0], planner.config.hidden_size
    message = message_of(lambda: with_lora(planner, random_factors({name: (2 * rows, columns)})))
    assert f"must change a matrix of {rows} x {columns} (got {2 * rows} x {columns})" in message


def test_a_file_of_which_nothing_fits_is_refused(files):
    planner = HostPlanner(files.planner)
    message = message_of(lambda: with_lora(planner, random_factors({"double_blocks.0.img_attn.qkv": (8, 8)})))
    assert "must have adapters for the planner (got base_model.model.model.double_blocks.0.img_attn.qkv)" in message


def test_another_model_is_refused(files):
    class Other:
        model = object()

    with peft_file(planner_factors(files)) as path:
        assert "must be a GLM-Image" in message_of(lambda: load_lora(path, Other(), None, 1.0, 1.0))


def test_nothing_connected_is_refused(files):
    assert "connect" in message_of(lambda: load_lora("nothing.safetensors", None, None, 1.0, 1.0))


def test_strengths_that_come_by_link_are_checked(files):
    planner = HostPlanner(files.planner)
    for strength in (float("nan"), float("inf"), 100.5):
        message = message_of(lambda strength=strength: load_lora("x", None, planner, 0.0, strength))
        assert "strength_planner must be from -100 to 100 (got" in message


def test_what_is_left_over_is_named_in_one_line(files):
    planner, factors = HostPlanner(files.planner), planner_factors(files, "o_proj")
    strays = random_factors({f"language_model.layers.{i}.self_attn.o_proj": (8, 8) for i in range(90, 95)})
    with patch.object(logging, "warning") as warning:
        with_lora(planner, factors | strays)
    (call,) = warning.call_args_list
    line = call.args[0] % call.args[1:]
    assert "layers.90.self_attn.o_proj" in line and line.endswith(" and 2 more") and "\n" not in line


def test_one_file_changes_both_models(files):
    model, planner = load_diffusion_model(files.diffusion_model), HostPlanner(files.planner)
    for_planner, for_model = planner_factors(files), random_factors({"transformer_blocks.0.attn1.to_q": (32, 32)})
    with peft_file(for_planner, prefix="") as path:
        save_file(load_file(path) | lora_tensors(for_model, "transformer"), path)
        changed_model, changed_planner = load_lora(path, model, planner, 0.5, 1.0)
    assert set(changed_model.patches) == {"diffusion_model.transformer_blocks.0.attn1.to_q.weight"}
    assert changed_planner.patcher.patches and changed_planner.vision.patches
    assert not model.patches and not planner.patcher.patches
