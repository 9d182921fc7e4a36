"""Formats of other tools: read as the tools read them, or refused by name."""

import json
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from glm_core.checkpoint import DIFFUSION, FOREIGN, PARTS, PLANNER, convert_folder, locate, read_part
from glm_core.checkpoint.formats import open_layers
from glm_core.checkpoint.formats.sdnq import means, unpacked
from glm_core.errors import GLMImageError
from tests.support.command_line import error_line, run
from tests.support.foreign import WRITERS, pack, write_foreign
from tests.support.tiny import WIDE, write_checkpoint

FIXTURES = Path(__file__).parent / "fixtures"
# relative error of the fixtures' Gaussian matrix, as the tool restores it
ERRORS = {"sdnq_uint4": 0.0901, "sdnq_uint4_bf16": 0.0901, "sdnq_uint4_svd": 0.0777, "sdnq_int5": 0.0566,
          "sdnq_uint6": 0.0265, "sdnq_int7": 0.0147, "sdnq_int8": 0.0074, "sdnq_int8_matmul": 0.0059,
          "autoround_int4": 0.1059, "bnb_nf4": 0.0925, "bnb_nf4_double": 0.0924, "bnb_int8": 0.0074}
LAYER = "blocks.0.to_q."
STATE = "weight.quant_state.bitsandbytes__nf4"


def read_fixture(name: str) -> tuple[dict, torch.Tensor, dict]:
    """The tensors of a model with one layer, the matrix as the tool restored it, and the tool's config."""
    path = FIXTURES / f"{name}.safetensors"
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["quantization_config"])
    tensors = load_file(path)
    restored = tensors.pop("restored")
    return {LAYER + key: tensor for key, tensor in tensors.items()}, restored, config


def restore(tensors: dict, config: dict) -> torch.Tensor:
    opened, packed = open_layers(tensors, config, "test")
    assert opened[f"{LAYER}weight"].shape == packed[f"{LAYER}weight"].shape
    return packed[f"{LAYER}weight"].restore()


@pytest.mark.parametrize("name", ERRORS)
def test_matrices_are_restored_to_the_bit_as_the_tool_restores_them(name):
    tensors, expected, config = read_fixture(name)
    restored = restore(tensors, config)
    assert restored.dtype == torch.bfloat16 and torch.equal(restored, expected)
    exact = torch.randn(32, 256, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    assert float((restored - exact).norm() / exact.norm()) == pytest.approx(ERRORS[name], abs=5e-5)


def test_each_fixture_has_its_test():
    assert {path.stem for path in FIXTURES.glob("*.safetensors")} == ERRORS.keys()


def test_other_tensors_stay_and_those_of_the_layer_become_one():
    tensors, _, config = read_fixture("sdnq_uint4")
    others = {"norm.weight": torch.ones(3), f"{LAYER}bias": torch.ones(32), "blocks.0.scaled.weight": torch.ones(2, 2)}
    opened, packed = open_layers(tensors | others, config, "test")
    assert opened.keys() == {*others, f"{LAYER}weight"} and packed.keys() == {f"{LAYER}weight"}
    assert opened[f"{LAYER}weight"].is_meta


@given(st.sampled_from([4, 5]), st.lists(st.integers(0, 255), min_size=16, max_size=16))
def test_unpacking_inverts_packing(bits, numbers):
    numbers = torch.tensor(numbers) % 2**bits
    assert torch.equal(unpacked(pack(numbers, bits), bits).flatten().long(), numbers)


@pytest.mark.parametrize("fixture, change, found", [
    ("sdnq_uint4", {"use_hadamard": True}, r"use_hadamard of SDNQ must be False .*\(got True\)"),
    ("sdnq_uint4", {"use_codebook": True}, "use_codebook of SDNQ must be False"),
    ("sdnq_uint4", {"scale_dtype": "uint8"}, r"scale_dtype of SDNQ must be None or 'none' .*\(got 'uint8'\)"),
    ("sdnq_uint4", {"quant_conv": True}, "quant_conv of SDNQ must be False"),
    ("sdnq_uint4", {"modules_quant_config": {"to_q": {}}}, "modules_quant_config of SDNQ must be {} or None"),
    ("sdnq_uint4", {"tilted": 3}, r"SDNQ must have no 'tilted' .*\(got 3\)"),
    ("sdnq_uint4", {"weights_dtype": "uint2"}, "its numbers must be one of int4, .*, not uint2"),
    ("sdnq_uint4", {"weights_dtype": "float4_e2m1fn"}, "not float4_e2m1fn"),
    ("sdnq_uint4", {"weights_dtype": "int4"}, "int4 must come without zero_point"),
    ("sdnq_int5", {"weights_dtype": "uint5"}, "uint5 must come with zero_point"),
    ("sdnq_int8", {"weights_dtype": "int5"}, "int5 must be stored in bytes"),
    ("sdnq_uint4", {"modules_dtype_dict": {"int5": ["to_q"]}}, "int5 must come without zero_point"),
    ("sdnq_uint4", {"modules_dtype_dict": ["to_q"]}, "cannot be converted from SDNQ"),
    ("autoround_int4", {"bits": 8}, r"bits of AutoRound must be 4 .*\(got 8\)"),
    ("autoround_int4", {"group_size": 32}, "group_size of AutoRound must be 128"),
    ("autoround_int4", {"sym": False}, "sym of AutoRound must be True"),
    ("autoround_int4", {"packing_format": "auto_round:auto_awq"}, "packing_format of AutoRound must be"),
    ("autoround_int4", {"rotation_configs": [{"size": 8}]}, "AutoRound must have no .*rotation_configs"),
    ("bnb_nf4", {"bnb_4bit_quant_storage": "bfloat16"}, "bnb_4bit_quant_storage of bitsandbytes must be 'uint8'")])
def test_settings_that_are_not_known_are_named(fixture, change, found):
    tensors, _, config = read_fixture(fixture)
    with pytest.raises(GLMImageError, match=f"^test: .*{found}") as caught:
        restore(tensors, config | change)
    assert "\n" not in str(caught.value)


def as_json(state: dict) -> torch.Tensor:
    return torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)


