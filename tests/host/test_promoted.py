"""Every widget that a subgraph shows on the canvas sets the one input that it names, and no other."""

import pytest

from tests.host.forms import FORMS
from tests.host.page_actions import PAGE_ONLY
from tests.support.servers import workflow_names

QUICK = "edit_image"
CONTROL = "control_after_generate"  # the page's own, no input
# → [title of the subgraph, label of the widget, what it was set to, the inputs that changed], whether all is as before
CHANGE_EACH = """async pageOnly => {
    const inputs = async () => {
        const { output } = await app.graphToPrompt(), flat = {}
        for (const node of Object.values(output))
            for (const [name, value] of Object.entries(node.inputs))
                if (!pageOnly.includes(name)) flat[`${node._meta.title} / ${name}`] = value
        return flat
    }
    const other = widget => {
        const { type, value, options } = widget
        if (typeof value === "boolean") return !value
        if (typeof value === "number") return value + (options.step2 ?? 1) * (value < options.max ? 1 : -1)
        if (type !== "combo") return `${value} changed`
        const values = typeof options.values === "function" ? options.values(widget) : options.values
        return values.find(one => one !== value) ?? value
    }
    const same = (one, two) => JSON.stringify(one) === JSON.stringify(two)
    const before = await inputs(), found = []
    for (const node of app.graph.nodes.filter(node => node.subgraph))
        for (const widget of node.widgets) {
            const old = widget.value, value = other(widget)
            widget.value = value
            const after = Object.entries(await inputs()).filter(([key, value]) => !same(value, before[key]))
            found.push([node.title, widget.label ?? widget.name, value, Object.fromEntries(after)])
            widget.value = old
        }
    return [found, same(await inputs(), before)]
}"""


def wanted(name: str) -> dict[tuple[str, str], list[str]]:
    """Title of a subgraph and label of its widget → the inputs that it sets."""
    return {(subgraph.name, label): [] if widget == CONTROL else [f"{title} / {widget}"]
            for subgraph in FORMS[name].subgraphs for title, widget, label in subgraph.widgets}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name == QUICK else pytest.mark.long)
                                  for name in workflow_names()])
def test_a_widget_of_a_subgraph_sets_the_input_that_it_names(open_workflow, name):
    found, restored = open_workflow(name).call(CHANGE_EACH, list(PAGE_ONLY))
    changed = {(title, label): list(inputs) for title, label, _, inputs in found}
    expected = wanted(name)
    assert changed == {key: expected[key] for key in changed} and restored
    assert all(expected[key] == [] for key in expected.keys() - changed.keys())  # newer pages hide the control's own
    assert all(new == value for *_, value, inputs in found for new in inputs.values())
