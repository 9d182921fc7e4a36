"""The nodes that choose plans and images, inside ComfyUI. Its OCR is a stand-in."""

import json

import pytest
import torch

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
from tests.support.servers import RunFailed

RIGHT, WRONG = "OPEN", "OPAN"
PLAN = {"planner": ["planner", 0], "prompt": PROMPT, "width": WIDTH, "height": HEIGHT, "temperature": 0.9,
        "top_p": 0.75, "top_k": 16384}


def planned(batch: int, **nodes) -> dict:
    return {"planner": make_node("GLMImagePlannerLoader", planner_name=TINY_FILES["planner_name"]),
            "planned": make_node("GLMImagePlan", seed=SEED, batch_size=batch, **PLAN)} | nodes


def pictures(*greys: float) -> dict:
    """"pictures": a batch of one image of each grey."""
    graph, last = {}, None
    for i, grey in enumerate(greys):
        graph[f"mask{i}"] = make_node("SolidMask", value=grey, width=64, height=32)
        graph[f"grey{i}"] = make_node("MaskToImage", mask=[f"mask{i}", 0])
        node = make_node("ImageBatch", image1=[last, 0], image2=[f"grey{i}", 0]) if last else graph[f"grey{i}"]
        last = f"batch{i}" if last else f"grey{i}"
        graph[last] = node
    return graph | {"pictures": make_node("RepeatImageBatch", image=[last, 0], amount=1)}


def read_as(*texts: str) -> dict:
    """"seen": the pictures, in which these texts are read from now on."""
    return {"seen": make_node("TestOcr", image=["pictures", 0], texts=",".join(texts))}


def text_on(messages: list, node: str) -> str | None:
    """What the page shows on a node, by the messages of a run: binary ones of type 3, with the node's id in front."""
    texts = [message[8 + length :].decode() for message in messages
             if isinstance(message, bytes) and message[:4] == b"\0\0\0\3"
             for length in [int.from_bytes(message[4:8])] if message[8 : 8 + length] == node.encode()]
    return texts[-1] if texts else None


def test_the_likeliest_plans_are_kept(server):
    graph = planned(4, best=make_node("GLMImageBestPlans", plan=["planned", 0], keep=2),
                    save_all=save_plan("choose.all", ["planned", 0]), save_best=save_plan("choose.best", ["best", 0]))
    messages = []
    outputs = server.run(graph, messages.append)
    everything, best = load_saved(server, "choose.all"), load_saved(server, "choose.best")
    (ranking,) = outputs["best"]["text"]
    lines = ranking.splitlines()
    numbers = [int(line.split("plan ")[1].split(" ")[0]) for line in lines]
    means = [float(line.split("log-probability ")[1].split(" ")[0]) for line in lines]
    assert sorted(numbers) == [0, 1, 2, 3] and means == sorted(means, reverse=True)
    for name in ("ids", "preview", "log_probs"):
        assert torch.equal(best[name], everything[name][numbers[:2]])
    assert f"(seed {SEED + numbers[0]})" in lines[0] and lines[2].endswith("(not kept)")
    assert text_on(messages, "best") == ranking


def test_the_planner_weighs_plans_that_carry_no_likelihood(server):
    """Zeros stand for other log-probabilities than the planner's."""
    graph = planned(3, zero=make_node("TestLogProbs", plan=["planned", 0], token=-1),
                    weighed=make_node("GLMImageBestPlans", plan=["zero", 0], keep=3, planner=["planner", 0]),
                    own=make_node("GLMImageBestPlans", plan=["planned", 0], keep=3),
                    save_weighed=save_plan("choose.weighed", ["weighed", 0]),
                    save_own=save_plan("choose.own", ["own", 0]))
    server.run(graph)
    weighed, own = load_saved(server, "choose.weighed"), load_saved(server, "choose.own")
    assert torch.equal(weighed["ids"], own["ids"])
    assert (weighed["log_probs"] - own["log_probs"]).abs().max() <= 1e-4


