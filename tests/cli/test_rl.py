"""The command rl, on a tiny random checkpoint."""

import json
import shutil

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from glm_core.checkpoint import DIFFUSION, PLANNER, read_part
from glm_core.checkpoint.lora import read_lora
from glm_core.pipeline import Compute, load_planner
from glm_core.rl import loop
from tests.support.command_line import error_line, run
from tests.support.reward_servers import serve_example
from tests.support.tasks import write_lines
from tests.support.tiny import small_checkpoint

PROMPTS = [{"prompt": f'A sign that says "{word}"', "texts": [word]} for word in ("a", "the", "in", "32")]
QUICK = ("--updates", 2, "--prompts", 2, "--group", 2, "--measure", 1, "--measure-steps", 1, "--save-every", 1,
         "--learning-rate", 0.01)
CPU = Compute(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture
def tasks(tmp_path):
    return write_lines(tmp_path / "tasks.jsonl", *PROMPTS)


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    """OCR reads nothing, and pictures have 64 x 64 pixels."""
    monkeypatch.setattr("glm_core.cli.rl.make_reader", lambda: lambda pixels: [])
    monkeypatch.setattr("glm_core.cli.rl.default_side", lambda model: 64)


def learn(part, model, out, tasks, *options):
    return run("rl", part, "--model", model, "--out", out, "--tasks", tasks, *QUICK, *options)


def planner_weights(folder):
    return read_part(folder / PLANNER.folder, PLANNER).tensors


def test_the_planner_learns_and_becomes_a_checkpoint(model, tmp_path, tasks, capsys):
    out = tmp_path / "out"
    assert learn("planner", model, out, tasks, "--reward", "likelihood=1") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["figure", "before", "after", "change"]
    assert printed[-1].startswith(f"New checkpoint: {out}.")
    assert any(line.startswith("prompts, T 1") and "words read" in line for line in printed)
    before, after = planner_weights(model), planner_weights(out)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys() and any("q_proj" in name for name in changed)
    assert not any(name.startswith(("visual", "vqmodel")) for name in changed)
    assert (out / "curves.png").stat().st_size > 1000
    lines = [json.loads(line) for line in (out / "training/planner.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2] and all("likelihood" in line for line in lines)
    assert set(json.loads((out / "training/report.json").read_text())) == {"before", "after"}
    load_planner(out, CPU)


def test_a_reward_that_finds_all_pictures_equally_good_teaches_nothing(model, tmp_path, tasks, capsys):
    """OCR reads nothing in any of them."""
    assert learn("decoder", model, tmp_path / "out", tasks, "--reward", "words=1") == 0
    assert capsys.readouterr().out.startswith("Nothing was learned: ")
    assert learn("planner", model, tmp_path / "other", tasks, "--reward", "likelihood=1") == 0
    assert "Nothing was learned" not in capsys.readouterr().out


def test_an_interrupted_run_goes_on_and_ends_with_the_same_weights(model, tmp_path, tasks, monkeypatch):
    options = "--reward", "likelihood=1"
    assert learn("planner", model, tmp_path / "whole", tasks, *options) == 0
    once = loop.update

    def interrupted(*args):
        monkeypatch.setattr(loop, "update", stop)
        return once(*args)

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "update", interrupted)
    assert learn("planner", model, tmp_path / "cut", tasks, *options) == 130
    monkeypatch.setattr(loop, "update", once)
    first = (tmp_path / "cut/training/before.json").stat().st_mtime_ns
    assert learn("planner", model, tmp_path / "cut", tasks, *options) == 0
    assert (tmp_path / "cut/training/before.json").stat().st_mtime_ns == first
    whole, cut = planner_weights(tmp_path / "whole"), planner_weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_run_is_not_continued_with_other_settings(model, tmp_path, tasks, capsys):
    assert learn("planner", model, tmp_path / "out", tasks, "--reward", "likelihood=1") == 0
    assert learn("planner", model, tmp_path / "out", tasks, "--reward", "likelihood=1", "--kl", 0.5) == 1
    assert "kl must be 0.01 (got 0.5)" in error_line(capsys)


def test_a_run_is_not_continued_with_other_prompts(model, tmp_path, tasks, capsys):
    """Nor are plans of other prompts drawn."""
    other = write_lines(tmp_path / "other.jsonl", *PROMPTS[::-1])
    for part, reward in ("planner", "likelihood=1"), ("decoder", "words=1"):
        out = tmp_path / part
        assert learn(part, model, out, tasks, "--reward", reward) == 0
        assert learn(part, model, out, other, "--reward", reward) == 1
        assert "tasks must be" in error_line(capsys)


def test_other_prompts_may_be_measured_after_the_run(model, tmp_path, capsys):
    tasks = write_lines(tmp_path / "many.jsonl", *({"prompt": f'"{i}"', "texts": [str(i)]} for i in range(12)))
    for count in (1, 2):  # the second time all is learned already
        assert learn("planner", model, tmp_path / "out", tasks, "--reward", "likelihood=1", "--measure", count) == 0
        assert f"0/{count} =" in capsys.readouterr().out
        figures = json.loads((tmp_path / "out/training/report.json").read_text())
        assert all(len(figures[when]["prompts, T 1"]["words read"]) == count for when in ("before", "after"))


def test_a_finished_run_can_get_more_updates_but_not_fewer(model, tmp_path, tasks, capsys):
    options = "--reward", "likelihood=1"
    assert learn("planner", model, tmp_path / "at once", tasks, *options) == 0
    for updates, code in ((1, 0), (2, 0), (1, 1)):
        assert learn("planner", model, tmp_path / "twice", tasks, *options, "--updates", updates) == code
    assert "--updates must be at least 2" in error_line(capsys)
    at_once, twice = planner_weights(tmp_path / "at once"), planner_weights(tmp_path / "twice")
    assert all(torch.equal(at_once[name], twice[name]) for name in at_once)


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("place, message", [
    ("", "must be another folder than the model's"), ("vae/out", "must not be in vae of the model")])
def test_the_models_folder_is_refused_before_any_work(model, tmp_path, tasks, capsys, place, message):
    before = contents(model)
    assert learn("planner", model, model / place, tasks, "--reward", "likelihood=1") == 1
    assert message in error_line(capsys) and contents(model) == before


def test_a_folder_with_another_model_is_refused(model, tmp_path, tasks, capsys):
    out = tmp_path / "out"
    (out / "vae").mkdir(parents=True)
    assert learn("planner", model, out, tasks, "--reward", "likelihood=1") == 1
    assert "must not have a model in it" in error_line(capsys)


def test_a_full_disk_is_one_line(model, tmp_path, tasks, capsys, monkeypatch):
    def save(*args):
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(loop, "save", save)
    assert learn("planner", model, tmp_path / "out", tasks, "--reward", "likelihood=1") == 1
    assert "No space left on device" in error_line(capsys)


def test_a_decoder_that_gives_no_numbers_is_refused(model, tmp_path, tasks, capsys):
    broken = shutil.copytree(model, tmp_path / "broken")
    for file in (broken / DIFFUSION.folder).glob("*.safetensors"):
        save_file({name: torch.full_like(tensor, torch.nan) for name, tensor in load_file(file).items()}, file)
    assert learn("decoder", broken, tmp_path / "out", tasks, "--reward", "shapes=1") == 1
    assert "pictures must have finite numbers" in error_line(capsys)


def test_loras_of_the_planner_are_peft_files(model, tmp_path, tasks, capsys):
    out = tmp_path / "out"
    assert learn("planner", model, out, tasks, "--reward", "likelihood=1", "--lora", 2) == 0
    lora = read_lora(out / "adapter_model.safetensors")
    assert lora.adapters and not lora.unknown and not (out / PLANNER.folder).exists()
    assert f"New LoRA: {out / 'adapter_model.safetensors'}. To use it" in capsys.readouterr().out


@pytest.mark.parametrize("part, reward", [("planner", "likelihood=1"), ("decoder", "words=1")])
def test_a_model_that_cannot_be_copied_is_refused_before_anything_is_measured(model, tmp_path, tasks, capsys, part,
                                                                              reward):
    assert run("convert", model, tmp_path / "models") == 0
    assert learn(part, tmp_path / "models", tmp_path / "out", tasks, "--reward", reward) == 1
    assert "must be in the released layout" in error_line(capsys)
    assert not (tmp_path / "out/training/before.json").exists()


@pytest.mark.parametrize("method", ["flow-grpo", "nft"])
def test_the_decoder_learns_from_a_server(model, tmp_path, tasks, method):
    out = tmp_path / "out"
    with serve_example() as url:
        assert learn("decoder", model, out, tasks, "--reward", f"http={url}", "--method", method) == 0
    before, after = (read_part(folder / DIFFUSION.folder, DIFFUSION).tensors for folder in (model, out))
    assert any(not torch.equal(before[key], after[key]) for key in before) and before.keys() == after.keys()
    assert len(list((out / "training/plans").glob("*.safetensors"))) == len(PROMPTS)


@pytest.mark.parametrize("part, options, message", [
    ("planner", ("--group", 1), "--group must be at least 2 (got 1)"),
    ("planner", ("--updates", 3, "--reuse", 2), "--updates must be a multiple of --reuse, 2 (got 3)"),
    ("planner", ("--learning-rate", 0), "--learning-rate must be above 0 and at most 1 (got 0)"),
    ("planner", ("--average", 1), "--average must be from 0 to below 1 (got 1)"),
    ("planner", ("--clip", 0), "--clip must be above 0"),
    ("planner", ("--seed", -1), "--seed must be from 0 to 18446744073709551615 (got -1)"),
    ("decoder", ("--clip", -1), "--clip must be above 0 and at most 1 (got -1)"),
    ("decoder", ("--kl", "nan"), "--kl must be at least 0 (got nan)"),
    ("decoder", ("--method", "nft", "--kl", -1), "--kl must be at least 0 (got -1)"),
    ("decoder", ("--method", "nft", "--beta", "nan"), "--beta must be above 0 and at most 10 (got nan)"),
    ("planner", ("--lora", 0), "--lora must be at least 1 (got 0)"),
    ("planner", ("--dtype", "bfloat16"), "--dtype must be float32 without --lora (got bfloat16)"),
    ("planner", ("--reward", "beauty=1"), "--reward must be NAME=WEIGHT with one of plan,"),
    ("decoder", ("--method", "nft", "--window", 1), "--window must be left out with --method nft (got 1)"),
    ("decoder", ("--beta", 1), "--beta must be left out with --method flow-grpo"),
    ("decoder", ("--steps", 3), "--window must be at most 1"),
    ("decoder", ("--steps", 2), "--steps must be at least 3 with --method flow-grpo (got 2)"),
    ("planner", (), "--reward must be none of plan, letters, truth with --tasks"),
    ("decoder", ("--reward", "truth=1"), "--reward must be none of plan, letters, truth with --tasks"),
    ("decoder", ("--reward", "likelihood=1"), "--reward of the decoder must judge pictures (got likelihood"),
])
def test_bad_options_are_one_line(model, tmp_path, tasks, capsys, part, options, message):
    assert learn(part, model, tmp_path / "out", tasks, *options) == 1
    assert message in error_line(capsys)


def test_random_posters_need_the_embedded_models_codes(model, tmp_path, capsys):
    assert run("rl", "planner", "--model", model, "--out", tmp_path / "out") == 1
    assert "--tasks must be given" in error_line(capsys)


@pytest.mark.parametrize("lines, message", [
    (PROMPTS[:1], "must have at least two prompts"),
    ([*PROMPTS, {"prompt": "a", "texts": [], "images": ["a.png"]}], "must have no reference images"),
])
def test_bad_files_of_prompts_are_one_line(model, tmp_path, capsys, lines, message):
    bad = write_lines(tmp_path / "bad.jsonl", *lines)
    assert learn("planner", model, tmp_path / "out", bad, "--reward", "likelihood=1") == 1
    assert message in error_line(capsys)
