"""What people do in ComfyUI's page, as JavaScript; nodes are told apart by their titles."""

from tests.support.browser import Page

SET_TITLES = """titles => {  // inside subgraphs too; the nodes' ids differ there
    const visit = graph => graph.nodes.forEach(node => {
        if (node.subgraph) visit(node.subgraph)
        else if (titles[node.id]) node.title = titles[node.id]
    })
    visit(app.graph)
}"""
RELOAD = "() => app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))"
COPY = """(titles, connectInputs) => {  // the nodes that were pasted
    const nodes = app.graph.nodes.filter(node => titles.includes(node.title))
    app.canvas.selectItems(nodes)
    app.canvas.copyToClipboard()
    const before = new Set(app.graph.nodes.map(node => node.id))
    app.canvas.pasteFromClipboard({connectInputs})
    return app.graph.nodes.map(node => node.id).filter(id => !before.has(id)).map(String)
}"""
LEAD_TO_COPY = """(title, copyId) => {  // what the node feeds gets its values from the copy, and the node is removed
    const node = app.graph.nodes.find(node => node.title === title && String(node.id) !== copyId)
    const copy = app.graph.getNodeById(copyId)
    node.outputs.forEach((output, slot) => {
        for (const id of [...output.links ?? []]) {
            const link = app.graph.getLink(id)
            copy.connect(slot, app.graph.getNodeById(link.target_id), link.target_slot)
        }
    })
    app.graph.remove(node)
}"""
REMOVE_ALL_BUT = "ids => app.graph.nodes.filter(node => !ids.includes(String(node.id)))" \
                 ".forEach(node => app.graph.remove(node))"
TO_SUBGRAPH = """titles => {
    const nodes = app.graph.nodes.filter(node => titles.includes(node.title))
    app.graph.convertToSubgraph(new Set(nodes))
}"""
UNPACK = """() => {
    for (const node of app.graph.nodes.filter(node => node.subgraph)) app.graph.unpackSubgraph(node)
}"""
SET_MODE = """(title, mode) => {  // inside subgraphs too
    const all = graph => graph.nodes.flatMap(node => node.subgraph ? all(node.subgraph) : [node])
    all(app.graph).find(node => node.title === title).mode = mode
}"""
SET_WIDGET = """(title, name, value) => {
    const node = app.graph.nodes.find(node => node.title === title)
    node.widgets.find(widget => (widget.label ?? widget.name) === name).value = value  // subgraphs: the label
}"""


PAGE_ONLY = "upload", "preview", "previewMode"  # widgets of Load Image and Preview as Text that are no inputs


def exported(page: Page) -> dict:
    """What the page would queue, as API graph, without the widgets that are the page's own."""
    graph = page.evaluate("app.graphToPrompt().then(prompt => prompt.output)")
    for node in graph.values():
        node["inputs"] = {name: value for name, value in node["inputs"].items() if name not in PAGE_ONLY}
    return graph
