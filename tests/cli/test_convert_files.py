"""Which files ``convert`` writes, keeps and replaces, what it says before, and the folder that it makes for upload."""

import hashlib
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from glm_core.checkpoint import DIFFUSION, PART_NAMES, PARTS, PLANNER, REPOSITORY, VAE, convert, read_part
from glm_core.checkpoint.version import pack_version
from glm_core.cli import options
from tests.support.command_line import error_line, generate, run
from tests.support.foreign import write_foreign
from tests.support.hub import write_hub
from tests.support.tiny import WIDE, small_checkpoint, write_checkpoint

FILES = sorted(part.file for part in PARTS)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("private") / "model")


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("private") / "wide", WIDE)


def files(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def times(folder) -> dict:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


@pytest.mark.parametrize("names", [["vae"], ["vae", "glyph"], ["planner", "planner"], list(PART_NAMES)])
def test_only_the_named_parts_are_converted(names, model, tmp_path):
    assert run("convert", model, tmp_path, *(word for name in names for word in ("--part", name))) == 0
    assert files(tmp_path) == sorted({PART_NAMES[name].file for name in names})


def test_a_part_alone_needs_no_other(model, tmp_path):
    shutil.copytree(model / VAE.folder, tmp_path / "model" / VAE.folder)
    assert run("convert", tmp_path / "model", tmp_path / "out", "--part", "vae") == 0
    assert run("convert", tmp_path / "model", tmp_path / "out") == 1


def test_the_diffusion_model_alone_is_converted_without_colours(model, tmp_path, capsys):
    shutil.copytree(model / DIFFUSION.folder, tmp_path / "model" / DIFFUSION.folder)
    assert run("convert", tmp_path / "model", tmp_path / "out", "--part", "diffusion") == 0
    assert "without these colours, ComfyUI shows no picture while sampling" in capsys.readouterr().out
    assert "latents_rgb" not in read_part(tmp_path / "out" / DIFFUSION.file, DIFFUSION).config


@pytest.mark.parametrize("shape, found", [(None, "missing tensors: decoder.conv_out.bias"),
                                          ((5,), r"decoder.conv_out.bias must have the shape \[3\].*\(got \[5\]\)")])
def test_a_part_that_nobody_could_load_is_not_converted(shape, found, model, tmp_path, capsys):
    copy = shutil.copytree(model, tmp_path / "model")
    change(copy, "vae/diffusion_pytorch_model.safetensors", lambda tensors: tensors.pop("decoder.conv_out.bias")
           if shape is None else tensors.update({"decoder.conv_out.bias": torch.ones(shape)}))
    assert run("convert", copy, tmp_path / "out") == 1
    assert re.search(found, error_line(capsys)) and not (tmp_path / "out").exists()


def test_the_library_is_not_needed_where_nothing_is_quantised(model, tmp_path, monkeypatch):
    monkeypatch.setattr("glm_core.checkpoint.formats.library.find_spec", lambda package: None)
    assert run("convert", model, tmp_path, "--part", "vae", "--quantise", "int8") == 0
    assert files(tmp_path) == [VAE.file]


def test_a_dry_run_tells_everything_and_writes_nothing(wide, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("convert", wide, out, "--quantise", "nvfp4", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert not out.exists()
    told = dict(line.split(": ", 1) for line in lines[:4])
    assert run("convert", wide, out, "--quantise", "nvfp4") == 0
    assert sorted(told) == sorted(str(out / name) for name in files(out))
    assert all(told[str(path)] == f"{path.stat().st_size / 1e6:.1f} MB, new" for path in out.rglob("*.safetensors"))
    assert re.fullmatch(rf"disk of {tmp_path}: [\d.]+ [GM]B free, [\d.]+ MB needed \(enough\)", lines[4])
    assert lines[5].startswith("what fits on a card") and len(lines) == 12
    assert all(re.fullmatch(r" +\d+ GB: all stay on the card", line) for line in lines[6:])


def test_a_dry_run_tells_what_is_kept_replaced_and_removed(model, tmp_path, capsys):
    assert run("convert", model, tmp_path) == 0
    (tmp_path / VAE.file).write_bytes(b"other")
    (tmp_path / f"{VAE.file}.part").write_bytes(b"cut short")
    before = files(tmp_path), times(tmp_path)
    capsys.readouterr()
    assert run("convert", model, tmp_path, "--dry-run") == 0
    out = capsys.readouterr().out
    assert len(re.findall("MB, finished, is kept", out)) == 3
    assert re.search(rf"{VAE.file}: [\d.]+ MB, replaces another file", out)
    assert f"{VAE.file}.part: 0.0 MB, left by an interrupted run; it is removed first" in out
    assert (files(tmp_path), times(tmp_path)) == before
    assert run("convert", model, tmp_path) == 0 and run("convert", model, tmp_path, "--dry-run") == 0
    assert f"nothing to write: all files are in {tmp_path}" in capsys.readouterr().out


def test_the_size_that_is_told_is_that_of_the_file(wide, tmp_path):
    for format_name in (None, "fp8", "nvfp4"):
        targets = convert.find_targets(wide, tmp_path, format_name)
        written = []
        convert.prepare(targets)
        for target in targets:
            convert.convert_part(target, written.append)
            assert target.path.stat().st_size == target.size
        assert sum(written) == sum(target.size for target in targets if not target.finished)


class Cut(OSError):
    pass


def test_after_a_cut_finished_files_are_kept(model, tmp_path, capsys, monkeypatch):
    """The third file is cut in its middle."""
    real = convert.write_stream

    def cut(path, layout, tensors, *others):
        real(path, layout, cut_tensors(tensors) if path.name == PARTS[2].file.split("/")[1] else tensors, *others)

    def cut_tensors(tensors):
        yield next(iter(tensors))
        raise Cut("no more power")

    monkeypatch.setattr(convert, "write_stream", cut)
    assert run("convert", model, tmp_path) == 1
    assert files(tmp_path) == sorted(part.file for part in PARTS[:2])
    before = times(tmp_path)
    monkeypatch.undo()
    capsys.readouterr()
    assert run("convert", model, tmp_path) == 0
    assert files(tmp_path) == FILES and before.items() <= times(tmp_path).items()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path))]
    assert [line.endswith(", kept: it was finished") for line in lines] == [True, True, False, False]


