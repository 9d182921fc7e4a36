"""Plans that are saved, loaded and looked at in a real ComfyUI."""

import json
import os
import shutil
import urllib.parse
import urllib.request
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

from glm_core.plans import Plan, codebook_colours, load_plan, save_plan_image
from tests.host.graphs import (
    HEIGHT,
    PROMPT,
    SEED,
    TINY_FILES,
    WIDTH,
    error_message,
    load_saved,
    make_node,
    save_plan,
    save_tensors,
)
from tests.support.servers import RunFailed

WORKFLOW = {"nodes": [], "version": 0.4, "extra": {"名": "é"}}
CARRIED = "prompt", "workflow", "glm_image_plan"
ODD = "我的 plan é (1).png"  # a name with spaces, brackets and letters of several scripts


def planned(batch: int = 2) -> dict:
    """GLM-Image Plan as "plan"."""
    return {"planner": make_node("GLMImagePlannerLoader", planner_name=TINY_FILES["planner_name"]),
            "plan": make_node("GLMImagePlan", planner=["planner", 0], prompt=PROMPT, width=WIDTH, height=HEIGHT,
                              batch_size=batch, seed=SEED, temperature=0.9, top_p=0.75, top_k=16384)}


def saving(format: str, prefix: str, **inputs) -> dict:
    return make_node("GLMImageSavePlan", plan=["plan", 0], filename_prefix=prefix, format=format, **inputs)


def loading(name: str, file: str) -> dict:
    """GLM-Image Load Plan, whose plan is written to NAME.safetensors."""
    return {"loaded": make_node("GLMImageLoadPlan", file=file), "save": save_plan(name, ["loaded", 0])}


