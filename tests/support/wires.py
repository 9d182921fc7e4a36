"""Where the wires of a graph run in ComfyUI's classic page, and which of them cross."""

from dataclasses import dataclass

import numpy as np

ROW = 20  # pixels between two slots of a node
FIRST = 14  # of the first slot, below the title bar
INSET = 10  # of slots, from the sides of a node
TITLE_BAR = 30  # height, above the box of a node
POINTS = 16  # a curve is checked as this many straight pieces
T = np.linspace(0, 1, POINTS + 1)[:, None]
WEIGHTS = (1 - T) ** 3, 3 * (1 - T) ** 2 * T, 3 * (1 - T) * T ** 2, T ** 3  # of a Bézier curve's four points


@dataclass(frozen=True)
class Box:
    """A node: its upper left corner below the title bar, and its size, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Wire:
    """From an output to an input: ids of nodes, and the rows of the slots, counted from 0."""

    origin: int
    origin_row: float
    target: int
    target_row: float


def curves(wires: list[Wire], boxes: dict[int, Box]) -> np.ndarray:
    """The points of each wire as the page draws it, [wires, POINTS + 1, 2]."""
    ends = [(boxes[wire.origin], boxes[wire.target], wire) for wire in wires]
    start = np.array([(origin.x + origin.width - INSET, origin.y + FIRST + ROW * wire.origin_row)
                      for origin, _, wire in ends])[:, None]
    end = np.array([(target.x + INSET, target.y + FIRST + ROW * wire.target_row)
                    for _, target, wire in ends])[:, None]
    reach = np.hypot(*np.moveaxis(end - start, -1, 0))[..., None] / 4 * (1, 0)
    return WEIGHTS[0] * start + WEIGHTS[1] * (start + reach) + WEIGHTS[2] * (end - reach) + WEIGHTS[3] * end


def side(first: np.ndarray, second: np.ndarray, point: np.ndarray) -> np.ndarray:
    """On which side of the line through two points a third one is: the sign."""
    a, b = second - first, point - first
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def crossings(wires: list[Wire], boxes: dict[int, Box]) -> list[tuple[Wire, Wire]]:
    """The pairs of wires that cross. Two wires from the same slot do not count."""
    if not wires:
        return []
    points = curves(wires, boxes)
    low, high = points.min(1), points.max(1)
    slots = np.array([(wire.origin, wire.origin_row) for wire in wires])
    i, j = np.triu_indices(len(wires), 1)
    is_near = (low[i] <= high[j]).all(-1) & (low[j] <= high[i]).all(-1) & (slots[i] != slots[j]).any(-1)
    i, j = i[is_near], j[is_near]
    a, b, c, d = points[i, :-1, None], points[i, 1:, None], points[j, None, :-1], points[j, None, 1:]
    meet = ((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)).any((1, 2))
    return [(wires[one], wires[other]) for one, other in zip(i[meet], j[meet])]


def covered(wires: list[Wire], boxes: dict[int, Box]) -> int:
    """How often a wire runs behind a node that it does not end at."""
    if not wires:
        return 0
    points = curves(wires, boxes)[:, None]  # [wires, 1, points, 2]
    corner = np.array([(box.x, box.y - TITLE_BAR) for box in boxes.values()])[None, :, None]
    end = np.array([(box.x + box.width, box.y + box.height) for box in boxes.values()])[None, :, None]
    behind = ((points > corner) & (points < end)).all(-1).any(-1)
    own = np.array([[key in (wire.origin, wire.target) for key in boxes] for wire in wires])
    return int((behind & ~own).sum())