def change(model, name, alter):
    tensors = load_file(model / name)
    alter(tensors)
    save_file(tensors, model / name, metadata={"format": "pt"})


def change_weights(model):
    change(model, "vae/diffusion_pytorch_model.safetensors",
           lambda tensors: tensors["decoder.conv_out.bias"].add_(1))


def change_config(model):
    path = model / "vae" / "config.json"
    path.write_text(path.read_text().replace('"sample_size": 1024', '"sample_size": 512'))


@pytest.mark.parametrize("harm", [change_weights, change_config])
def test_files_of_other_weights_are_replaced(harm, model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "model")
    assert run("convert", copy, tmp_path / "out") == 0
    old, before = (tmp_path / "out" / VAE.file).read_bytes(), times(tmp_path / "out")
    harm(copy)
    assert run("convert", copy, tmp_path / "out") == 0
    assert (tmp_path / "out" / VAE.file).read_bytes() != old
    changed = {name for name, time in times(tmp_path / "out").items() if before[name] != time}
    assert changed == {VAE.file.split("/")[1]}


def test_another_tokenizer_is_another_planner(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "model")
    assert run("convert", copy, tmp_path / "out") == 0
    before = times(tmp_path / "out")
    tokenizer = copy / "processor" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    assert run("convert", copy, tmp_path / "out") == 0
    changed = {name for name, time in times(tmp_path / "out").items() if before[name] != time}
    assert changed == {PLANNER.file.split("/")[1]}


def test_a_new_version_of_the_pack_keeps_finished_files(model, tmp_path, monkeypatch):
    assert run("convert", model, tmp_path) == 0
    before = times(tmp_path)
    monkeypatch.setattr(convert, "pack_version", lambda: "99.0")
    assert run("convert", model, tmp_path) == 0
    assert times(tmp_path) == before


def test_a_cut_copy_of_a_finished_file_is_replaced(model, tmp_path):
    assert run("convert", model, tmp_path) == 0
    whole = (tmp_path / VAE.file).read_bytes()
    (tmp_path / VAE.file).write_bytes(whole[:-1])
    assert run("convert", model, tmp_path) == 0
    assert (tmp_path / VAE.file).read_bytes() == whole


