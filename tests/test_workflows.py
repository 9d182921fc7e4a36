"""The form of the shipped workflows, read from their files."""

import json
from itertools import combinations

import pytest

from tests.host.subgraphs import wires_of
from tests.host.variants import APPS
from tests.support.hosts import PACK
from tests.support.page_files import INPUT, NOTE, inner_links, on_canvas, outer_links, subgraphs_of
from tests.support.servers import workflow_names
from tests.support.wires import TITLE_BAR, Box, crossings

NAMES = workflow_names()
MOST_ON_CANVAS, MOST_INSIDE = 6, 20
COMMANDS = ("hf download zai-org/GLM-Image --local-dir models/diffusers/GLM-Image",
            "glm_core convert models/diffusers/GLM-Image models")


def load(name: str) -> dict:
    return json.loads((PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def boxes_of(nodes: list[dict]) -> dict[int, Box]:
    return {node["id"]: Box(*node["pos"], *node["size"]) for node in nodes}


def with_titles(nodes: list[dict]) -> dict[int, Box]:
    """The boxes of nodes, title bars included."""
    return {key: Box(box.x, box.y - TITLE_BAR, box.width, box.height + TITLE_BAR)
            for key, box in boxes_of(nodes).items()}


def are_apart(one: Box, other: Box) -> bool:
    return (one.x + one.width <= other.x or other.x + other.width <= one.x
            or one.y + one.height <= other.y or other.y + other.height <= one.y)


def contains(outer: Box, inner: Box) -> bool:
    return (outer.x <= inner.x and inner.x + inner.width <= outer.x + outer.width
            and outer.y <= inner.y and inner.y + inner.height <= outer.y + outer.height)


def data_links(subgraph: dict) -> list[tuple]:
    """The links of a subgraph without those to widgets that it shows, which pages since 1.40 write."""
    inputs = {node["id"]: node["inputs"] for node in subgraph["nodes"]}
    return [link for link in inner_links(subgraph)
            if link[0] != INPUT or link[2] not in inputs or "widget" not in inputs[link[2]][link[3]]]


def test_every_api_workflow_has_its_page_form_and_some_an_app():
    files = {path.name for path in (PACK / "workflows").glob("*.json")}
    assert files == {f"{name}.json" for name in NAMES} | {f"{name}.app.json" for name in APPS}


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_is_a_few_nodes_with_a_subgraph_or_two(name):
    graph = load(name)
    assert 1 <= len(subgraphs_of(graph)) <= 2
    assert len(on_canvas(graph)) <= MOST_ON_CANVAS
    assert all(len(subgraph["nodes"]) <= MOST_INSIDE for subgraph in subgraphs_of(graph))


@pytest.mark.parametrize("name", NAMES)
def test_no_wires_cross_on_the_canvas(name):
    graph = load(name)
    assert crossings(wires_of(outer_links(graph), graph["nodes"]), boxes_of(graph["nodes"])) == []


@pytest.mark.parametrize("name", NAMES)
def test_few_wires_cross_inside_subgraphs(name):
    for subgraph in subgraphs_of(load(name)):
        ends = {end["id"]: Box(*end["bounding"]) for end in (subgraph["inputNode"], subgraph["outputNode"])}
        wires = wires_of(data_links(subgraph), subgraph["nodes"])
        found = crossings(wires, boxes_of(subgraph["nodes"]) | ends)
        assert len(found) <= len(wires), subgraph["name"]


@pytest.mark.parametrize("name", NAMES)
def test_nodes_do_not_overlap(name):
    graph = load(name)
    for nodes in (graph["nodes"], *(subgraph["nodes"] for subgraph in subgraphs_of(graph))):
        for (one, box), (other, second) in combinations(with_titles(nodes).items(), 2):
            assert are_apart(box, second), f"nodes {one} and {other}"


@pytest.mark.parametrize("name", NAMES)
def test_links_run_from_left_to_right(name):
    graph = load(name)
    levels = [(graph["nodes"], outer_links(graph))]
    levels += [(subgraph["nodes"], inner_links(subgraph)) for subgraph in subgraphs_of(graph)]
    for nodes, links in levels:
        boxes = boxes_of(nodes)
        for origin, _, target, *_ in links:
            if origin in boxes and target in boxes:
                assert boxes[origin].x + boxes[origin].width <= boxes[target].x, f"{origin} → {target}"


@pytest.mark.parametrize("name", NAMES)
def test_groups_cut_no_node(name):
    graph = load(name)
    for group in graph["groups"]:
        frame = Box(*group["bounding"])
        for key, box in with_titles(graph["nodes"]).items():
            assert contains(frame, box) or are_apart(frame, box), f"{group['title']}: node {key}"


@pytest.mark.parametrize("name", NAMES)
def test_the_note_says_how_to_get_the_released_model(name):
    text, = (node["widgets_values"][0] for node in load(name)["nodes"] if node["type"] == NOTE)
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_has_a_thumbnail(name):
    assert (PACK / "workflows" / f"{name}.jpg").is_file()
