import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glm_core.checkpoint import DIFFUSION_STYLES, PLANNER_STYLES, read_lora
from glm_core.checkpoint.adapters import ALPHA as ALPHA_KIND
from glm_core.checkpoint.adapters import DOWN, UP
from glm_core.checkpoint.lora import split_name
from glm_core.errors import GLMImageError
from tests.host.in_process.lora_files import (
    ALPHA,
    HALVES,
    PEFT_PLANNER,
    RANK,
    STYLES,
    loha_tensors,
    lokr_tensors,
    lora_tensors,
    random_factors,
    write_peft,
)

SHAPES = {"transformer_blocks.0.attn1.to_out.0": (6, 8), "transformer_blocks.0.ff.net.0.proj": (10, 4),
          "norm_out.linear": (4, 2)}
FACTORS = random_factors(SHAPES)
MODULE = next(iter(SHAPES))
METADATA = "lora_adapter_metadata"


def write(folder: Path, tensors: dict, metadata: dict | None = None) -> Path:
    save_file(tensors, folder / "file.safetensors", metadata)
    return folder / "file.safetensors"


def alphas(path: Path) -> set[float]:
    return {adapter.tensors[ALPHA_KIND].item() for adapter in read_lora(path).adapters.values()}


@pytest.mark.parametrize("halves", HALVES)
@pytest.mark.parametrize("style", STYLES)
def test_every_style_and_spelling_is_read(tmp_path, style, halves):
    lora = read_lora(write(tmp_path, lora_tensors(FACTORS, style, halves)))
    adapters = lora.matching(DIFFUSION_STYLES, SHAPES)
    assert lora.unknown == ()
    assert list(adapters) == list(SHAPES)
    for module, (down, up) in FACTORS.items():
        assert torch.equal(adapters[module].tensors[DOWN], down)
        assert torch.equal(adapters[module].tensors[UP], up)
        assert adapters[module].tensors[ALPHA_KIND] == ALPHA
        adapters[module].check(SHAPES[module], None)


@pytest.mark.parametrize("make, given", [(loha_tensors, FACTORS), (lokr_tensors, SHAPES)], ids=["loha", "lokr"])
@pytest.mark.parametrize("style", STYLES)
def test_loha_and_lokr_are_read(tmp_path, style, make, given):
    lora = read_lora(write(tmp_path, make(given, style)))
    adapters = lora.matching(DIFFUSION_STYLES, SHAPES)
    assert lora.unknown == ()
    for module, shape in SHAPES.items():
        assert adapters[module].shape() == shape


@pytest.mark.parametrize("name, module, kind", [
    ("a.b.lora_A.weight", "a.b", DOWN), ("a.b.lora_B.style.weight", "a.b", UP), ("a.b.lora_A", "a.b", DOWN),
    ("a.b_lora.up.weight", "a.b", UP), ("a.b.lora_linear_layer.down.weight", "a.b", DOWN),
    ("lora_unet_a_b.lora_up.weight", "lora_unet_a_b", UP), ("lora_transformer_a.alpha", "lora_transformer_a", "alpha"),
    ("a.b.lora_B.bias", "a.b.lora_B", "bias"), ("a.lora_embedding_A", "a", "lora_embedding_A"), ("a", "", "a"),
])
def test_names_fall_into_module_and_kind(name, module, kind):
    assert split_name(name) == (module, kind)


@pytest.mark.parametrize("prefix", PLANNER_STYLES.dotted)
def test_planner_names_are_found(tmp_path, prefix):
    module = "language_model.layers.0.self_attn.q_proj"
    lora = read_lora(write_peft(tmp_path, random_factors({module: (8, 4)}), prefix))
    assert list(lora.matching(PLANNER_STYLES, [module])) == [module]


def test_alpha_of_a_peft_config_beside_the_file(tmp_path):
    assert alphas(write_peft(tmp_path, FACTORS, lora_alpha=64)) == {64}


def test_alpha_of_rank_stabilised_loras(tmp_path):
    assert alphas(write_peft(tmp_path, FACTORS, lora_alpha=64, use_rslora=True)) == {64 * RANK**0.5}


