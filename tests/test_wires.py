"""Crossing wires are found, and nodes are placed so that they do not cross where they need not."""

from tests.host.arrange import Graph, arrange
from tests.support.wires import Box, Wire, covered, crossings

BOXES = {1: Box(0, 0, 100, 60), 2: Box(0, 200, 100, 60), 3: Box(400, 0, 100, 60), 4: Box(400, 230, 100, 60)}


def test_wires_that_change_sides_cross():
    crossed = [Wire(1, 0, 4, 0), Wire(2, 0, 3, 0)]
    assert crossings(crossed, BOXES) == [tuple(crossed)]
    assert crossings([Wire(1, 0, 3, 0), Wire(2, 0, 4, 0)], BOXES) == []


def test_wires_of_one_output_do_not_count():
    assert crossings([Wire(1, 0, 4, 0), Wire(1, 0, 3, 0)], BOXES) == []


def test_a_wire_behind_a_node_is_found():
    between = BOXES | {5: Box(200, -20, 100, 100)}
    assert covered([Wire(1, 0, 3, 0)], between) == 1
    assert covered([Wire(2, 0, 4, 0)], between) == 0


def test_nodes_are_placed_without_crossings_where_there_need_be_none():
    sizes = dict.fromkeys(range(6), (200, 100))
    wires = [Wire(0, 0, 2, 0), Wire(0, 1, 1, 0), Wire(1, 0, 4, 0), Wire(2, 0, 3, 0), Wire(3, 0, 5, 1), Wire(4, 0, 5, 0)]
    boxes = arrange(Graph(sizes, wires, first=0, last=5), tries=400)
    assert crossings(wires, boxes) == [] and covered(wires, boxes) == 0
    assert boxes == arrange(Graph(sizes, wires, first=0, last=5), tries=400)
