"""``check``: a folder that is whole, and one line for every fault of one that is not."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from glm_core.checkpoint import convert_folder
from glm_core.pipeline import check
from tests.support.command_line import error_line, run
from tests.support.tiny import SMALL, Tiny, make_tokenizer, small_checkpoint

DIT = "transformer/diffusion_pytorch_model-0000{}-of-00002.safetensors"
VAE_FILE = "vae/diffusion_pytorch_model.safetensors"
GLYPH_FILE = "text_encoder/model.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("private") / "my-model")


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "secret" / "my-model")


def change(path, alter):
    tensors = load_file(path)
    alter(tensors)
    save_file(tensors, path)


def change_config(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def lose_shard(model):
    (model / DIT.format(2)).unlink()


def cut_shard(model):
    whole = (model / DIT.format(1)).read_bytes()
    (model / DIT.format(1)).write_bytes(whole[: len(whole) // 2])


def lose_tensor(model):
    change(model / VAE_FILE, lambda tensors: tensors.pop("decoder.conv_out.bias"))


def reshape(model):
    change(model / GLYPH_FILE, lambda tensors: tensors.update(
        {"encoder.final_layer_norm.weight": torch.ones(SMALL.glyph_width + 1)}))


def bring_other_part(model):
    shutil.copy(model / VAE_FILE, model / GLYPH_FILE)


def bring_other_tokenizer(model):
    make_tokenizer(Tiny().vocabulary).save(str(model / "processor" / "tokenizer.json"))


def bring_tokenizer_of_codes(model):
    path = model / "processor" / "tokenizer.json"
    data = json.loads(path.read_text())
    vocabulary = data["model"]["vocab"]
    vocabulary["A"], vocabulary["<|dit_token_3|>"] = 3, vocabulary["A"]
    path.write_text(json.dumps(data))


def lose_part(model):
    shutil.rmtree(model / "vae")


def disagree(model):
    change_config(model / "vae" / "config.json", latent_channels=8)


def leave_out_key(model):
    path = model / "transformer" / "config.json"
    config = json.loads(path.read_text())
    del config["num_layers"]
    path.write_text(json.dumps(config))


def bring_nan(model):
    change(model / VAE_FILE, lambda tensors: tensors["decoder.conv_out.bias"].fill_(float("nan")))


def leave_gap(model):
    """As a download into a file of the full size does that is cut short."""
    change(model / GLYPH_FILE, lambda tensors: tensors["encoder.block.1.layer.0.SelfAttention.k.weight"].zero_())


def swap_image_tokens(model):
    start = SMALL.vocabulary.image_start
    change_config(model / "vision_language_encoder" / "config.json", image_start_token_id=start + 1,
                  image_end_token_id=start)


def give_control_id(model, name, found):
    path = model / "processor" / "tokenizer.json"
    data = json.loads(path.read_text())
    next(token for token in data["added_tokens"] if token["content"] == name)["id"] = found
    path.write_text(json.dumps(data))


def bring_equal_controls(model):
    give_control_id(model, "<sop>", SMALL.vocabulary.controls["<eop>"])


def bring_control_among_codes(model):
    give_control_id(model, "<sop>", 7)


FAULTS = [
    (leave_gap, "glyph encoder: encoder.block.1.layer.0.SelfAttention.k.weight must not be all zero"),
    (swap_image_tokens, "image_start_token_id of the config must be 64, the id of <|dit_token_64|> (got 65)"),
    (bring_equal_controls, "tokenizer: <sop> and <eop> must have different ids"),
    (bring_control_among_codes, "tokenizer: the ids of text must be at least 66, after the image's (got 7)"),
    (lose_shard, "missing shards diffusion_pytorch_model-00002-of-00002.safetensors"),
    (cut_shard, "not a complete safetensors file"),
    (lose_tensor, "VAE: missing tensors: decoder.conv_out.bias"),
    (reshape, "glyph encoder: encoder.final_layer_norm.weight must have the shape [48], as the config says (got [49])"),
    (bring_other_part, "not a GLM-Image glyph encoder: it holds the VAE"),
    (bring_other_tokenizer, "tokenizer: ids must be below"),
    (bring_tokenizer_of_codes, "tokenizer: the ids of text must be at least 66, after the image's (got 3)"),
    (lose_part, "no VAE found"),
    (disagree, "VAE my-model/vae: its config must have latent_channels = 16, as the tensors do (got 8)"),
    (leave_out_key, "the configuration lacks num_layers"),
    (bring_nan, "drawing: every number must be finite"),
]


@pytest.mark.parametrize("harm, expected", FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_is_one_line(copy, capsys, harm, expected):
    harm(copy)
    assert run("check", copy) == 1
    printed = capsys.readouterr()
    faults = [line for line in printed.out.splitlines() if line.startswith("fault: ")]
    assert any(expected in line for line in faults), faults
    assert "glm_core check" not in printed.out
    assert "secret" not in printed.out + printed.err and "whole" not in printed.out


def test_a_whole_folder_is_whole(model, capsys):
    assert run("check", model) == 0
    out = capsys.readouterr().out
    assert "whole: " in out and "drawing: 64x64 pixels" in out and "fault" not in out
    assert "my-model" in out and "private" not in out


@pytest.mark.parametrize("quantised", [None, "fp8", "int8"])
def test_a_converted_folder_is_whole(model, tmp_path, quantised):
    list(convert_folder(model, tmp_path, quantised))
    assert run("check", tmp_path) == 0


def test_nothing_is_drawn_where_memory_is_short(model, monkeypatch, capsys):
    monkeypatch.setattr(check, "physical_memory", lambda: 0)
    assert run("check", model) == 0
    assert "drawing: not tried" in capsys.readouterr().out


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert run("check", tmp_path / "nothing") == 1
    assert error_line(capsys) == "error: nothing: 1 of the lines above is a fault"
