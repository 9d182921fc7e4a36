"""Node ids, inputs, combo values and wire types are frozen: frozen_nodes.json, made by tests/host/frozen.py."""

import copy

import pytest

from tests.support.node_sources import read_nodes

from .frozen import describe_nodes, problems, read_frozen, with_what_is_new

NODE = {"Node": {"inputs": [{"id": "plan", "type": "GLM_IMAGE_PLAN"},
                            {"id": "seed", "type": "INT", "control_after_generate": True},
                            {"id": "grid", "type": "COMBO", "values": ["target", "preview"]}],
                 "outputs": ["IMAGE", "MASK"]}}


def changed(**parts) -> dict:
    """NODE with other inputs or outputs."""
    return {"Node": copy.deepcopy(NODE["Node"]) | parts}


INPUTS = NODE["Node"]["inputs"]
PLAN, SEED, GRID = INPUTS
ADDED = {"id": "show", "type": "INT"}
BREAKS = {
    "Node is gone": {},
    "input 1 must be seed (got grid)": changed(inputs=[PLAN, GRID, SEED]),
    "input 2 must be grid (got nothing)": changed(inputs=[PLAN, SEED]),
    "input 2 must be grid (got show)": changed(inputs=[PLAN, SEED, ADDED | {"optional": True}, GRID]),
    "type of the input plan must be GLM_IMAGE_PLAN (got IMAGE)": changed(inputs=[PLAN | {"type": "IMAGE"}, SEED, GRID]),
    "control_after_generate of the input seed must be True (got None)":
        changed(inputs=[PLAN, {"id": "seed", "type": "INT"}, GRID]),
    "forceInput of the input seed must be None (got True)": changed(inputs=[PLAN, SEED | {"forceInput": True}, GRID]),
    "the input grid must take preview": changed(inputs=[PLAN, SEED, GRID | {"values": ["target"]}]),
    "the new input show must be optional": changed(inputs=[*INPUTS, ADDED]),
    "the outputs must begin with IMAGE, MASK (got MASK, IMAGE)": changed(outputs=["MASK", "IMAGE"]),
}
ADDITIONS = {
    "input": changed(inputs=[*INPUTS, ADDED | {"optional": True}]),
    "value": changed(inputs=[PLAN, SEED, GRID | {"values": ["both", "target", "preview"]}]),
    "output": changed(outputs=["IMAGE", "MASK", "STRING"]),
    "node": NODE | {"Other": {"inputs": [], "outputs": []}},
    "optional": changed(inputs=[PLAN, SEED, GRID | {"optional": True}]),
}


@pytest.mark.parametrize("message", BREAKS)
def test_a_change_is_named_with_the_reason(message):
    [line] = problems(NODE, BREAKS[message])
    assert message in line and "saved workflows refer to it" in line


@pytest.mark.parametrize("addition", ADDITIONS)
def test_additions_are_no_problem_and_are_kept(addition):
    assert problems(NODE, ADDITIONS[addition]) == []
    assert with_what_is_new(NODE, ADDITIONS[addition]) == ADDITIONS[addition]


def test_what_has_changed_cannot_be_frozen_anew():
    with pytest.raises(AssertionError, match="must be optional"):
        with_what_is_new(NODE, changed(inputs=[*INPUTS, ADDED]))


def test_sources_have_every_frozen_node_and_input():
    """Without a ComfyUI, too; the order is checked with one."""
    sources = {node.node_id: set(node.inputs) for node in read_nodes()}
    gone = {node: sorted({spec["id"] for spec in entry["inputs"]} - sources.get(node, set()))
            for node, entry in read_frozen().items()}
    assert {node: names for node, names in gone.items() if names or node not in sources} == {}


def test_comfyui_registers_everything_that_is_frozen(server):
    lines = problems(read_frozen(), describe_nodes(server.get("/object_info")))
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)
