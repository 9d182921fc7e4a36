"""Every widget that a subgraph shows on the canvas sets the one input that it names, and no other."""

import pytest

from tests.host.forms import FORMS
from tests.host.page_actions import PAGE_ONLY
from tests.support.servers import workflow_names

QUICK = "edit_image"
CONTROL, CONTROL_LABEL = "control_after_generate", "control after generate"  # the page's own, no input
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


def wanted(name: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Title of a subgraph and input that it sets → the label of the widget, and its name inside.

    ComfyUI 0.33 gives text fields no label, and hides ``control_after_generate``.
    """
    return {(subgraph.name, f"{title} / {widget}"): (label, widget) for subgraph in FORMS[name].subgraphs
            for title, widget, label in subgraph.widgets if widget != CONTROL}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name == QUICK else pytest.mark.long)
                                  for name in workflow_names()])
def test_a_widget_of_a_subgraph_sets_the_input_that_it_names(open_workflow, name):
    found, restored = open_workflow(name).call(CHANGE_EACH, list(PAGE_ONLY))
    exported = [(title, label, value, inputs) for title, label, value, inputs in found if label != CONTROL_LABEL]
    assert all(list(inputs.values()) == [value] for *_, value, inputs in exported), exported
    labels = {(title, key): label for title, label, _, inputs in exported for key in inputs}
    expected = wanted(name)
    assert labels.keys() == expected.keys() and len(exported) == len(expected) and restored
    assert all(label in expected[key] for key, label in labels.items())
