import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from glm_core.checkpoint import PARTS
from glm_core.images import read_image
from glm_core.ocr import TextBox
from glm_core.pipeline import default_side
from glm_core.plans import Plan, best_plans, load_plan, select
from tests.support.command_line import error_line, run
from tests.support.pictures import blobs
from tests.support.tiny import small_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


def generate(model, out, *options):
    """Exit code of ``generate`` for a picture of 96 x 64 pixels in two steps."""
    return run("generate", "--model", model, "--prompt", "a 'sign'", "--width", 96, "--height", 64, "--steps", 2,
               "--out", out, *options)


def test_a_batch_of_pictures_with_plan_and_latent(model, tmp_path, capsys):
    files = {name: tmp_path / f"{name}.safetensors" for name in ("plan", "latent")}
    assert generate(model, tmp_path / "a.png", "--batch", 2, "--plan-out", files["plan"], "--latent-out",
                    files["latent"]) == 0
    pictures = [np.asarray(Image.open(tmp_path / name)) for name in ("a.png", "a-1.png")]
    assert all(picture.shape == (64, 96, 3) for picture in pictures) and (pictures[0] != pictures[1]).any()
    plan, latent = load_file(files["plan"]), load_file(files["latent"])["latent"]
    assert plan["ids"].shape == (2, 2, 3) and plan["preview"].shape == (2, 3, 4) and plan["ids"].dtype == torch.int64
    assert latent.shape == (2, 16, 8, 12) and latent.dtype == torch.float32
    printed = capsys.readouterr()
    assert "a-1.png: 96x64" in printed.out and "plan:" in printed.err and "draw:" in printed.err


def test_a_picture_that_is_not_of_numbers_is_not_written(model, tmp_path, capsys):
    broken = shutil.copytree(model, tmp_path / "model")
    for path in (broken / "transformer").glob("*.safetensors"):
        save_file({name: tensor.fill_(float("nan")) for name, tensor in load_file(path).items()}, path)
    assert generate(broken, tmp_path / "a.png", "--latent-out", tmp_path / "latent.safetensors") == 1
    assert "a.png (the model gave NaN or infinity; 'python -m glm_core check DIR'" in error_line(capsys)
    assert not (tmp_path / "a.png").exists() and (tmp_path / "latent.safetensors").exists()


def test_names_of_files_and_progress_bars_do_not_share_lines(model, tmp_path):
    terminal = StringIO()
    with redirect_stdout(terminal), redirect_stderr(terminal):
        assert generate(model, tmp_path / "a.png", "--batch", 2) == 0
    lines = terminal.getvalue().splitlines()
    assert {f"{tmp_path / name}: 96x64, a 'sign'" for name in ("a.png", "a-1.png")} <= set(lines)


def test_each_of_several_prompts_is_drawn_as_if_it_were_the_only_one(model, tmp_path, capsys):
    assert generate(model, tmp_path / "a.png", "--prompt", "another 'sign'", "--sheet", tmp_path / "sheet.png") == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("/")[-1] for line in printed] == [
        "a.png: 96x64, a 'sign'", "a-1.png: 96x64, another 'sign'", "sheet.png: all images"]
    assert generate(model, tmp_path / "alone.png") == 0
    both, alone = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("a.png", "alone.png"))
    assert np.abs(both - alone).max() <= 1
    assert np.abs(both - np.asarray(Image.open(tmp_path / "a-1.png"))).max() > 1
    assert Image.open(tmp_path / "sheet.png").width > 2 * 256