def test_alpha_patterns_name_the_ends_of_modules(tmp_path):
    pattern = {"linear": 1, "ff.net.0.proj": 2, "f.net.0.proj": 3}
    assert alphas(write_peft(tmp_path, FACTORS, lora_alpha=64, alpha_pattern=pattern)) == {1, 2, 64}


@pytest.mark.parametrize("prefix", ["transformer.", ""])
def test_alpha_of_the_metadata(tmp_path, prefix):
    config = {f"{prefix}{key}": value for key, value in {"r": RANK, "lora_alpha": 16, "bias": None}.items()}
    tensors = lora_tensors(FACTORS, "transformer" if prefix else "bare", alpha=None)
    assert alphas(write(tmp_path, tensors, {METADATA: json.dumps(config)})) == {16}


def test_alpha_of_the_tensors_comes_first(tmp_path):
    config = json.dumps({"transformer.r": RANK, "transformer.lora_alpha": 16})
    assert alphas(write(tmp_path, lora_tensors(FACTORS, "transformer"), {METADATA: config})) == {ALPHA}


def test_a_config_beside_a_file_of_another_tool_is_not_its_own(tmp_path):
    write_peft(tmp_path, FACTORS)
    lora = read_lora(write(tmp_path, lora_tensors(FACTORS, "diffusion_model", alpha=None)))
    assert not any(ALPHA_KIND in adapter.tensors for adapter in lora.adapters.values())


def test_a_peft_file_without_its_config_is_named_in_the_log(tmp_path, caplog):
    path = write_peft(tmp_path, FACTORS)
    (tmp_path / "adapter_config.json").unlink()
    read_lora(path)
    assert "no adapter_config.json beside it" in caplog.text


@pytest.mark.parametrize("config, message", [
    ({"peft_type": "LOKR"}, "peft_type must be LORA (got LOKR)"),
    ({"use_dora": True}, "use_dora must be false"),
    ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights must leave the model's weights as they are (got pissa"),
    ({"r": 2 * RANK}, f"r must be {RANK}, as in "),
    ({"lora_alpha": "much"}, "lora_alpha must be a number (got 'much')"),
    ({"lora_alpha": float("nan")}, "lora_alpha must be a number (got nan)"),
    ({"r": None}, "lacks r"),
    ({"alpha_pattern": [1]}, "alpha_pattern must be a JSON object (got list)"),
    ({"alpha_pattern": {"(a+)+$": 1}}, "alpha_pattern must have names of modules (got '(a+)+$')"),
    ({"alpha_pattern": {"to_q": "x"}}, "alpha_pattern: to_q must be a number (got 'x')"),
    ({"rank_pattern": {"linear": 7}}, f"r must be {RANK}, as in {PEFT_PLANNER}norm_out.linear of the file (got 7)"),
])
def test_bad_configs_are_refused(tmp_path, config, message):
    path = write_peft(tmp_path, FACTORS, **config)
    with pytest.raises(GLMImageError) as failure:
        read_lora(path)
    assert message in str(failure.value) and "adapter_config.json" in str(failure.value)


