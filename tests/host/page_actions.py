"""What people do in ComfyUI's page, as JavaScript; nodes are told apart by their titles."""

from tests.support.browser import Page

SET_TITLES = "titles => app.graph.nodes.forEach(node => node.title = titles[node.id])"
RELOAD = "() => app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))"
COPY = """(titles, connectInputs) => {  // the nodes that were pasted
    const nodes = app.graph.nodes.filter(node => titles.includes(node.title))
    app.canvas.selectItems(nodes)
    app.canvas.copyToClipboard()
    const before = new Set(app.graph.nodes.map(node => node.id))
    app.canvas.pasteFromClipboard({connectInputs})
    return app.graph.nodes.map(node => node.id).filter(id => !before.has(id)).map(String)
}"""
REMOVE_ALL_BUT = "ids => app.graph.nodes.filter(node => !ids.includes(String(node.id)))" \
                 ".forEach(node => app.graph.remove(node))"
TO_SUBGRAPH = """titles => {
    const nodes = app.graph.nodes.filter(node => titles.includes(node.title))
    app.graph.convertToSubgraph(new Set(nodes))
}"""
UNPACK = "() => app.graph.unpackSubgraph(app.graph.nodes.find(node => node.subgraph))"
SET_MODE = "(title, mode) => { app.graph.nodes.find(node => node.title === title).mode = mode }"
SET_WIDGET = """(title, name, value) => {
    app.graph.nodes.find(node => node.title === title).widgets.find(widget => widget.name === name).value = value
}"""


def exported(page: Page) -> dict:
    """What the page would queue, as API graph, without the page's own button of Load Image."""
    graph = page.evaluate("app.graphToPrompt().then(prompt => prompt.output)")
    for node in graph.values():
        node["inputs"].pop("upload", None)
    return graph
