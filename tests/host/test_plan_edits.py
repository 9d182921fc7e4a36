"""The nodes that change plans without a model: joined, cropped, composed, with room around them."""

import json

import pytest
import torch
from safetensors import safe_open

from tests.host.graphs import (
    HEIGHT,
    PROMPT,
    SEED,
    TINY_FILES,
    WIDTH,
    error_message,
    id_of,
    inputs_of,
    load_saved,
    make_node,
    save_plan,
    save_tensors,
    small_workflow,
)

OTHER_PROMPT = "a shop window that says \"SALE\" and \"OPEN\""


def planned(**inputs) -> dict:
    """GLM-Image Plan as "planned", twice: as "other" with another prompt and seed."""
    settings = {"planner": ["planner", 0], "width": WIDTH, "height": HEIGHT, "batch_size": 1, "temperature": 0.9,
                "top_p": 0.75, "top_k": 16384} | inputs
    return {"planner": make_node("GLMImagePlannerLoader", planner_name=TINY_FILES["planner_name"]),
            "planned": make_node("GLMImagePlan", prompt=PROMPT, seed=SEED, **settings),
            "other": make_node("GLMImagePlan", prompt=OTHER_PROMPT, seed=SEED + 1, **settings)}


def run_plans(server, graph: dict, *nodes: str) -> list[dict]:
    """The plans that these nodes give, as tensors by name."""
    saving = {f"save_{node}": save_plan(f"edits.{node}", [node, 0]) for node in nodes}
    server.run(graph | saving)
    return [load_saved(server, f"edits.{node}") for node in nodes]


def saved_origins(server, node: str) -> list[dict]:
    """Those of a plan that ``run_plans`` saved."""
    with safe_open(server.output / f"edits.{node}.safetensors", "pt") as file:
        return json.loads(file.metadata()["origins"])


def test_joined_plans_are_selected_again(server):
    graph = planned(batch_size=2) | {
        "joined": make_node("GLMImageJoinPlans", plan1=["planned", 0], plan2=["other", 0]),
        "selected": make_node("GLMImageSelectPlan", plan=["joined", 0], index=2, count=2)}
    first, other, joined, selected = run_plans(server, graph, "planned", "other", "joined", "selected")
    assert torch.equal(joined["ids"], torch.cat([first["ids"], other["ids"]]))
    for name in ("ids", "preview"):
        assert torch.equal(selected[name], other[name])


def test_a_part_put_back_gives_the_plan(server):
    graph = planned() | {
        "part": make_node("GLMImageCropPlan", plan=["planned", 0], width=64, height=32, x=32, y=32),
        "whole": make_node("GLMImageComposePlans", base=["planned", 0], other=["part", 0], x=32, y=32)}
    plan, part, whole = run_plans(server, graph, "planned", "part", "whole")
    assert torch.equal(part["ids"], plan["ids"][:, 1:2, 1:3]) and "preview" not in part
    assert torch.equal(whole["ids"], plan["ids"])
    (origin,) = saved_origins(server, "whole")
    assert origin["operation"] == "compose" and [source["prompt"] for source in origin["sources"]] == [PROMPT]


def composed(value: float) -> dict:
    """Of two plans, with a mask of this value."""
    return planned() | {
        "mask": make_node("SolidMask", value=value, width=50, height=20),
        "composed": make_node("GLMImageComposePlans", base=["planned", 0], other=["other", 0], x=-32, y=0,
                              mask=["mask", 0])}


def test_a_mask_says_what_is_pasted(server):
    base, other, pasted = run_plans(server, composed(1.0), "planned", "other", "composed")
    assert torch.equal(pasted["ids"][:, :, :2], other["ids"][:, :, 1:])
    assert torch.equal(pasted["ids"][:, :, 2], base["ids"][:, :, 2])
    base, unchanged = run_plans(server, composed(0.0), "planned", "composed")
    assert torch.equal(unchanged["ids"], base["ids"])


def test_the_quoted_texts_of_all_prompts_are_encoded(server):
    graph = composed(1.0) | {
        "clip": make_node("GLMImageGlyphEncoderLoader", encoder_name=TINY_FILES["encoder_name"], quotes="natural"),
        "both": make_node("GLMImageConditioning", clip=["clip", 0], plan=["composed", 0]),
        "texts": make_node("CLIPTextEncode", clip=["clip", 0], text="\"OPEN\" \"SALE\""),
        "save_both": save_tensors("edits.both", conditioning=["both", 0]),
        "save_texts": save_tensors("edits.texts", conditioning=["texts", 0])}
    server.run(graph)
    found, expected = (load_saved(server, f"edits.{name}")["conditioning"] for name in ("both", "texts"))
    assert torch.equal(found, expected)