def test_text_is_read_and_wrong_images_are_named(server):
    graph = pictures(0.2, 0.4, 0.6) | read_as(RIGHT, WRONG, RIGHT) | {
        "read": make_node("GLMImageReadText", image=["seen", 0], prompt=PROMPT),
        "accuracy": make_node("PreviewAny", source=["read", 1]), "wrong": make_node("PreviewAny", source=["read", 3]),
        "count": make_node("PreviewAny", source=["read", 4]),
        "save": save_tensors("choose.annotated", image=["read", 2])}
    messages = []
    outputs = server.run(graph, messages.append)
    report = "- image 0: 1 of 1 words right\n- image 1: 0 of 1 words right; wrong: OPEN (read OPAN)\n" \
             "- image 2: 1 of 1 words right"
    assert outputs["read"]["text"] == [report] and text_on(messages, "read") == report
    assert float(outputs["accuracy"]["text"][0]) == pytest.approx(2 / 3) and outputs["wrong"]["text"] == ["1"]
    assert outputs["count"]["text"] == ["1"]
    annotated = load_saved(server, "choose.annotated")["image"]
    assert annotated.shape == (3, 32, 64, 3)
    assert annotated[0, ..., 1].max() > annotated[0, ..., 0].max() and annotated[1, ..., 0].max() > 0.8


def test_images_are_ranked_by_their_text_then_by_likelihood(server):
    graph = planned(3) | pictures(0.2, 0.4, 0.6) | read_as(WRONG, RIGHT, RIGHT) | {
        "best": make_node("GLMImageBestImages", images=["seen", 0], plan=["planned", 0], keep=2),
        "likely": make_node("GLMImageBestPlans", plan=["planned", 0], keep=3),
        "save_likely": save_plan("choose.likely", ["likely", 0]),
        "save": save_tensors("choose.images", image=["best", 0]), "save_plan": save_plan("choose.plans", ["best", 1]),
        "save_all": save_plan("choose.all", ["planned", 0])}
    outputs = server.run(graph)
    by_likelihood = [int(line.split("plan ")[1].split(" ")[0]) for line in outputs["likely"]["text"][0].splitlines()]
    expected = [number for number in by_likelihood if number != 0]
    images, plans = load_saved(server, "choose.images")["image"], load_saved(server, "choose.plans")
    assert images[:, 0, 0, 0].tolist() == pytest.approx([0.2 + 0.2 * number for number in expected])
    assert torch.equal(plans["ids"], load_saved(server, "choose.all")["ids"][expected])
    lines = outputs["best"]["text"][0].splitlines()
    assert lines[2].startswith("3. image 0: 0 of 1 words right; wrong: OPEN (read OPAN)")


def redone(*texts: str) -> dict:
    """Two images, those of them that are read wrong replaced by white ones, and a branch that only shows those."""
    return planned(2) | pictures(0.2, 0.4) | read_as(*texts) | {
        "read": make_node("GLMImageReadText", image=["seen", 0], prompt=PROMPT),
        "chosen": make_node("GLMImageSelectPlan", plan=["planned", 0], index=0, count=1, indices=["read", 3]),
        "new_latent": make_node("EmptyGLMImageLatent", width=64, height=32, batch_size=1, plan=["chosen", 0]),
        "vae": make_node("GLMImageVAELoader", vae_name=TINY_FILES["vae_name"]),
        "decoded": make_node("VAEDecode", samples=["new_latent", 0], vae=["vae", 0]),
        "new": make_node("ImageScale", image=["decoded", 0], upscale_method="nearest-exact", width=64, height=32,
                         crop="disabled"),
        "replaced": make_node("GLMImageReplaceImages", images=["pictures", 0], indices=["read", 3],
                              replacements=["new", 0]),
        "save": save_tensors("choose.replaced", image=["replaced", 0])}