def test_the_seeds_of_a_prompt_follow_those_of_the_prompt_before(model, tmp_path):
    """In a command with batches of 2, prompt 1 is drawn as a command of its own draws it with seed + 2."""
    assert generate(model, tmp_path / "a.png", "--prompt", "another 'sign'", "--batch", 2, "--seed", 5) == 0
    assert run("generate", "--model", model, "--prompt", "another 'sign'", "--width", 96, "--height", 64, "--steps", 2,
               "--seed", 7, "--batch", 2, "--out", tmp_path / "alone.png") == 0
    for together, alone in (("a-2.png", "alone.png"), ("a-3.png", "alone-1.png")):
        pictures = [np.asarray(Image.open(tmp_path / name)).astype(int) for name in (together, alone)]
        assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_the_likeliest_of_several_plans_is_drawn(model, tmp_path):
    """Every image has plans of its own, whose seeds follow one another; so have the prompts after it."""
    assert generate(model, tmp_path / "a.png", "--batch", 2, "--best-of", 3, "--seed", 5, "--plan-out",
                    tmp_path / "best.safetensors") == 0
    assert generate(model, tmp_path / "b.png", "--batch", 6, "--seed", 5, "--plan-out",
                    tmp_path / "all.safetensors") == 0
    best, everything = (Plan.load(tmp_path / f"{name}.safetensors") for name in ("best", "all"))
    groups = [best_plans(select(everything, first, 3), 1)[0] for first in (0, 3)]
    assert torch.equal(best.ids, torch.cat([group.ids for group in groups]))
    assert best.origins == groups[0].origins + groups[1].origins
    assert generate(model, tmp_path / "c.png", "--prompt", "a 'sign'", "--best-of", 3, "--seed", 2) == 0
    alone = tmp_path / "alone.png"
    assert generate(model, alone, "--best-of", 3, "--seed", 5) == 0
    assert np.abs(read_image(alone) - read_image(tmp_path / "c-1.png")).max() <= 1 / 255