def test_a_folder_of_a_file_s_name_is_refused_before_anything_is_written(model, tmp_path, capsys):
    (tmp_path / VAE.file).mkdir(parents=True)
    assert run("convert", model, tmp_path) == 1
    assert "must be a file, or not be there (got a folder)" in error_line(capsys) and files(tmp_path) == []


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_without_room_nothing_is_written(options, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2_000_000))
    code = run("convert", model, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()
    if options:
        assert code == 0 and "2.0 MB free, 5.3 MB needed (too little)" in capsys.readouterr().out
    else:
        assert code == 1 and "the disk must have 5.3 MB free (got 2.0 MB)" in error_line(capsys)


def test_the_bar_is_quiet_where_nobody_looks(model, tmp_path, capsys):
    assert run("convert", model, tmp_path, "--part", "vae") == 0
    assert capsys.readouterr().err == ""


def test_the_bar_counts_bytes(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with options.byte_bar("written", 5_000_000) as advance:
        advance(5_000_000)
    assert "written: 100%" in (err := capsys.readouterr().err) and "5.00M/5.00M" in err


@pytest.fixture(scope="module")
def published(wide, tmp_path_factory):
    """A folder for upload with two formats, whose source has a licence of its own."""
    folder = tmp_path_factory.mktemp("published")
    source = shutil.copytree(wide, folder / "secret")
    (source / "LICENSE").write_text("MIT License, of the source")
    assert run("convert", source, "--publish", folder / "upload") == 0
    assert run("convert", source, "--publish", folder / "upload", "--quantise", "nvfp4", "--part", "planner") == 0
    return folder / "upload"


def table(card: str) -> list[list[str]]:
    """Cells of the rows that begin with a file."""
    return [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in card.splitlines() if "| `" in line[:3]]


def test_a_published_folder_has_files_card_sums_and_licences(published):
    others = "LICENSE", "LICENSE-X-OMNI", "README.md", "SHA256SUMS"
    assert files(published) == sorted([*FILES, PLANNER.quantised_file("nvfp4"), *others])
    assert (published / "LICENSE").read_text() == "MIT License, of the source"
    assert "Apache License" in (published / "LICENSE-X-OMNI").read_text()


def test_the_hashes_are_those_of_the_files(published):
    sums = dict(reversed(line.split("  ")) for line in (published / "SHA256SUMS").read_text().splitlines())
    assert sums.keys() == set(files(published)) - {"README.md", "SHA256SUMS"}
    assert all(hashlib.sha256((published / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())


def test_the_card_describes_every_file(published):
    card = (published / "README.md").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in table(card)}
    assert rows.keys() == {*FILES, PLANNER.quantised_file("nvfp4")}
    for name, (_, _, size, digest) in rows.items():
        data = (published / name).read_bytes()
        assert digest == hashlib.sha256(data).hexdigest() and size == f"{len(data) / 1e6:.1f} MB"
    assert rows[PLANNER.quantised_file("nvfp4")][:2] == ["planner", "nvfp4`: 4 bits, for Blackwell cards"]
    assert rows[DIFFUSION.file][:2] == ["diffusion model", "as released"]
    assert f"GLM-Image Native {pack_version()}" in card and "--publish published --quantise nvfp4" in card
    assert "secret" not in card and str(published.parent) not in card


def test_the_front_matter_is_yaml_that_hugging_face_knows(published):
    yaml = pytest.importorskip("yaml")
    _, front, _ = (published / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["license"] == "mit" and values["base_model"] == REPOSITORY
    assert values["base_model_relation"] == "quantized" and values["pipeline_tag"] == "text-to-image"
    assert values["language"] == ["en", "zh"] and "comfyui" in values["tags"]


def test_an_unquantised_folder_is_not_called_quantised(model, tmp_path):
    assert run("convert", model, "--publish", tmp_path) == 0
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "base_model_relation" not in card and "--quantise" not in card
    assert "MIT License" in (tmp_path / "LICENSE").read_text()


def test_the_card_says_what_was_restored(wide, tmp_path):
    """Such weights are not as released."""
    write_foreign(wide, tmp_path / "foreign", "bitsandbytes nf4")
    for added in ([], ["--quantise", "int8", "--part", "diffusion"]):
        assert run("convert", tmp_path / "foreign", "--publish", tmp_path / "upload", *added) == 0
    card = (tmp_path / "upload" / "README.md").read_text(encoding="utf-8")
    rows = {row[0]: row[2] for row in table(card)}
    restored = "restored to 16 bits from weights that bitsandbytes quantised"
    assert rows[PLANNER.file] == rows[DIFFUSION.file] == restored and rows[VAE.file] == "as released"
    assert rows[DIFFUSION.quantised_file("int8")].endswith(f", {restored}")
    assert f"were not made from {REPOSITORY} itself" in card


def test_a_dry_run_of_publishing_writes_nothing(model, tmp_path, capsys):
    assert run("convert", model, "--publish", tmp_path / "upload", "--dry-run") == 0
    out = capsys.readouterr().out
    assert not (tmp_path / "upload").exists()
    assert all(f"{tmp_path / 'upload' / name}: new" in out for name in ("README.md", "SHA256SUMS", "LICENSE"))


def test_a_published_folder_is_whole_and_draws(model, tmp_path, capsys):
    assert run("convert", model, "--publish", tmp_path / "upload") == 0
    assert run("check", tmp_path / "upload") == 0
    settings = "--prompt", "a", "--width", 64, "--height", 64, "--steps", 1
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    drawn = generate(tmp_path / "a", "--model", tmp_path / "upload", *settings)
    expected = generate(tmp_path / "b", "--model", model, *settings)
    assert drawn["ids"].equal(expected["ids"])
    torch.testing.assert_close(drawn["latent"], expected["latent"])


def test_the_cached_model_is_converted_checked_and_drawn(model, tmp_path, monkeypatch, capsys):
    write_hub(tmp_path / "hub", model)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert run("convert", REPOSITORY, tmp_path / "out") == 0 and files(tmp_path / "out") == FILES
    assert run("check", REPOSITORY) == 0
    assert generate(tmp_path, "--model", REPOSITORY, "--prompt", "a", "--width", 64, "--height", 64, "--steps", 1)


@pytest.mark.parametrize("command", [
    ["convert", REPOSITORY, "out"], ["check", REPOSITORY],
    ["generate", "--model", REPOSITORY, "--prompt", "a", "--out", "a.png"],
    ["evaluate", "--model", REPOSITORY, "--prompts", "a.jsonl"]])
def test_without_the_cached_model_the_command_that_downloads_it_is_named(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        run(*command)
    line = error_line(capsys)
    assert end.value.code == 2 and f"'hf download {REPOSITORY} --local-dir GLM-Image'" in line and str(tmp_path) in line
