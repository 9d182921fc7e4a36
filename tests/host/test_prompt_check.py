"""GLM-Image Prompt Check inside ComfyUI."""

import shutil
from collections.abc import Iterator

import pytest

from glm_core.glyph import check_prompt, rewrite_instructions
from tests.host.graphs import make_node
from tests.support.browser import BROWSERS, Page, open_page

PROMPT = 'a sign saying <b>hello</b>. “OPEN" and 「YES」'
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Workflow.Persist": False}
VUE_NODES = "Comfy.VueNodes.Enabled"  # the newer of the page's two node renderers
SHOWN = "app.graph.nodes[0].widgets.find(widget => widget.name === 'report').element.textContent"
RELOAD = "() => app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))"


def check_graph(**inputs) -> dict:
    """A node that checks, and three that show what it gives."""
    shown = {f"show_{i}": make_node("PreviewAny", source=["check", i]) for i in range(3)}
    return {"check": make_node("GLMImagePromptCheck", **{"quotes": "natural"} | inputs)} | shown


def run(server, **inputs) -> list[str]:
    """What is shown on the node, then prompt, report and instructions."""
    outputs = server.run(check_graph(**inputs))
    return [outputs[node]["text"][0] for node in ("check", "show_0", "show_1", "show_2")]


def test_it_gives_and_shows_the_report(server):
    shown, prompt, report, instructions = run(server, prompt=PROMPT)
    assert prompt == PROMPT and instructions == rewrite_instructions(PROMPT)
    assert shown == report == "\n".join(check_prompt(PROMPT).lines())


def test_rule_and_original_reach_the_check(server):
    original = make_node("PrimitiveStringMultiline", value="it's “OPEN”")
    graph = check_graph(prompt="it's not o'clock", quotes="reference", original=["original", 0])
    outputs = server.run(graph | {"original": original})
    expected = check_prompt("it's not o'clock", "reference", "it's “OPEN”").lines()
    assert outputs["check"]["text"][0].splitlines() == expected
    assert "(OPEN)" in expected[3]


@pytest.fixture(params=[False, True], ids=["canvas", "vue"])
def page(server, tmp_path, request) -> Iterator[Page]:
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip(f"needs one of {', '.join(BROWSERS)}")
    server.post("/settings", SETTINGS | {VUE_NODES: request.param})
    with open_page(server.url, tmp_path, (1000, 800)) as opened:
        opened.wait_for("window.app?.vueAppReady && window.LiteGraph?.registered_node_types.GLMImagePromptCheck")
        yield opened
    server.post("/settings", {VUE_NODES: False})


def test_the_page_shows_the_report_on_the_node(page):
    """The second time ComfyUI takes the result from its cache."""
    node = make_node("GLMImagePromptCheck", prompt=PROMPT, quotes="natural")
    page.call("graph => app.loadApiJson(graph, 'check')", {"1": node})
    page.evaluate("app.queuePrompt(0, 1)")
    page.wait_for(SHOWN)
    assert page.evaluate(SHOWN) == "\n".join(check_prompt(PROMPT).lines())
    assert page.evaluate("app.graph.serialize().nodes[0].widgets_values") == [PROMPT, "natural"]
    page.call(RELOAD)
    assert page.evaluate(SHOWN) == ""
    page.evaluate("app.queuePrompt(0, 1)")
    page.wait_for(SHOWN)
