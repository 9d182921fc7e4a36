"""The blueprints: ComfyUI lists them, and each is one node of the page with everything inside."""

import json

import pytest

from tests.host.page_actions import exported
from tests.host.save_workflows import titles_of
from tests.host.variants import APPS, BLUEPRINTS, as_app, as_blueprint
from tests.support.hosts import PACK
from tests.support.servers import load_workflow

LABELS = "app.graph.nodes[0].widgets.map(widget => widget.label ?? widget.name)"


def read(path: str) -> dict:
    return json.loads((PACK / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=lambda one: one.subgraph)
def test_blueprints_are_made_of_the_workflows(blueprint):
    made = as_blueprint(blueprint, read(f"workflows/{blueprint.workflow}.json"))
    assert made == read(f"subgraphs/{blueprint.subgraph}.json")


@pytest.mark.parametrize("name", APPS)
def test_apps_are_made_of_the_workflows(name):
    assert as_app(name, read(f"workflows/{name}.json"), titles_of(name)) == read(f"workflows/{name}.app.json")


def test_comfyui_lists_the_blueprints(server):
    listed = {entry["name"]: key for key, entry in server.get("/global_subgraphs").items()
              if entry["info"]["node_pack"].endswith("glm-image-native")}
    assert set(listed) == {blueprint.subgraph for blueprint in BLUEPRINTS}
    for name, key in listed.items():
        assert json.loads(server.get(f"/global_subgraphs/{key}")["data"]) == read(f"subgraphs/{name}.json")


@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=lambda one: one.subgraph)
def test_a_blueprint_is_one_node_that_shows_what_matters(page, blueprint):
    page.call("graph => app.loadGraphData(graph)", read(f"subgraphs/{blueprint.subgraph}.json"))
    workflow = load_workflow(blueprint.workflow)
    inside = [node["class_type"] for node in exported(page).values()]
    assert page.evaluate("app.graph.nodes.length") == 1
    assert {"GLMImageConditioning", "KSampler", "VAEDecode"} <= set(inside)
    assert len(inside) <= len(workflow)
    assert {"prompt", "plan seed", "noise seed", "steps", "planner", "VAE"} <= set(page.evaluate(LABELS))