def run_nodes(server, graph: dict) -> set[str]:
    """Run the graph; the nodes that were executed."""
    names = set()

    def note(message):
        if not isinstance(message, bytes) and message["type"] == "executing":
            names.add(message["data"]["node"])

    server.run(graph, note)
    return names


def greys(server) -> list[float]:
    return load_saved(server, "choose.replaced")["image"][:, 0, 0, 0].tolist()


def test_only_wrong_images_are_replaced(server):
    names = run_nodes(server, redone(RIGHT, WRONG))
    first, second = greys(server)
    assert first == pytest.approx(0.2) and second != pytest.approx(0.4) and "decoded" in names


def test_nothing_is_drawn_again_if_no_word_is_wrong(server):
    names = run_nodes(server, redone(RIGHT, RIGHT))
    assert greys(server) == pytest.approx([0.2, 0.4])
    assert "replaced" in names and not {"chosen", "new_latent", "decoded", "new"} & names


def test_what_only_shows_new_images_is_skipped_if_no_word_is_wrong(server):
    """An output node wants the branch, but what it needs is blocked; the batch comes through all the same."""
    graph = redone(RIGHT, RIGHT) | {"shown": make_node("PreviewImage", images=["new", 0])}
    outputs = server.run(graph)
    assert greys(server) == pytest.approx([0.2, 0.4]) and "shown" not in outputs
    outputs = server.run(redone(WRONG, WRONG) | {"shown": make_node("PreviewImage", images=["new", 0])})
    assert len(outputs["shown"]["images"]) == 2


def workflow_read_as(*texts: str) -> dict:
    """The shipped workflow that draws wrong images again, with these texts in its four images."""
    graph = small_workflow("redo_wrong_once")
    read = inputs_of(graph, "GLMImageReadText")
    return graph | {"seen": make_node("TestOcr", image=read["image"], texts=",".join(texts)),
                    "save_old": save_tensors("choose.old", image=read["image"]),
                    "save_new": save_tensors("choose.new", image=inputs_of(graph, "SaveImage")["images"])} | {
        id_of(graph, "GLMImageReadText"): make_node("GLMImageReadText", **read | {"image": ["seen", 0]})}


@pytest.mark.parametrize("texts, wrong", [((RIGHT,) * 4, []), ((RIGHT, WRONG, RIGHT, WRONG), [1, 3])])
def test_the_workflow_draws_only_wrong_images_again(server, texts, wrong):
    graph = workflow_read_as(*texts)
    names = run_nodes(server, graph)
    old, new = (load_saved(server, f"choose.{name}")["image"] for name in ("old", "new"))
    changed = [i for i, images in enumerate(zip(old, new)) if not torch.equal(*images)]
    again = {key for key, node in graph.items() if node.get("_meta", {}).get("title", "").endswith("(again)")}
    assert changed == wrong and len(old) == 4 and len(again) == 5
    assert again & names == (again if wrong else set())


def test_the_workflow_draws_the_likeliest_of_eight_plans(server):
    graph = small_workflow("best_of_eight")
    best, plan = id_of(graph, "GLMImageBestPlans"), id_of(graph, "GLMImagePlan")
    outputs = server.run(graph | {"save_all": save_plan("choose.eight", [plan, 0]),
                                  "save_best": save_plan("choose.best", [best, 0])})
    lines = outputs[best]["text"][0].splitlines()
    chosen = load_saved(server, "choose.best")["ids"]
    assert len(lines) == 8 and len(outputs[id_of(graph, "SaveImage")]["images"]) == len(chosen) == 1
    number = int(lines[0].split("plan ")[1].split(" ")[0])
    assert torch.equal(chosen[0], load_saved(server, "choose.eight")["ids"][number])