def change(kind: str, tensor: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """A LoRA of one module with one tensor replaced, or left out."""
    tensors = {DOWN: torch.ones(2, 8), UP: torch.ones(6, 2), ALPHA_KIND: torch.tensor(1.0)} | {kind: tensor}
    return {f"transformer.{MODULE}.{kind}": tensor for kind, tensor in tensors.items() if tensor is not None}


@pytest.mark.parametrize("tensors, message", [
    (change(DOWN, None), "must have lora_down.weight beside alpha, lora_up.weight"),
    (change(UP, None), "must have lora_up.weight beside alpha, lora_down.weight"),
    (change(UP, torch.ones(6, 3)), "must have one rank (got 3 in lora_up.weight, 2 in lora_down.weight)"),
    (change(UP, torch.ones(7, 2)), "must change a matrix of 6 x 8 (got 7 x 8)"),
    (change("diff", torch.ones(6, 8)),
     "must have one kind of adapter (got alpha, diff, lora_down.weight, lora_up.weight)"),
    (change(UP, torch.ones(6)), "must have a matrix as lora_up.weight (got 6)"),
    (change(UP, torch.ones(())), "must have a matrix as lora_up.weight (got a single number)"),
    (change(ALPHA_KIND, torch.ones(2)), "must have one finite number as alpha (got [1.0, 1.0])"),
    (change(ALPHA_KIND, torch.tensor(torch.nan)), "must have one finite number as alpha (got nan)"),
    (change(UP, torch.full((6, 2), torch.nan)), "must have finite numbers as lora_up.weight (got NaN or infinity)"),
    (change(UP, torch.ones(6, 2, dtype=torch.int8)),
     "must have floating-point numbers as lora_up.weight (got torch.int8)"),
    (change("dora_scale", torch.ones(7, 1)), "must have a dora_scale for each of 6 rows (got 7 x 1)"),
    ({f"transformer.{MODULE}.alpha": torch.tensor(1.0)}, "must have a change of weight or bias beside alpha"),
    ({f"transformer.{MODULE}.diff": torch.ones(8, 6)}, "must change a matrix of 6 x 8 (got 8 x 6)"),
    ({f"transformer.{MODULE}.diff_b": torch.ones(8)}, "must change a bias of 6 (got 8)"),
])
def test_adapters_that_do_not_suit_their_module_are_refused(tmp_path, tensors, message):
    adapter = read_lora(write(tmp_path, tensors)).matching(DIFFUSION_STYLES, [MODULE])[MODULE]
    with pytest.raises(GLMImageError) as failure:
        adapter.check((6, 8), (6,))
    assert str(failure.value).endswith(f"{MODULE} {message}")


def test_a_module_with_two_adapters_is_refused(tmp_path):
    other = random_factors(SHAPES)
    lora = read_lora(write(tmp_path, lora_tensors(FACTORS, "bare") | lora_tensors(other, "kohya")))
    with pytest.raises(GLMImageError, match="must have one adapter"):
        lora.matching(DIFFUSION_STYLES, SHAPES)


def test_names_out_of_a_file_keep_messages_in_one_line(tmp_path):
    name = "bad\n\0" + 1000 * "x"
    adapter = read_lora(write(tmp_path, {f"{name}.alpha": torch.ones(1)})).adapters[name]
    with pytest.raises(GLMImageError) as failure:
        adapter.check((1, 1), None)
    assert "bad??xxx" in str(failure.value) and len(str(failure.value)) < 500


def test_dora_of_peft_is_refused(tmp_path):
    tensors = lora_tensors(FACTORS, "peft") | {f"base_model.model.{MODULE}.lora_magnitude_vector": torch.ones(6)}
    with pytest.raises(GLMImageError, match="DoRA of PEFT is not supported"):
        read_lora(write(tmp_path, tensors))


def test_tensors_of_no_known_kind_are_kept_by_name(tmp_path):
    stray = f"transformer.{MODULE}.lora_B.bias"
    lora = read_lora(write(tmp_path, lora_tensors(FACTORS, "transformer") | {stray: torch.ones(6)}))
    assert lora.unknown == (stray,)
    assert lora.names(without=lora.adapters) == [stray]


@pytest.mark.parametrize("content, message", [
    (b"", "not a complete safetensors file"), (b"\xff" * 100, "not a safetensors file"),
    (b"\x10" + 7 * b"\0" + b"{" * 16, "its header: not valid JSON"),
], ids=["empty", "header", "json"])
def test_a_malformed_file_is_refused(tmp_path, content, message):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(GLMImageError, match=message):
        read_lora(path)


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(GLMImageError, match=r"must be a file \(got a device, pipe or socket\)"):
        read_lora(tmp_path / "pipe.safetensors")


def test_other_kinds_of_files_are_refused(tmp_path):
    with pytest.raises(GLMImageError, match=r"must be a \.safetensors file"):
        read_lora(tmp_path / "adapter_model.bin")


def test_fingerprints_tell_files_and_strengths_apart(tmp_path):
    lora = read_lora(write(tmp_path, lora_tensors(FACTORS)))
    other = read_lora(write(tmp_path, lora_tensors(random_factors(SHAPES, seed=1))))
    prints = [lora.fingerprint_on("a", 1.0), lora.fingerprint_on("b", 1.0), lora.fingerprint_on("a", 0.5),
              other.fingerprint_on("a", 1.0)]
    assert len(set(prints)) == 4 and {len(text) for text in prints} == {12}
    assert lora.fingerprint_on("a", 1.0) == prints[0]