def nf4_state(**change) -> torch.Tensor:
    return as_json({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [32, 256]} | change)


@pytest.mark.parametrize("fixture, change, found", [
    ("sdnq_int5", {"scale_2": torch.ones(1)}, "a layer of SDNQ must have only .*got blocks.0.to_q.scale_2"),
    ("sdnq_int5", {"scale": torch.ones(32, 1, 3, 3)}, "scales must be for a matrix"),
    ("sdnq_int5", {"scale": torch.ones(33, 1)}, "each row must have a whole number of groups"),
    ("sdnq_uint4_svd", {"svd_up": torch.ones(3, 3)}, "svd_up and svd_down must fit it"),
    ("sdnq_uint4_svd", {"svd_up": None}, "'svd_up'"),
    ("sdnq_uint4", {"zero_point": torch.tensor(1.0)}, "scale and zero_point must be numbers of one type, as many"),
    ("sdnq_uint4", {"scale": torch.ones(32, 4, 1, dtype=torch.int32)}, "scale and zero_point must be numbers of one"),
    ("sdnq_uint4", {"scale": torch.full((32, 4, 1), torch.nan)}, "every number must be finite"),
    ("sdnq_int5", {"weight": torch.ones(5, 1024).byte()}, "the weight must have the shape of packed int5"),
    ("sdnq_int8", {"weight": torch.ones(256, 32).char()}, "the weight must have the shape of packed int8"),
    ("sdnq_int8", {"weight": torch.ones(0, 256).char()}, "the weight must have the shape of packed int8"),
    ("sdnq_uint6", {"weight": torch.ones(0, 3).byte()}, r"its shape must not be \[32, 0\]"),
    ("autoround_int4", {"scales": torch.ones(2, 32, dtype=torch.int32)}, "must have a scale for each 128 numbers"),
    ("autoround_int4", {"qzeros": torch.full((2, 4), -0x77777778, dtype=torch.int32)}, "zero points must all be 8"),
    ("autoround_int4", {"scales": torch.ones(4, 32)}, "must have a scale for each 128 numbers"),
    ("autoround_int4", {"g_idx": torch.zeros(256, dtype=torch.int32)}, "only qweight, qzeros, scales and a bias"),
    ("bnb_nf4", {STATE: as_json({"quant_type": "fp4"})}, "its state must be that of nf4"),
    ("bnb_nf4", {STATE: as_json({"quant_type": "nf4", "tilt": 1})}, "its state must be that of nf4"),
    ("bnb_nf4", {STATE: torch.ones(3)}, "must be text"),
    ("bnb_nf4", {STATE: as_json({"quant_type": "nf4", "blocksize": 64, "shape": [32, 256], "dtype": "int4"})}, "int4"),
    ("bnb_nf4", {STATE: as_json({"quant_type": "nf4", "blocksize": 0, "shape": [32, 256]})}, "zero"),
    ("bnb_nf4", {STATE: nf4_state(shape=[-32, -256])}, r"its shape must not be \[-32, -256\]"),
    ("bnb_nf4", {STATE: nf4_state(shape=[32.0, 256.0])}, r"its shape must not be \[32.0, 256.0\]"),
    ("bnb_nf4", {"weight.quant_map": torch.ones(3)}, "weight.quant_map must have 16 floating-point numbers"),
    ("bnb_nf4", {"weight.quant_map": torch.ones(17)}, "weight.quant_map must have 16 floating-point numbers"),
    ("bnb_nf4", {"weight.absmax": torch.ones(128, 1)}, "it must have a scale for each 64 numbers"),
    ("bnb_nf4", {"weight.absmax": torch.ones(128).int()}, "scales must be floating-point"),
    ("bnb_nf4_double", {"weight.nested_absmax": torch.ones(2)}, "it must have a scale for each 256 scales"),
    ("bnb_int8", {"SCB": torch.ones(32).int()}, "its scales must be floating-point"),
    ("bnb_int8", {"SCB": torch.full((32,), torch.inf)}, "every number must be finite"),
    ("bnb_nf4", {"weight.absmax": torch.ones(7)}, "it must have a scale for each 64 numbers"),
    ("bnb_nf4_double", {"weight.absmax": torch.ones(128)}, "8-bit scales, and no others"),
    ("bnb_int8", {"weight_format": torch.tensor(1, dtype=torch.uint8)}, "its weight_format must be 0"),
    ("bnb_int8", {"SCB": torch.ones(31)}, "a matrix in int8 and a scale for each row")])
