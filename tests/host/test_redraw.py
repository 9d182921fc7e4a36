"""The nodes that draft, finish, replan and repair, inside ComfyUI."""

import pytest
import torch

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

OTHER_PROMPT = "a sign that says \"SALE\" over a door"
SETTINGS = {"planner": ["planner", 0], "temperature": 0.9, "top_p": 0.75, "top_k": 16384}


def graph_of(**nodes) -> dict:
    planned = make_node("GLMImagePlan", prompt=PROMPT, seed=SEED, width=WIDTH, height=HEIGHT, batch_size=2, **SETTINGS)
    return {"planner": make_node("GLMImagePlannerLoader", planner_name=TINY_FILES["planner_name"]),
            "planned": planned} | nodes


def mask_of(value: float, width: int = 50, height: int = 20) -> dict:
    return make_node("SolidMask", value=value, width=width, height=height)


def replanned(plan: str, mask: list, **inputs) -> dict:
    settings = {"prompt": OTHER_PROMPT, "seed": SEED, **SETTINGS} | inputs
    return make_node("GLMImageReplan", plan=[plan, 0], mask=mask, **settings)


def run(server, graph: dict, *nodes: str) -> list[dict]:
    """The plans that these nodes give, and the mask of a node's second output as "mask"."""
    saving = {}
    for node in nodes:
        saving[f"save_{node}"] = save_plan(f"redraw.{node}", [node, 0])
        if graph[node]["class_type"] in ("GLMImageReplan", "GLMImageRepairPlan"):
            saving[f"image_{node}"] = make_node("MaskToImage", mask=[node, 1])
            saving[f"mask_{node}"] = save_tensors(f"redraw.{node}.mask", image=[f"image_{node}", 0])
    server.run(graph | saving)
    plans = [load_saved(server, f"redraw.{node}") for node in nodes]
    for node, plan in zip(nodes, plans):
        if f"mask_{node}" in saving:
            plan["mask"] = load_saved(server, f"redraw.{node}.mask")["image"][..., 0]
    return plans


def test_draft_select_and_finish_give_the_plan(server):
    graph = graph_of(
        drafted=make_node("GLMImageDraftPlan", prompt=PROMPT, seed=SEED, width=WIDTH, height=HEIGHT, count=2,
                          **SETTINGS),
        chosen=make_node("GLMImageSelectPlan", plan=["drafted", 0], index=1, count=1),
        finished=make_node("GLMImageFinishPlan", draft=["chosen", 0], **SETTINGS))
    plan, draft, finished = run(server, graph, "planned", "drafted", "finished")
    assert torch.equal(draft["ids"], plan["preview"])
    for name in ("ids", "preview"):
        assert torch.equal(finished[name], plan[name][1:])
    assert (finished["log_probs"] - plan["log_probs"][1:]).abs().max() <= 1e-4


def test_masks_say_what_is_planned_anew(server):
    graph = graph_of(
        empty=mask_of(0.0), full=mask_of(1.0),
        kept=replanned("planned", ["empty", 0]),
        anew=replanned("planned", ["full", 0], prompt=PROMPT),
        left=make_node("GLMImagePadPlan", plan=["planned", 0], left=64, top=0, right=0, bottom=0),
        filled=replanned("left", ["left", 1]))
    plan, kept, anew, filled = run(server, graph, "planned", "kept", "anew", "filled")
    for name in ("ids", "preview", "log_probs"):
        assert torch.equal(kept[name], plan[name]) and torch.equal(anew[name], plan[name])
    assert kept["mask"].shape == (2, HEIGHT, WIDTH) and kept["mask"].sum() == 0
    assert anew["mask"].min() == 1, "what was planned anew is drawn again, also where the tokens stayed"
    assert torch.equal(filled["ids"][:, :, 2:], plan["ids"]) and filled["ids"].min() >= 0
    assert filled["mask"][:, :, :64].min() == 1 and filled["mask"][:, :, 64:].max() == 0


def test_a_greedy_repair_gives_the_greedy_plan(server):
    greedy = SETTINGS | {"top_k": 1}
    likeliest = make_node("GLMImagePlan", prompt=PROMPT, seed=SEED, width=WIDTH, height=HEIGHT, batch_size=2, **greedy)
    graph = graph_of(likeliest=likeliest, repaired=make_node("GLMImageRepairPlan", plan=["planned", 0], prompt=PROMPT,
                                                             seed=SEED, **greedy))
    plan, expected, repaired = run(server, graph, "planned", "likeliest", "repaired")
    assert torch.equal(repaired["ids"], expected["ids"])
    changed = (plan["ids"] != repaired["ids"]).repeat_interleave(32, 1).repeat_interleave(32, 2)
    assert torch.equal(repaired["mask"].bool(), changed)


@pytest.mark.parametrize("node, expected", [
    (make_node("GLMImageFinishPlan", draft=["planned", 0], **SETTINGS), "must be a draft from GLM-Image Draft Plan"),
    (replanned("planned", ["masks", 0]), "mask: the batch size must be 1 or 2, the number of plans (got 3)"),
    (make_node("GLMImageRepairPlan", plan=["padded", 0], prompt=PROMPT, seed=SEED, **SETTINGS),
     "all cells must have a token"),
])
def test_what_cannot_be_redrawn_is_named(server, node, expected):
    graph = graph_of(mask=mask_of(1.0), image=make_node("MaskToImage", mask=["mask", 0]),
                     batch=make_node("RepeatImageBatch", image=["image", 0], amount=3),
                     masks=make_node("ImageToMask", image=["batch", 0], channel="red"),
                     padded=make_node("GLMImagePadPlan", plan=["planned", 0], left=32, top=0, right=0, bottom=0),
                     redrawn=node)
    message = error_message(server, graph | {"save": save_plan("redraw.bad", ["redrawn", 0])})
    assert expected in message and "\n" not in message.strip()
