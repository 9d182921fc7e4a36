"""The benchmark of operations on plans: its cases are what they say, and its judges of pictures see what is there."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from glm_core.evaluation.suites.codes import judge
from glm_core.plans import Plan, pad
from glm_core.posters import (
    HELD_OUT_WORDS,
    SIDE,
    Item,
    ItemBox,
    Poster,
    Style,
    caption,
    cell_codes,
    draw_poster,
    empty_code,
    held_out_poster,
    item_cells,
    position_item,
)
from tests.benchmarks.plans.__main__ import CASES, main
from tests.benchmarks.plans.cases import (
    CHANGES,
    HARD_LENGTHS,
    SIDES,
    WORD_CHANGES,
    additions,
    changes,
    hard_posters,
    pairs_to_join,
    posters_with_shapes,
    texts_of,
)
from tests.benchmarks.plans.composing import free_places, move_shape, overlap
from tests.benchmarks.plans.letters import shows_word, words_shown
from tests.benchmarks.plans.padding import judge_room, offset, old_part, window_start
from tests.benchmarks.plans.painting import Drawing, PartialDecoder, box_is_empty, mean_change, moved, shape_is_drawn
from tests.benchmarks.plans.replanning import Start, cells_of, one_cell_right
from tests.benchmarks.plans.table import Table, wilson

CHANGED = changes("report", 56)
ADDED = additions("report", 64)
WITH_SHAPES = [held_out_poster(random.Random(i), Style(free=i % 2 > 0)) for i in range(30)]
WITH_SHAPES = [poster for poster in WITH_SHAPES if poster.shapes]


def placed(poster: Poster) -> Poster:
    """The poster with a position for those items that have none."""
    rng = random.Random(0)
    items = tuple(item if item.box else position_item(rng, item, bool(item.size)) for item in poster.items)
    return replace(poster, items=items)


def plan_of(*posters: Poster) -> Plan:
    return Plan(torch.tensor([cell_codes(poster, texts_of(poster)) for poster in posters]))


def pixels_of(poster: Poster) -> np.ndarray:
    return np.asarray(draw_poster(poster))


def test_one_item_changes_and_the_captions_differ_in_nothing_else():
    assert {change.kind for change in CHANGED} == set(CHANGES)
    assert {change.is_free for change in CHANGED} == {False, True}
    for change in CHANGED:
        old, new = change.before.items[change.index], change.after.items[change.index]
        differing = [i for i, pair in enumerate(zip(change.before.items, change.after.items)) if pair[0] != pair[1]]
        assert differing == [change.index] and (old.zone, old.size) == (new.zone, new.size)
        assert change.before.background == change.after.background
        same_caption = caption(change.before).replace(old.text, new.text) == caption(change.after)
        assert same_caption == (change.kind in WORD_CHANGES)


def test_changed_words_have_the_lengths_that_they_should():
    lengths = {change.kind: set() for change in CHANGED if change.kind in WORD_CHANGES}
    for change in CHANGED:
        if change.kind in WORD_CHANGES:
            old, new = change.before.items[change.index].text, change.after.items[change.index].text
            lengths[change.kind].add(np.sign(len(new) - len(old)))
            assert new in HELD_OUT_WORDS and new not in texts_of(change.before)
    assert lengths == {"same length": {0}, "longer": {1}, "shorter": {-1}}


def test_hard_prompts_have_the_words_that_their_kind_names():
    posters = hard_posters("report", 16)
    for i, poster in enumerate(posters):
        kind, lengths = list(HARD_LENGTHS.items())[i % 4]
        assert len(poster.words) == (3 if "three" in kind else 2)
        assert all(len(word.text) in lengths and word.text in HELD_OUT_WORDS for word in poster.words)
        assert "large" not in kind or {word.size for word in poster.words} == {"large"}


def test_sets_share_no_poster():
    for make in (changes, hard_posters, posters_with_shapes, pairs_to_join, additions):
        assert not set(map(repr, make("report", 40))) & set(map(repr, make("choose", 40)))


def test_added_items_stand_in_the_new_room():
    assert [addition.side for addition in ADDED[::4]] == [*SIDES] * 4
    for addition in ADDED:
        (item,) = addition.window.items
        rows, columns = zip(*item_cells(item))
        half = {"right": min(columns) >= 4, "left": max(columns) < 4, "bottom": min(rows) >= 4, "top": max(rows) < 4}
        assert half[addition.side], addition


@pytest.mark.parametrize("addition", ADDED[:16], ids=lambda addition: addition.side)
def test_the_new_room_of_a_padded_plan_is_judged_alone(addition):
    old = plan_of(placed(addition.before))
    padded, region = pad(old, **{addition.side: SIDE // 2})
    window = torch.tensor(cell_codes(addition.window, texts_of(addition.window)))
    row, column = window_start(addition.side)
    both = padded.ids.clone()
    both[:, row : row + 8, column : column + 8] = window
    filled = Plan(torch.where(region, both, padded.ids))
    assert torch.equal(old_part(filled.ids, addition.side), old.ids)
    assert judge_room(filled, addition, texts_of(addition.window))[0].whole
    (item,) = addition.window.items
    item_row, item_column = item_cells(item)[0]
    filled.ids[0, row + item_row, column + item_column] = empty_code(addition.before)
    assert not judge_room(filled, addition, texts_of(addition.window))[0].whole
    assert max(offset(addition.side)) == (4 if addition.side in ("left", "top") else 0)


def test_cells_of_items_and_masks_one_cell_off():
    word = Item("red", ("top", "left"), "BOX", None, "", ItemBox(32, 32))
    region = cells_of([word, None])
    assert region.nonzero().tolist() == [[1, 1], [1, 2], [1, 3]]
    assert one_cell_right(region).nonzero().tolist() == [[1, 2], [1, 3], [1, 4]]
    assert one_cell_right(cells_of([moved(word, 0, 4)])).nonzero().tolist() == [[1, 6], [1, 7]], "the rest is cut off"


def test_a_start_knows_the_cells_of_its_item_and_of_the_others():
    change = next(change for change in CHANGED if len(change.before.items) > 2)
    plan = plan_of(change.before)
    verdict = judge(plan.ids[0].tolist(), change.before, texts_of(change.before))
    start = Start(change, 0, plan, [0], [verdict])
    background = plan.ids == empty_code(change.before)
    assert torch.equal(start.region | start.others, ~background) and not (start.region & start.others).any()
    assert torch.equal(start.region[0], cells_of([change.before.items[change.index]]))


@pytest.mark.parametrize("poster", WITH_SHAPES)
def test_shapes_are_seen_at_their_place_and_nowhere_else(poster):
    pixels = pixels_of(poster)
    shape = poster.shapes[0]
    kinds = [kind for kind in ("circle", "square", "cross") if kind != shape.kind]
    assert shape_is_drawn(pixels, shape) and not box_is_empty(pixels, shape, poster.background)
    assert not any(shape_is_drawn(pixels, replace(shape, kind=kind)) for kind in kinds)
    without = replace(poster, items=tuple(item for item in poster.items if item is not shape))
    assert not shape_is_drawn(pixels_of(without), shape) and box_is_empty(pixels_of(without), shape, poster.background)


@pytest.mark.parametrize("poster", WITH_SHAPES[::2])
def test_moved_shapes_are_the_poster_in_which_they_stand_elsewhere(poster):
    shape = poster.shapes[0]
    places = free_places(poster.items, shape)
    for place in random.Random(0).sample(places, min(3, len(places))):
        new = moved(shape, *place)
        assert not any(overlap(new, item) for item in poster.items)
        items = tuple(new if item is shape else item for item in poster.items)
        assert torch.equal(move_shape(plan_of(poster), shape, *place).ids, plan_of(replace(poster, items=items)).ids)


@pytest.mark.parametrize("poster", [placed(poster) for poster in hard_posters("choose", 8)])
def test_drawn_words_are_shown_and_others_are_not(poster):
    pixels = pixels_of(poster)
    assert words_shown(pixels, poster) == [True] * len(poster.words)
    for word in poster.words:
        other = word.text[:-1] + ("X" if word.text[-1] == "O" else "O")
        assert not shows_word(pixels, replace(word, text=other), poster.background)
    bare = pixels_of(replace(poster, items=()))
    assert words_shown(bare, poster) == [False] * len(poster.words)


def test_a_word_with_a_letter_too_many_is_not_the_word():
    word = Item("black", ("top", "left"), text="SALES", size="small", box=ItemBox(0, 0, 32))
    pixels = pixels_of(Poster("white", (word,)))
    assert shows_word(pixels, word, "white")
    assert not shows_word(pixels, replace(word, text="SALE"), "white")
    assert not shows_word(pixels, replace(word, text="ALES"), "white")


def test_change_is_measured_outside_the_region():
    before = np.zeros((64, 64, 3), np.uint8)
    after = before.copy()
    after[:32, :32], after[32:, 32:] = 100, 3
    region = torch.tensor([[True, False], [False, False]])
    assert mean_change(before, after, region) == 1.0
    assert mean_change(before, after, torch.ones(2, 2, dtype=torch.bool)) == 0.0


def test_outside_its_region_a_partial_decoder_ends_at_the_old_latent():
    """Euler's method from the old noise, with any velocity inside."""
    noise, latent = torch.randn(2, 1, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    region = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    region[..., :2] = True
    decoder = PartialDecoder(lambda x: 3 * x, region, Drawing(latent, noise, np.zeros(0)))
    x = noise
    for sigma, following in ((1.0, 0.7), (0.7, 0.2), (0.2, 0.0)):
        x = x + (following - sigma) * decoder(x)
    assert torch.allclose(x[..., 2:], latent[..., 2:], atol=1e-6)
    assert not torch.isclose(x[..., :2], latent[..., :2]).any()


def test_a_table_has_means_over_all_seeds_and_intervals_of_shares():
    table = Table("t")
    table.add("a", "share", 0, True, False)
    table.add("a", "share", 1, True, True)
    table.add("b", "number", 0, 2.0, 4.0)
    rows = table.as_json()["rows"]
    assert rows["a"]["share"] == {"n": 4, "mean": 0.75, "seeds": [0.5, 1.0], "interval": wilson(0.75, 4)}
    assert rows["b"]["number"] == {"n": 2, "mean": 3.0, "seeds": [3.0]}
    text = "\n".join(table.lines())
    assert "75.0 (50.0-100.0) n 4" in text and "3" in text


def test_wilsons_interval_is_that_of_the_books():
    assert wilson(0.9, 100) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert wilson(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("section", CASES)
def test_every_section_gives_tables(section, tmp_path):
    out = tmp_path / "out.json"
    assert main(["--set", "choose", "--cases", "2", "--only", section, "--json", str(out)]) == 0
    tables = json.loads(out.read_text(encoding="utf-8"))["tables"]
    assert tables and all(table["rows"] for table in tables.values())