def test_with_no_plan_to_keep_nothing_after_it_runs(server):
    graph = planned(2, best=make_node("GLMImageBestPlans", plan=["planned", 0], keep=0),
                    shown=make_node("GLMImagePlanPreview", plan=["best", 0], grid="target", cell=4))
    assert "shown" not in server.run(graph)


def typed(texts: str) -> dict:
    return {"typed": make_node("PrimitiveString", value=texts)}


BAD = {
    "too few plans": ({"best": make_node("GLMImageBestPlans", plan=["planned", 0], keep=5)},
                      "keep must be from 1 to 2 (got 5)"),
    "no likelihood": ({"part": make_node("GLMImageCropPlan", plan=["planned", 0], width=32, height=32, x=0, y=0),
                       "best": make_node("GLMImageBestPlans", plan=["part", 0], keep=1)},
                      "; connect planner to compute them"),
    "not as many images": (pictures(0.2) | read_as(RIGHT) | {
        "best": make_node("GLMImageBestImages", images=["seen", 0], plan=["planned", 0], keep=1)},
        "images and plans must be equal in number (got 1 and 2)"),
    "no such plan": (typed("0, 2") | {
        "chosen": make_node("GLMImageSelectPlan", plan=["planned", 0], index=0, count=1, indices=["typed", 0]),
        "save": save_plan("choose.bad", ["chosen", 0])}, "indices must be from 0 to 1"),
    "no numbers": (typed("all") | pictures(0.2) | {
        "replaced": make_node("GLMImageReplaceImages", images=["pictures", 0], indices=["typed", 0],
                              replacements=["pictures", 0]),
        "save": save_tensors("choose.bad", image=["replaced", 0])}, "indices must be different whole numbers"),
    "not as many replacements": (typed("0, 1") | pictures(0.2, 0.4) | {
        "replaced": make_node("GLMImageReplaceImages", images=["pictures", 0], indices=["typed", 0],
                              replacements=["grey0", 0]),
        "save": save_tensors("choose.bad", image=["replaced", 0])}, "replacements must have one image for each index"),
    "no such image": (typed("2") | pictures(0.2, 0.4) | {
        "replaced": make_node("GLMImageReplaceImages", images=["pictures", 0], indices=["typed", 0],
                              replacements=["grey0", 0]),
        "save": save_tensors("choose.bad", image=["replaced", 0])}, "indices must be from 0 to 1"),
    "another size": (typed("0") | pictures(0.2, 0.4) | {
        "small": make_node("ImageScale", image=["grey0", 0], upscale_method="area", width=32, height=32,
                           crop="disabled"),
        "replaced": make_node("GLMImageReplaceImages", images=["pictures", 0], indices=["typed", 0],
                              replacements=["small", 0]),
        "save": save_tensors("choose.bad", image=["replaced", 0])}, "replacements must have the images' height"),
    "no OCR": (pictures(0.2) | {
        "seen": make_node("TestOcr", image=["pictures", 0], texts=""),
        "read": make_node("GLMImageReadText", image=["seen", 0], prompt=PROMPT)},
        "reading text needs rapidocr, which is not installed; run pip install rapidocr onnxruntime with ComfyUI's "
        "Python"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_chosen_is_named(server, case):
    nodes, expected = BAD[case]
    if "best" in nodes:
        nodes = nodes | {"shown": make_node("PreviewAny", source=["best", 0])}
    message = error_message(server, planned(2) | nodes)
    assert expected in message and "\n" not in message.strip() and len(message) < 200


@pytest.mark.parametrize("value", [-1, 1.5, "2", None])
def test_numbers_that_come_by_a_link_are_checked(server, value):
    graph = planned(2, value=make_node("TestInt", json=json.dumps(value)),
                    best=make_node("GLMImageBestPlans", plan=["planned", 0], keep=["value", 0]),
                    save=save_plan("choose.bad", ["best", 0]))
    with pytest.raises(RunFailed) as failure:
        server.run(graph)
    assert failure.value.details["exception_message"].startswith("keep must be ")
