import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from glm_core.checkpoint import DIFFUSION, PLANNER, convert_folder, dequantise, locate, read_part
from glm_core.errors import GLMImageError
from glm_core.pipeline import Place, load, load_planner
from tests.tiny import Tiny, write_checkpoint

CPU = Place(torch.device("cpu"), torch.float32)
INSIDE = {PLANNER: "language_model.layers.", DIFFUSION: "transformer_blocks."}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("released"), Tiny())


@pytest.fixture(scope="module")
def fp8(released, tmp_path_factory):
    out = tmp_path_factory.mktemp("fp8")
    assert {path.name for path in convert_folder(released, out, fp8=True)} == {
        "glm_image_planner_fp8.safetensors", "glm_image_glyph_encoder.safetensors", "glm_image_diffusion_model_fp8.safetensors",
        "glm_image_vae.safetensors"}
    return out


@pytest.mark.parametrize("part", INSIDE, ids=lambda part: part.title)
def test_large_matrices_are_fp8_with_scale_and_mark_and_the_rest_is_untouched(released, fp8, part):
    before, after = (read_part(locate(folder, part), part).tensors for folder in (released, fp8))
    assert before.keys() <= after.keys()
    quantised = {name for name in before if after[name].dtype == torch.float8_e4m3fn}
    assert quantised == {name for name, tensor in before.items()
                         if name.startswith(INSIDE[part]) and tensor.ndim == 2 and ".norm1." not in name}
    for name, tensor in before.items():
        if name in quantised:
            layer = name.removesuffix("weight")
            assert json.loads(bytes(after[layer + "comfy_quant"].tolist())) == {"format": "float8_e4m3fn"}
            assert after[layer + "weight_scale"].dtype == torch.float32 and after[layer + "weight_scale"].ndim == 0
            restored = dequantise(after, name, "test")
            # three bits of mantissa, and the steps of the smallest numbers
            assert ((restored - tensor.float()).abs() <= tensor.float().abs() / 16 + tensor.abs().max() / 448 * 2**-9).all()
        else:
            assert torch.equal(after[name], tensor)
    assert len(after) == len(before) + 2 * len(quantised)


def test_without_a_host_fp8_is_restored_as_it_is_read(released, fp8):
    for read in (lambda folder: load(folder, DIFFUSION, CPU), lambda folder: load_planner(folder, CPU)[0]):
        whole, restored = (read(folder).state_dict() for folder in (released, fp8))
        for name, tensor in whole.items():
            assert restored[name].dtype == torch.float32
            assert (restored[name] - tensor).abs().max() <= tensor.abs().max() / 16, name


@pytest.mark.parametrize("mark", [{"format": "nvfp4"}, None])
def test_what_only_comfyui_can_read_is_named(fp8, tmp_path, mark):
    tensors = load_file(fp8 / DIFFUSION.fp8_file)
    layer = "transformer_blocks.0.attn1.to_q."
    del tensors[layer + "comfy_quant"]
    if mark:
        tensors[layer + "comfy_quant"] = torch.tensor(list(json.dumps(mark).encode()), dtype=torch.uint8)
    source = read_part(locate(fp8, DIFFUSION), DIFFUSION)
    file = tmp_path / DIFFUSION.file
    file.parent.mkdir()
    save_file(tensors, file, metadata=source.metadata)
    with pytest.raises(GLMImageError, match=f"{layer}weight is quantised as .*outside ComfyUI only float8_e4m3fn"):
        load(tmp_path, DIFFUSION, CPU)
