"""ComfyUI's page in Chinese: no English is left on our nodes but names, and help is Chinese."""

from collections.abc import Iterator

import pytest

from tests.host.conftest import PAGE_IS_READY, PAGE_SETTINGS, needs_browser
from tests.support.browser import Page, open_page
from tests.support.chinese_texts import english_words
from tests.support.node_sources import read_nodes
from tests.support.servers import Server

IDS = [node.node_id for node in read_nodes()]
LOCALE = "Comfy.Locale"
TEXTS = """ids => ids.map(id => {
    const node = LiteGraph.createNode(id), { category, description } = node.constructor.nodeData
    const slots = [...node.inputs, ...node.outputs].filter(slot => slot.name !== "upload")  // nobody sees its name
    const texts = [node.title, category, description, ...slots.map(slot => slot.label ?? slot.localized_name)]
    for (const { type, label, tooltip, element, options } of node.widgets ?? []) {
        texts.push(label ?? "no label", tooltip ?? "", element?.placeholder ?? "")
        if (type === "toggle") texts.push(options.on ?? "true", options.off ?? "false")
        if (Array.isArray(options.values)) texts.push(...options.values.map(options.getOptionLabel ?? String))
    }
    return texts
})"""
SELECT = """id => {
    const node = LiteGraph.createNode(id)
    app.graph.add(node)
    app.canvas.selectItems([node])
}"""
HELP_IS_SHOWN = """(() => {
    const stores = document.querySelector("#vue-app").__vue_app__.config.globalProperties.$pinia._s
    stores.get("canvas").updateSelectedItems()  // the page knows what is selected after this
    stores.get("rightSidePanel").openPanel("info")
    return document.querySelector(".node-help-content img")?.naturalWidth
})()"""
HELP = "document.querySelector('.node-help-content')"


@pytest.fixture(scope="module")
def chinese_page(server: Server, tmp_path_factory) -> Iterator[Page]:
    needs_browser()
    server.post("/settings", {**PAGE_SETTINGS, LOCALE: "zh"})
    try:
        with open_page(server.url, tmp_path_factory.mktemp("profile"), (1280, 800)) as page:
            page.wait_for(PAGE_IS_READY)
            yield page
    finally:
        server.post("/settings", {LOCALE: "en"})


def test_nodes_have_no_english_but_names(chinese_page):
    found = {node: [text for text in texts if english_words(text)]
             for node, texts in zip(IDS, chinese_page.call(TEXTS, IDS))}
    assert {node: texts for node, texts in found.items() if texts} == {}


def test_help_is_chinese_and_shows_the_node(chinese_page):
    chinese_page.evaluate("app.clean()")
    chinese_page.call(SELECT, "GLMImagePlanPreview")
    chinese_page.wait_for(HELP_IS_SHOWN)
    assert english_words(chinese_page.evaluate(f"{HELP}.querySelector('h2').textContent")) == []
    assert chinese_page.evaluate(f"{HELP}.querySelector('img').src").endswith("/pictures/zh/GLMImagePlanPreview.png")