def test_room_is_made_and_marked(server):
    graph = planned() | {
        "padded": make_node("GLMImagePadPlan", plan=["planned", 0], left=0, top=32, right=64, bottom=0),
        "image": make_node("MaskToImage", mask=["padded", 1]),
        "save_mask": save_tensors("edits.mask", image=["image", 0])}
    plan, padded = run_plans(server, graph, "planned", "padded")
    assert padded["ids"].shape == (1, 3, 5) and torch.equal(padded["ids"][:, 1:, :3], plan["ids"])
    mask = load_saved(server, "edits.mask")["image"][..., 0]
    assert mask.shape == (1, HEIGHT + 32, WIDTH + 64)
    assert mask[:, 32:, :WIDTH].max() == 0 and mask[:, :32].min() == 1 and mask[:, :, WIDTH:].min() == 1


@pytest.mark.parametrize("class_type", ["GLMImageConditioning", "GLMImageApplyPlan"])
def test_a_plan_with_cells_without_tokens_is_not_rendered(server, class_type):
    graph = small_workflow("text_to_image")
    conditioning = id_of(graph, "GLMImageConditioning")
    clip = inputs_of(graph, "GLMImageConditioning")["clip"]
    graph |= {"padded": make_node("GLMImagePadPlan", plan=[id_of(graph, "GLMImagePlan"), 0], left=32, top=0, right=0,
                                  bottom=0),
              "texts": make_node("CLIPTextEncode", clip=clip, text=PROMPT)}
    source = {"clip": clip} if class_type == "GLMImageConditioning" else {"positive": ["texts", 0]}
    graph[conditioning] = make_node(class_type, plan=["padded", 0], **source)
    message = error_message(server, graph)
    assert "all cells must have a token (got 2 without one); fill them with GLM-Image Replan" in message


def test_the_least_certain_region_is_marked(server):
    graph = planned(batch_size=2) | {
        "weighed": make_node("TestLogProbs", plan=["planned", 0], token=-1),
        "region": make_node("GLMImageUncertainRegion", plan=["weighed", 0], share=0.2),
        "image": make_node("MaskToImage", mask=["region", 0]),
        "save_mask": save_tensors("edits.region", image=["image", 0])}
    server.run(graph)
    mask = load_saved(server, "edits.region")["image"][..., 0]
    assert mask.shape == (2, HEIGHT, WIDTH)
    assert mask.sum((1, 2)).tolist() == [32 * 32] * 2 and mask[:, :, 32:].sum() == mask.sum()


BAD = {
    "GLMImageJoinPlans": ({"plan1": ["planned", 0], "plan2": ["part", 0]}, "must have the same size"),
    "GLMImageCropPlan": ({"plan": ["planned", 0], "width": 512, "height": 512, "x": 0, "y": 0}, "width must be"),
    "GLMImageComposePlans": ({"base": ["planned", 0], "other": ["part", 0], "x": 128, "y": 0}, "x must be"),
    "GLMImagePadPlan": ({"plan": ["planned", 0], "left": 4064, "top": 0, "right": 0, "bottom": 0}, "width must be"),
    "GLMImageUncertainRegion": ({"plan": ["part", 0], "share": 0.1}, "must have log-probabilities"),
}


@pytest.mark.parametrize("class_type", BAD)
def test_edits_that_cannot_be_made_are_named(server, class_type):
    inputs, expected = BAD[class_type]
    graph = planned() | {"part": make_node("GLMImageCropPlan", plan=["planned", 0], width=32, height=32, x=0, y=0),
                         "edited": make_node(class_type, **inputs)}
    if class_type == "GLMImageUncertainRegion":
        graph |= {"image": make_node("MaskToImage", mask=["edited", 0]),
                  "save": save_tensors("edits.bad", image=["image", 0])}
    else:
        graph["save"] = save_plan("edits.bad", ["edited", 0])
    message = error_message(server, graph)
    assert expected in message and "\n" not in message.strip()
