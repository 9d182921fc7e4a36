"""What the shipped workflows promise: run with the embedded model, in few steps."""

import numpy as np
import torch
from torch import Tensor

from glm_core.evaluation.suites.shapes import nearest_colours, seen_kinds
from glm_core.posters import BACKGROUNDS, Item, Poster, draw_poster, on_grid
from tests.host.graphs import load_saved, make_node, save_plan, save_tensors, set_steps
from tests.host.page_actions import SET_MODE, exported
from tests.support.servers import Server, load_workflow

STEPS = 2
CIRCLE = Item("red", ("bottom", "left"), kind="circle")
TRIANGLE = Item("green", ("centre", "right"), kind="triangle")
BYPASS = 4  # of a node's mode in the page


def titled(graph: dict, title: str) -> str:
    """Id of the node."""
    return next(key for key, node in graph.items() if node["_meta"]["title"] == title)


def in_few_steps(name: str) -> dict:
    graph = load_workflow(name)
    set_steps(graph, STEPS)
    return graph


def images_of(server: Server, graph: dict, **titles: str) -> dict[str, Tensor]:
    """Run the graph; the images that nodes give, float32 [B, H, W, 3]: name → title of the node."""
    saving = {f"save_{name}": save_tensors(f"workflow.{name}", image=[titled(graph, title), 0])
              for name, title in titles.items()}
    server.run(graph | saving)
    return {name: load_saved(server, f"workflow.{name}")["image"] for name in titles}


def to_bytes(image: Tensor) -> np.ndarray:
    """Of the first of the images, uint8 [H, W, 3]."""
    return (image[0] * 255).round().byte().numpy()


def distance(image: Tensor, poster: Poster) -> float:
    """Mean difference, in levels of 255, of an image and a poster as the program draws it."""
    return float(np.abs(to_bytes(image).astype(int) - np.asarray(draw_poster(poster)).astype(int)).mean())


def test_replan_region_changes_the_word_and_nothing_else(server):
    graph = in_few_steps("replan_region")
    graph["mask"] = make_node("MaskToImage", mask=[titled(graph, "GLM-Image Replan"), 1]) | {"_meta": {"title": "mask"}}
    images = images_of(server, graph, before="VAE Decode (before)", after="Keep the other pixels", mask="mask")
    inside = images["mask"][..., 0] > 0
    assert inside[:, 32:64].all() and not inside[:, 96:].any()
    assert torch.equal(images["before"][~inside], images["after"][~inside])
    coffee, tea = (Poster("yellow", (on_grid(Item("blue", ("top", "centre"), text=text)), on_grid(CIRCLE)))
                   for text in ("COFFEE", "TEA"))
    assert distance(images["before"], coffee) < distance(images["before"], tea)
    assert distance(images["after"], tea) < distance(images["after"], coffee)


def test_outpaint_keeps_the_image_and_adds_the_triangle(server):
    images = images_of(server, in_few_steps("outpaint"), old="GLM-Image Fit Image", new="Keep the old pixels")
    assert images["new"].shape == (1, 256, 384, 3)
    assert torch.equal(images["new"][:, :, :256], images["old"])
    assert seen_kinds(to_bytes(images["new"][:, :, 128:]), [TRIANGLE]) == ["triangle"]


def test_upscale_gives_the_image_its_detail_back(server):
    graph = in_few_steps("upscale")
    images = images_of(server, graph, large="VAE Decode (poster)", enlarged="Enlarge", new="VAE Decode")
    errors = {name: (images[name] - images["large"]).abs().mean() for name in ("enlarged", "new")}
    assert errors["new"] < errors["enlarged"]


def test_compose_two_plans_draws_the_objects_of_both(server):
    image = images_of(server, in_few_steps("compose_two_plans"), image="VAE Decode")["image"]
    assert seen_kinds(to_bytes(image), [CIRCLE, TRIANGLE]) == ["circle", "triangle"]


def test_style_transfer_changes_the_background_alone(server):
    image = to_bytes(images_of(server, in_few_steps("style_transfer"), image="VAE Decode")["image"])
    assert np.bincount(nearest_colours(image).ravel()).argmax() == list(BACKGROUNDS).index("pink")
    assert seen_kinds(image, [CIRCLE]) == ["circle"]


def test_draft_choose_finish_draws_the_chosen_draft(server):
    graph = in_few_steps("draft_choose_finish")
    graph[titled(graph, "GLM-Image Draft Plan")]["inputs"]["count"] = 2
    graph[titled(graph, "GLM-Image Select Plan")]["inputs"]["index"] = 1
    plans = {f"plan_{title}": save_plan(f"workflow.{title}", [titled(graph, title), 0])
             for title in ("Finish all drafts (sheet)", "GLM-Image Finish Plan")}
    server.run(graph | plans)
    both, chosen = (load_saved(server, f"workflow.{title}")["ids"]
                    for title in ("Finish all drafts (sheet)", "GLM-Image Finish Plan"))
    assert len(both) == 2 and torch.equal(both[1:], chosen) and not torch.equal(both[:1], chosen)


def test_bypassing_a_node_leads_the_drafts_to_the_sheet(open_workflow):
    page = open_workflow("draft_choose_finish")
    page.call(SET_MODE, "Finish all drafts (sheet)", BYPASS)
    graph = exported(page)
    for title in ("GLM-Image Conditioning (sheet)", "Empty GLM-Image Latent (sheet)"):
        assert graph[titled(graph, title)]["inputs"]["plan"] == [titled(graph, "GLM-Image Draft Plan"), 0]