def test_a_line_for_each_image_says_which_words_are_wrong(model, tmp_path, capsys, monkeypatch):
    """With a stand-in for the OCR, which sees the saved pixels."""
    seen = []

    def find_text(pixels):
        seen.append(pixels)
        return [TextBox("SIGN", (10.0, 20, 30, 40), 10.0, 10.0)] if len(seen) == 1 else []

    monkeypatch.setattr("glm_core.cli.generate.load_ocr", lambda: find_text)
    assert generate(model, tmp_path / "a.png", "--batch", 2, "--check-text") == 0
    lines = [line.split("/")[-1] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["a.png: 96x64, a 'sign'", "a.png: 1 of 1 words right", "a-1.png: 96x64, a 'sign'",
                     "a-1.png: 0 of 1 words right; wrong: SIGN (read nothing)"]
    for pixels, name in zip(seen, ("a.png", "a-1.png")):
        assert np.array_equal(pixels, np.asarray(Image.open(tmp_path / name)))


def test_the_largest_seed_is_one_of_two_prompts_too(model, tmp_path):
    assert generate(model, tmp_path / "a.png", "--prompt", "another 'sign'", "--seed", 2**64 - 1) == 0
    assert (tmp_path / "a-1.png").exists()


def test_an_option_for_one_plan_is_refused_with_two_prompts(model, tmp_path, capsys):
    assert generate(model, tmp_path / "a.png", "--prompt", "another", "--plan-out", tmp_path / "plan.safetensors") == 1
    assert "--plan-out takes exactly one --prompt (got 2)" in capsys.readouterr().err


def test_the_default_side_is_one_that_the_model_was_trained_for(model, tmp_path):
    assert default_side(model) == 1024
    config = model / "vision_language_encoder" / "config.json"
    copy = shutil.copytree(model, tmp_path / "small")
    for sides, expected in ([64, 256], 128), (None, 1024):
        values = json.loads(config.read_text()) | {"trained_sides": sides}
        (copy / "vision_language_encoder" / "config.json").write_text(json.dumps(values))
        assert default_side(copy) == expected


def test_plans_are_saved_and_read_as_pictures(model, tmp_path):
    """One for each plan of the batch, named as the images are."""
    options = "--batch", 2, "--seed", 3
    for name in ("plan.png", "plan.safetensors"):
        assert generate(model, tmp_path / "a.png", *options, "--plan-out", tmp_path / name) == 0
    saved = Plan.load(tmp_path / "plan.safetensors")
    for i, name in enumerate(("plan.png", "plan-1.png")):
        loaded, item = load_plan(tmp_path / name), select(saved, i)
        assert torch.equal(loaded.ids, item.ids) and torch.equal(loaded.coarse, item.coarse)
        assert loaded.origins == item.origins
    assert run("generate", "--model", model, "--prompt", "a 'sign'", "--steps", 2, "--plan-in", tmp_path / "plan-1.png",
               "--out", tmp_path / "b.png", "--plan-out", tmp_path / "copy.safetensors") == 0
    assert torch.equal(Plan.load(tmp_path / "copy.safetensors").ids, saved.ids[1:])


def test_plan_in_and_noise_in_give_the_same_latent_again(model, tmp_path):
    plan, first, second = (tmp_path / f"{name}.safetensors" for name in ("plan", "first", "second"))
    assert generate(model, tmp_path / "a.png", "--seed", 3, "--plan-out", plan, "--latent-out", first) == 0
    noise = torch.randn(1, 16, 8, 12, generator=torch.Generator().manual_seed(3))
    save_file({"noise": noise}, tmp_path / "noise.safetensors")
    assert generate(model, tmp_path / "a.png", "--seed", 99, "--plan-in", plan, "--latent-out", second,
                    "--noise-in", tmp_path / "noise.safetensors") == 0
    assert torch.equal(load_file(first)["latent"], load_file(second)["latent"])


def test_a_given_plan_needs_no_planner_and_sets_the_size(model, tmp_path):
    assert generate(model, tmp_path / "a.png", "--plan-out", tmp_path / "plan.safetensors") == 0
    copy = shutil.copytree(model, tmp_path / "copy", ignore=shutil.ignore_patterns("vision_language_encoder"))
    given = "--plan-in", tmp_path / "plan.safetensors", "--steps", 2
    assert run("generate", "--model", copy, "--prompt", "a 'sign'", "--out", tmp_path / "b.png", *given) == 0
    first, second = (np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in "ab")
    assert np.abs(first - second).max() <= 1


def test_greedy_plans_do_not_depend_on_the_seed(model, tmp_path):
    for seed in (1, 2):
        assert generate(model, tmp_path / "a.png", "--seed", seed, "--top-k", 1, "--plan-out",
                        tmp_path / f"{seed}.safetensors") == 0
    assert torch.equal(load_file(tmp_path / "1.safetensors")["ids"], load_file(tmp_path / "2.safetensors")["ids"])


def test_pictures_can_be_drawn_in_bfloat16(model, tmp_path):
    assert generate(model, tmp_path / "a.png", "--dtype", "bfloat16") == 0


def test_converted_parts_draw_what_the_folder_draws(model, tmp_path, capsys):
    assert run("convert", model, tmp_path / "parts") == 0
    assert capsys.readouterr().out.count(" MB") == len(PARTS)
    for name, source in (("folder", model), ("parts", tmp_path / "parts")):
        assert generate(source, tmp_path / "a.png", "--latent-out", tmp_path / f"{name}.safetensors") == 0
    folder, parts = (load_file(tmp_path / f"{name}.safetensors")["latent"] for name in ("folder", "parts"))
    assert (folder - parts).abs().max() <= 1e-4  # rounding depends on the alignment of the weights in memory


@pytest.mark.parametrize("options, message", [
    (("--width", 100), "width must be a multiple of 32 from 32 to 4096 (got 100)"),
    (("--height", 8192), "height must be a multiple of 32 from 32 to 4096 (got 8192)"),
    (("--batch", 0), "--batch must be at least 1 (got 0)"),
    (("--steps", 0), "--steps must be at least 1 (got 0)"),
    (("--temperature", 0), "temperature must be from 0.05 to 2.0 (got 0.0)"),
    (("--top-p", 2), "top_p must be from 0.01 to 1.0 (got 2.0)"),
    (("--top-k", 0), "top_k must be from 1 to 16384 (got 0)"),
    (("--model", "nowhere"), "model folder nowhere: no planner found"),
    (("--plan-in", "nowhere.safetensors"), "plan file nowhere.safetensors: must be a file (got no such file)"),
    (("--noise-in", "nowhere.safetensors"), "--noise-in nowhere.safetensors: must be a file (got no such file)"),
])
def test_bad_input_ends_with_one_line_and_an_exit_code(model, tmp_path, capsys, options, message):
    assert generate(model, tmp_path / "a.png", *options) == 1
    assert message in error_line(capsys)
    assert not (tmp_path / "a.png").exists()


def test_noise_of_another_size_is_refused(model, tmp_path, capsys):
    save_file({"noise": torch.zeros(1, 16, 4, 4)}, tmp_path / "noise.safetensors")
    assert generate(model, tmp_path / "a.png", "--noise-in", tmp_path / "noise.safetensors") == 1
    assert "noise must have the shape [1, 16, 8, 12] to match the plan (got [1, 16, 4, 4])" in capsys.readouterr().err


def test_plan_with_an_id_out_of_range_is_refused(model, tmp_path, capsys):
    save_file({"ids": torch.full((1, 2, 3), 65)}, tmp_path / "plan.safetensors")
    assert generate(model, tmp_path / "a.png", "--plan-in", tmp_path / "plan.safetensors") == 1
    assert "plan: ids must be from 0 to 63 (got 65)" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_refused(model, tmp_path, capsys):
    assert generate(model, tmp_path / "a.png", "--device", "cuda") == 1
    assert "torch sees no GPU" in capsys.readouterr().err


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "source.png"
    blobs(320, 200, seed=0).save(path)
    return path


def test_reference_images_change_plan_and_latent(model, picture, tmp_path):
    """With none, one and two images, of a size at which upstream fails."""
    plans, latents = [], []
    for count in range(3):
        files = tmp_path / f"plan{count}.safetensors", tmp_path / f"latent{count}.safetensors"
        assert generate(model, tmp_path / "a.png", *["--image", picture] * count, "--width", 256, "--height", 256,
                        "--plan-out", files[0], "--latent-out", files[1]) == 0
        plans.append(load_file(files[0]))
        latents.append(load_file(files[1])["latent"])
    assert ["preview" in plan for plan in plans] == [True, False, False]
    assert not torch.equal(plans[1]["ids"], plans[2]["ids"])
    assert (latents[1] - latents[2]).abs().max() > 1e-2


def test_transparent_grey_palette_and_rotated_images_are_read(model, picture, tmp_path):
    image = Image.open(picture)
    for name, variant in (("alpha", image.convert("RGBA")), ("grey", image.convert("L")),
                          ("palette", image.convert("P"))):
        variant.save(tmp_path / f"{name}.png")
        assert generate(model, tmp_path / "a.png", "--image", tmp_path / f"{name}.png") == 0
    rotated = Image.Exif()
    rotated[0x0112] = 6  # orientation: a quarter turn
    image.save(tmp_path / "rotated.jpg", exif=rotated)
    assert read_image(tmp_path / "rotated.jpg").shape == (1, 320, 200, 3)


@pytest.mark.parametrize("size, message", [((900, 100), "the aspect ratio must be at most 4"),
                                           ((8, 20), "both sides must be at least 16 pixels")])
def test_images_of_sizes_that_the_model_cannot_read_are_refused(model, tmp_path, capsys, size, message):
    Image.new("RGB", size).save(tmp_path / "bad.png")
    assert generate(model, tmp_path / "a.png", "--image", tmp_path / "bad.png") == 1
    error = capsys.readouterr().err
    assert message in error and f"got {size[0]}x{size[1]}" in error


def test_files_that_are_not_images_are_refused(model, tmp_path, capsys):
    (tmp_path / "text.png").write_text("hello")
    for name, message in (("text.png", "Pillow cannot read this file as an image"), ("missing.png", "no such file")):
        assert generate(model, tmp_path / "a.png", "--image", tmp_path / name) == 1
        error = capsys.readouterr().err
        assert name in error and message in error