def test_layers_that_are_not_known_are_named(fixture, change, found):
    tensors, _, config = read_fixture(fixture)
    changed = tensors | {LAYER + name: tensor for name, tensor in change.items()}
    with pytest.raises(GLMImageError, match=f"^test: .*{found}") as caught:
        restore({name: tensor for name, tensor in changed.items() if tensor is not None}, config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pattern, expected", [
    ("blocks.0.to_q.weight", True), ("to_q", True), ("blocks.0", False), (".blocks.0", True), (".to_q", False),
    ("blocks.*.to_q", True), ("blocks.*.to_k", False), ("*to_q", True), ("blocks.[0].to_q", False)])
def test_a_config_names_matrices_as_sdnq_does(pattern, expected):
    assert means(pattern, f"{LAYER}weight") is expected


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("released"), WIDE)


@pytest.fixture(scope="module", params=WRITERS)
def foreign(request, released, tmp_path_factory):
    """A folder in the format of another tool, and the tensors that it restores, by part."""
    folder = tmp_path_factory.mktemp("foreign")
    return folder, write_foreign(released, folder, request.param)


def test_folders_are_converted_to_what_they_restore(foreign, released, tmp_path):
    folder, expected = foreign
    list(convert_folder(folder, tmp_path))
    for part in PARTS:
        before, after = read_part(locate(released, part), part), read_part(locate(tmp_path, part), part)
        wanted = {name.removeprefix("model."): tensor for name, tensor in expected.get(part, before.tensors).items()}
        assert after.tensors.keys() == wanted.keys() and after.config == before.config
        assert all(torch.equal(after.tensors[name], wanted[name]) for name in wanted)
        if part in expected:
            assert {torch.bfloat16, torch.float32} == {tensor.dtype for tensor in after.tensors.values()}


def test_folders_are_quantised_as_they_are_converted(foreign, tmp_path):
    folder, expected = foreign
    errors = {}
    for converted in convert_folder(folder, tmp_path, "int8"):
        errors |= converted.errors
    assert errors.keys() <= {name.removeprefix("model.") for part in expected for name in expected[part]}
    assert errors and max(error.relative for error in errors.values()) < 0.02


@pytest.mark.parametrize("part", [PLANNER, DIFFUSION], ids=lambda part: part.title)
def test_what_is_stored_can_still_be_told(foreign, part):
    """Two folders may restore matrices of one shape from other numbers."""
    folder, _ = foreign
    stored = load_file(folder / part.folder / "model.safetensors")
    tensors = read_part(locate(folder, part), part, foreign=True).stored()
    assert tensors.keys() == {name.removeprefix("model.") for name in stored}
    assert all(torch.equal(tensors[name.removeprefix("model.")], tensor) for name, tensor in stored.items())


@pytest.mark.parametrize("part", [PLANNER, DIFFUSION], ids=lambda part: part.title)
def test_loading_names_the_command_that_converts(foreign, part):
    folder, _ = foreign
    expected = (rf"^{part.title} .*: its weights are in a format of (SDNQ|AutoRound|bitsandbytes), in which ComfyUI "
                rf"does not compute; convert them: python -m glm_core convert {folder} MODELS, ")
    with pytest.raises(GLMImageError, match=expected):
        read_part(locate(folder, part), part)


def test_a_matrix_of_another_shape_than_the_config_says_is_refused(released, tmp_path, capsys):
    """Though it suits its own layer."""
    write_foreign(released, tmp_path / "foreign", "bitsandbytes nf4")
    path = tmp_path / "foreign" / DIFFUSION.folder / "model.safetensors"
    tensors, layer = load_file(path), "transformer_blocks.1.attn1.to_k."
    state = json.loads(bytes(tensors[layer + STATE].tolist()))
    rows, columns = state["shape"]
    tensors[layer + STATE] = as_json(state | {"shape": [2 * rows, columns // 2]})
    save_file(tensors, path)
    assert run("convert", tmp_path / "foreign", tmp_path / "out") == 1
    expected = rf"{layer}weight must have the shape \[{rows}, {columns}\], as the config says \(got \[{2 * rows}, "
    assert re.search(expected, error_line(capsys)) and not (tmp_path / "out").exists()


def test_drawing_names_the_command_that_converts(foreign, tmp_path, capsys):
    folder, _ = foreign
    assert run("generate", "--model", folder, "--prompt", "x", "--out", tmp_path / "x.png") == 1
    assert f"convert them: python -m glm_core convert {folder} MODELS" in error_line(capsys)


def test_every_foreign_format_is_written_here():
    assert WRITERS.keys() == FOREIGN.keys()