def check_equal(plan: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert plan.keys() == other.keys()
    assert all(torch.equal(plan[name], other[name]) for name in plan)


@pytest.fixture
def emptied(server) -> Path:
    """The output folder's folder of plans, empty."""
    shutil.rmtree(server.output / "plans", ignore_errors=True)
    return server.output / "plans"


@pytest.mark.parametrize("colours", [{}, {"planner": ["planner", 0]}], ids=["plain", "planner's colours"])
def test_pictures_show_and_carry_each_plan_with_the_workflow(server, emptied, colours):
    graph = planned() | {"saved": saving("png", "plans/made", **colours), "expected": save_plan("made", ["plan", 0])}
    shown = server.run(graph, extra_pnginfo={"workflow": WORKFLOW})["saved"]["images"]
    assert shown == [{"filename": f"made_0000{i}_.png", "subfolder": "plans", "type": "output"} for i in (1, 2)]
    expected = load_saved(server, "made")
    for i, image in enumerate(shown):
        with urllib.request.urlopen(f"{server.url}/view?{urllib.parse.urlencode(image)}", timeout=30) as answer:
            picture = Image.open(BytesIO(answer.read()))
        assert tuple(picture.text) == CARRIED and json.loads(picture.text["workflow"]) == WORKFLOW
        assert json.loads(picture.text["prompt"])["saved"]["class_type"] == "GLMImageSavePlan"
        server.run(loading("again", f"plans/{image['filename']} [output]"))
        check_equal(load_saved(server, "again"), {name: tensor[i : i + 1] for name, tensor in expected.items()})
        assert load_plan(emptied / image["filename"]).origins[0].prompt == PROMPT


def test_a_safetensors_file_holds_the_whole_batch(server, emptied):
    graph = planned() | {"saved": saving("safetensors", "plans/made"), "expected": save_plan("made", ["plan", 0])}
    assert len(server.run(graph)["saved"]["images"]) == 2
    server.run(loading("again", "plans/made_00001_.safetensors [output]"))
    check_equal(load_saved(server, "again"), load_saved(server, "made"))


def test_plans_are_saved_without_the_workflow_if_metadata_are_disabled(server, emptied):
    def saved_texts(disable: bool) -> set[str]:
        graph = planned(1) | {"switch": make_node("TestWithoutMetadata", plan=["plan", 0], disable=disable)}
        made = make_node("GLMImageSavePlan", plan=["switch", 0], filename_prefix=f"plans/{disable}", format="png")
        server.run(graph | {"saved": made}, extra_pnginfo={"workflow": WORKFLOW})
        with Image.open(emptied / f"{disable}_00001_.png") as picture:
            return set(picture.text)

    try:
        assert saved_texts(True) == {"glm_image_plan"}
    finally:
        assert saved_texts(False) == set(CARRIED)


def link_to_itself(path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def test_what_is_saved_can_be_chosen(server, emptied):
    server.run(planned() | {"saved": saving("png", "plans/made")})
    save_plan_image(Plan(torch.zeros(1, 2, 3, dtype=torch.int64)), server.inputs / "mine.PNG")
    Plan(torch.zeros(2, 2, 3, dtype=torch.int64)).save(server.inputs / "mine.safetensors")
    save_plan_image(Plan(torch.zeros(1, 2, 3, dtype=torch.int64)), server.inputs / ODD)
    (server.inputs / "notes.txt").write_text("no plan")
    link_to_itself(server.inputs / "loop.png")
    kind, settings = server.get("/object_info/GLMImageLoadPlan")["GLMImageLoadPlan"]["input"]["required"]["file"]
    names = settings["options"] if kind == "COMBO" else kind
    assert {"mine.PNG", "mine.safetensors", ODD, "plans/made_00001_.png [output]", "plans/made_00002_.png [output]"} \
        <= set(names) and not {"notes.txt", "loop.png"} & set(names)
    assert settings["image_upload"] is True
    server.run(loading("odd", ODD))
    assert (server.output / "odd.safetensors").exists()


def test_a_changed_file_is_loaded_again(server):
    ids = []
    for code in (1, 1, 2):
        save_plan_image(Plan(torch.full((1, 2, 3), code)), server.inputs / "changing.png")
        os.utime(server.inputs / "changing.png", (1, 1))
        (server.output / "changing.safetensors").unlink(missing_ok=True)
        server.run(loading("changing", "changing.png"))
        written = server.output / "changing.safetensors"
        ids.append(int(load_file(written)["ids"][0, 0, 0]) if written.exists() else None)
    assert ids == [1, None, 2]  # the second time, ComfyUI has the result already


@pytest.fixture
def bad_files(server) -> dict[str, str]:
    """Name in the input folder → what its error says."""
    plan, folder = Plan(torch.zeros(1, 2, 3, dtype=torch.int64)), server.inputs
    save_plan_image(plan, folder / "whole.png")
    data = (folder / "whole.png").read_bytes()
    (folder / "cut.png").write_bytes(data[:-30])
    place = data.index(b"glm_image_plan") + 40
    (folder / "edited.png").write_bytes(data[:place] + b"!" + data[place + 1 :])
    with Image.open(folder / "whole.png") as picture:
        picture.convert("RGBA").save(folder / "masked.png")
        picture.convert("RGB").save(folder / "photo.png", "JPEG")
    (folder / "huge.safetensors").write_bytes(save({"ids": torch.full((1, 2, 3), 2**62)}))
    (folder / "text.safetensors").write_text("no plan")
    return {"cut.png": "not a complete PNG file", "edited.png": "its plan is damaged",
            "masked.png": "mask editors and other programs write images anew", "photo.png": "(got a JPEG image",
            "huge.safetensors": "ids must be from 0 to", "text.safetensors": "not a complete safetensors file"}


def test_files_without_a_whole_plan_are_refused_in_one_line(server, bad_files):
    for name, expected in bad_files.items():
        message = error_message(server, loading("bad", name)).strip()
        assert expected in message and name in message and "\n" not in message


@pytest.mark.parametrize("name", ["../plan.png", "nowhere.png", "/etc/hostname", "../input/../server.log",
                                  "../../etc/hostname [output]", "../server.log [temp]", "", ".", "a\0b.png",
                                  "a" * 5000, "\ud800.png", "loop.png"])
def test_names_that_lead_elsewhere_are_refused(server, name):
    link_to_itself(server.inputs / "loop.png")
    with pytest.raises(RunFailed) as failure:
        server.run(loading("bad", name))
    details = json.dumps(failure.value.details)
    assert "file must be the name of a file in" in details and "Traceback" not in details


def preview(server, **inputs) -> torch.Tensor:
    """Pictures by GLM-Image Plan Preview [B, H, W, 3]."""
    graph = planned() | {"shown": make_node("GLMImagePlanPreview", plan=["plan", 0], **inputs),
                         "image": save_tensors("shown", image=["shown", 0]), "expected": save_plan("made", ["plan", 0])}
    assert len(server.run(graph)["shown"]["images"]) == 2
    return load_saved(server, "shown")["image"]


def test_a_connected_planner_gives_the_colours(server):
    picture = preview(server, grid="target", cell=2, planner=["planner", 0])
    file = load_file(server.models / "text_encoders" / TINY_FILES["planner_name"])
    (codebook,) = (tensor for name, tensor in file.items() if name.endswith("vqmodel.quantize.embedding.weight"))
    palette = codebook_colours(codebook)
    assert (picture[:, ::2, ::2] - palette[load_saved(server, "made")["ids"]]).abs().max() < 1e-3


def test_marks_and_both_grids_are_drawn(server):
    plain, lined = (preview(server, grid="both", cell=16, **marks) for marks in ({}, {"marks": "lines"}))
    assert plain.shape == lined.shape and plain.shape[1] == 32 and not torch.equal(plain, lined)
    numbered = preview(server, grid="both", cell=16, marks="lines and numbers")
    assert numbered.shape[1] > plain.shape[1] and numbered.shape[2] > plain.shape[2]


def test_confidence_wants_probabilities(server):
    file = server.inputs / "certain.safetensors"
    Plan(torch.zeros(1, 2, 3, dtype=torch.int64), log_probs=torch.zeros(1, 6)).save(file)
    graph = {"loaded": make_node("GLMImageLoadPlan", file=file.name),
             "shown": make_node("GLMImagePlanPreview", plan=["loaded", 0], grid="target", cell=2, show="confidence"),
             "image": save_tensors("heat", image=["shown", 0])}
    server.run(graph)
    assert (load_saved(server, "heat")["image"] == torch.tensor([253, 231, 37]) / 255).all()
    Plan(torch.zeros(1, 2, 3, dtype=torch.int64)).save(file)
    assert "must have the probabilities of its tokens" in error_message(server, graph)
