"""The shipped workflows in ComfyUI's page: what people do with nodes there keeps every link and value."""

import json

import pytest
import torch

from glm_core.plans import Plan, save_plan_image
from tests.host.page_actions import (
    COPY,
    LEAD_TO_COPY,
    RELOAD,
    REMOVE_ALL_BUT,
    SET_WIDGET,
    TO_SUBGRAPH,
    UNPACK,
    exported,
)
from tests.support.browser import Page
from tests.support.hosts import PACK
from tests.support.servers import load_workflow, workflow_names

WORKFLOWS = workflow_names()
QUICK = {"edit_multi_image", "replan_region"}  # all kinds of links
MOST_IN_LONG = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.long) for name in WORKFLOWS]
DROP = """(async () => {
    const answer = await fetch("/view?filename=dropped.png&type=output")
    await app.handleFile(new File([await answer.blob()], "dropped.png", {type: "image/png"}))
})()"""
ADD_LOADER = """name => {
    const node = LiteGraph.createNode("GLMImageLoadPlan")
    app.graph.add(node)
    node.widgets[0].value = name
    node.widgets[0].callback(name)
}"""


def by_title(graph: dict) -> dict:
    """An API graph without the nodes' ids: title → class and inputs; a link names the title of its source."""
    titles = {key: node["_meta"]["title"] for key, node in graph.items()}
    assert len(set(titles.values())) == len(titles), f"titles must differ: {sorted(titles.values())}"
    return {titles[key]: described(node, titles) for key, node in graph.items()}


def described(node: dict, titles: dict[str, str]) -> tuple[str, dict]:
    inputs = {name: [titles[value[0]], value[1]] if isinstance(value, list) else value
              for name, value in node["inputs"].items()}
    return node["class_type"], inputs


def canvas(page: Page) -> list[str]:
    """Titles of the nodes on the canvas that a run includes."""
    return page.evaluate("app.graph.nodes.filter(node => node.mode === 0 && node.type !== 'MarkdownNote')"
                         ".map(node => node.title)")


def subgraphs(page: Page) -> list[str]:
    """Titles of the subgraphs on the canvas."""
    return page.evaluate("app.graph.nodes.filter(node => node.subgraph).map(node => node.title)")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_saving_and_reloading_keeps_the_graph(open_workflow, name):
    page = open_workflow(name)
    assert by_title(exported(page)) == by_title(load_workflow(name))
    page.call(RELOAD)
    assert by_title(exported(page)) == by_title(load_workflow(name))


@pytest.mark.parametrize("name", MOST_IN_LONG)
def test_copy_and_paste_of_all_nodes_keeps_the_graph(open_workflow, name):
    page = open_workflow(name)
    copies = page.call(COPY, canvas(page), False)
    page.call(REMOVE_ALL_BUT, copies)
    assert by_title(exported(page)) == by_title(load_workflow(name))


@pytest.mark.parametrize("name", MOST_IN_LONG)
def test_pasted_subgraphs_with_connections_have_the_same_inputs(open_workflow, name):
    """What Ctrl+Shift+V does: links from nodes that were not copied stay."""
    page = open_workflow(name)
    last = subgraphs(page)[-1]
    copy, = page.call(COPY, [last], True)
    page.call(LEAD_TO_COPY, last, copy)
    assert by_title(exported(page)) == by_title(load_workflow(name))


@pytest.mark.parametrize("name", MOST_IN_LONG)
def test_unpacked_subgraphs_keep_the_graph(open_workflow, name):
    page, expected = open_workflow(name), by_title(load_workflow(name))
    page.call(UNPACK)
    assert by_title(exported(page)) == expected
    page.call(RELOAD)
    assert by_title(exported(page)) == expected


@pytest.mark.parametrize("name", MOST_IN_LONG)
def test_a_subgraph_of_everything_keeps_the_graph(open_workflow, name):
    page, expected = open_workflow(name), by_title(load_workflow(name))
    page.call(TO_SUBGRAPH, canvas(page))
    assert by_title(exported(page)) == expected
    page.call(RELOAD)
    assert by_title(exported(page)) == expected


@pytest.mark.parametrize("text", ['"A//B"', '"{red|blue}"', "// not a comment", "/* nor */ this"])
def test_a_prompt_arrives_as_typed(open_workflow, text):
    """The page would cut comments and choose one of the words between braces."""
    page = open_workflow("text_to_image")
    page.call(SET_WIDGET, "Text to Image (GLM-Image)", "prompt", text)
    node = next(node for node in exported(page).values() if node["class_type"] == "GLMImagePlan")
    assert node["inputs"]["prompt"] == text


def test_a_dropped_picture_of_a_plan_opens_its_workflow(server, page):
    workflow = (PACK / "workflows" / "text_to_image.json").read_text(encoding="utf-8")
    save_plan_image(Plan(torch.zeros(1, 2, 3, dtype=torch.int64)), server.output / "dropped.png",
                    texts={"workflow": json.dumps(json.loads(workflow))})
    page.evaluate("app.clean()")
    page.evaluate(DROP)
    page.wait_for("app.graph.nodes.length")
    expected = sorted(node["type"] for node in json.loads(workflow)["nodes"])
    assert page.evaluate("app.graph.nodes.map(node => node.type).sort()") == expected


def test_a_saved_plan_is_shown_where_it_is_chosen(server, page):
    """Its name is that of a file in the output folder, which the page asks the server for."""
    (server.output / "plans").mkdir(exist_ok=True)
    save_plan_image(Plan(torch.zeros(1, 2, 3, dtype=torch.int64)), server.output / "plans" / "shown.png")
    page.evaluate("app.clean()")
    page.call(ADD_LOADER, "plans/shown.png [output]")
    page.wait_for("app.graph.nodes[0].imgs?.[0]?.naturalWidth > 500")
