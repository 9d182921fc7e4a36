from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_core.errors import GLMImageError
from glm_core.plans import DROPPED, Drawn, Edited, Plan, Read, compose, crop, join, pad, select, take

examples = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@pytest.fixture
def plan():
    origins = tuple(Drawn(f"prompt {i}", i, (96, 64)) for i in range(4))
    return Plan(torch.arange(24).view(4, 2, 3), torch.arange(16).view(4, 2, 2), origins, -torch.rand(4, 10))


def test_selected_items_keep_all_of_their_parts(plan):
    selected = select(plan, 1, 2)
    assert selected.origins == plan.origins[1:3]
    for name in ("ids", "coarse", "log_probs"):
        assert torch.equal(getattr(selected, name), getattr(plan, name)[1:3])


def test_what_a_plan_does_not_have_is_not_made_up(plan):
    selected = select(Plan(plan.ids), 3)
    assert selected.batch == 1
    assert (selected.coarse, selected.origins, selected.log_probs) == (None, (), None)


def test_a_selection_can_be_saved(plan, tmp_path):
    select(plan, 2).save(tmp_path / "plan.safetensors")
    loaded = Plan.load(tmp_path / "plan.safetensors")
    assert torch.equal(loaded.ids, plan.ids[2:3]) and loaded.origins == plan.origins[2:3]


def test_all_of_a_plan_is_the_plan(plan):
    assert torch.equal(select(plan, 0, 4).ids, plan.ids)
    assert select(Plan(plan.ids, origins=(Read((96, 64)),) * 4), 0, 4).origins == (Read((96, 64)),) * 4


@pytest.mark.parametrize("index, count, message", [
    (4, 1, r"index must be from 0 to 3, as the batch has 4 plans \(got 4\)"),
    (-1, 1, r"index must be from 0 to 3.* \(got -1\)"),
    (2, 3, r"count must be from 1 to 2, as 2 of 4 plans are left from index 2 on \(got 3\)"),
    (0, 0, r"count must be from 1 to 4.* \(got 0\)"),
    (0, 10**9, r"count must be from 1 to 4.* \(got 1000000000\)"),
])
def test_items_that_are_not_there_are_refused(plan, index, count, message):
    with pytest.raises(GLMImageError, match=message):
        select(plan, index, count)


def test_items_are_taken_by_their_numbers(plan):
    taken = take(plan, [3, 0])
    assert taken.origins == (plan.origins[3], plan.origins[0])
    for name in ("ids", "coarse", "log_probs"):
        assert torch.equal(getattr(taken, name), getattr(plan, name)[[3, 0]])


@pytest.mark.parametrize("items", [[4], [0, -1]])
def test_numbers_of_no_item_are_refused(plan, items):
    with pytest.raises(GLMImageError, match=rf"indices must be from 0 to 3.* \(got {items[-1]}\)"):
        take(plan, items)


@st.composite
def plans(draw) -> Plan:
    """Plans of up to 3 items and 6 x 6 cells, with or without their other parts."""
    batch, rows, columns = (draw(st.integers(1, most)) for most in (3, 6, 6))
    has_coarse, has_origins, has_log_probs = (draw(st.booleans()) for _ in range(3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    ids = torch.randint(16384, (batch, rows, columns), generator=generator)
    coarse = torch.randint(16384, (batch, 2, 2), generator=generator) if has_coarse else None
    origins = tuple(Drawn(f"prompt {i}", i, (32 * columns, 32 * rows)) for i in range(batch)) if has_origins else ()
    plan = Plan(ids, coarse, origins)
    return replace(plan, log_probs=-torch.rand(batch, plan.tokens, generator=generator)) if has_log_probs else plan


@st.composite
def parts(draw, plan: Plan) -> tuple[int, int, int, int]:
    """x, y, width and height in pixels of a part of the plan."""
    (rows, columns), part = plan.ids.shape[1:], []
    for cells in (columns, rows):
        first = draw(st.integers(0, cells - 1))
        part.append((32 * first, 32 * draw(st.integers(1, cells - first))))
    (x, width), (y, height) = part
    return x, y, width, height


sides = st.tuples(*[st.integers(0, 4).map(lambda cells: 32 * cells)] * 4)


def assert_equal(found: Plan, expected: Plan) -> None:
    """In all of their parts."""
    assert found.origins == expected.origins
    for name in ("ids", "coarse", "log_probs"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None) and (one is None or torch.equal(one, other))


@examples
@given(plans())
def test_the_items_of_a_batch_joined_are_the_batch(plan):
    assert_equal(join([select(plan, i) for i in range(plan.batch)]), plan)


@examples
@given(plans(), st.data())
def test_items_selected_from_joined_plans_are_those_that_were_joined(plan, data):
    batches = [select(plan, 0, data.draw(st.integers(1, plan.batch))), plan]
    joined = join(batches)
    assert_equal(select(joined, 0, batches[0].batch), batches[0])
    assert_equal(select(joined, batches[0].batch, plan.batch), plan)


@examples
@given(plans(), st.data())
def test_a_part_put_back_where_it_was_gives_the_plan(plan, data):
    x, y, width, height = data.draw(parts(plan))
    part = crop(plan, x, y, width, height)
    assert (part.width, part.height) == (width, height)
    whole = compose(plan, part, x, y)
    assert torch.equal(whole.ids, plan.ids)
    assert not plan.origins or whole.origins == tuple(Edited("compose", (origin,)) for origin in plan.origins)


@examples
@given(plans(), sides)
def test_room_cut_off_again_gives_the_plan(plan, sides):
    left, top, right, bottom = sides
    padded, region = pad(plan, left, top, right, bottom)
    assert torch.equal(crop(padded, left, top, plan.width, plan.height).ids, plan.ids)
    assert torch.equal(region, padded.ids == DROPPED)
    assert int(region.sum()) == padded.ids.numel() - plan.ids.numel()


@examples
@given(plans(), plans(), st.data())
def test_composing_takes_each_cell_from_the_plan_that_the_mask_says(base, other, data):
    batch = data.draw(st.integers(1, 3))
    base, other = (select(plan, 0) if data.draw(st.booleans()) else join([select(plan, 0)] * batch)
                   for plan in (base, other))
    rows, columns = other.ids.shape[1:]
    row = data.draw(st.integers(1 - rows, base.ids.shape[1] - 1))
    column = data.draw(st.integers(1 - columns, base.ids.shape[2] - 1))
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))))
    composed = compose(base, other, 32 * column, 32 * row, mask)
    assert composed.batch == max(base.batch, other.batch)
    for index, token in zip(torch.cartesian_prod(*map(torch.arange, composed.ids.shape)).tolist(),
                            composed.ids.flatten().tolist()):
        item, i, j = index
        k, n = i - row, j - column
        is_pasted = 0 <= k < rows and 0 <= n < columns and mask[k, n] >= 0.5
        source, i, j = (other, k, n) if is_pasted else (base, i, j)
        assert token == source.ids[item if source.batch > 1 else 0, i, j]


def test_joined_plans_keep_what_all_of_them_have(plan):
    without_coarse = Plan(plan.ids, log_probs=plan.log_probs[:, 4:])
    joined = join([plan, without_coarse])
    assert joined.coarse is None and joined.log_probs is None
    assert joined.origins == plan.origins + (Edited("join"),) * 4
    assert join([plan, replace(plan, log_probs=None)]).log_probs is None
    assert torch.equal(join([without_coarse] * 2).log_probs, without_coarse.log_probs.repeat(2, 1))


def test_plans_of_other_sizes_are_not_joined(plan):
    with pytest.raises(GLMImageError, match=r"must have the same size, rows x columns \(got 2x3, 1x3\)"):
        join([plan, plan, Plan(plan.ids[:, :1])])
    with pytest.raises(GLMImageError, match=r"must have preview grids of the same size.* \(got 2x2, 1x2\)"):
        join([plan, Plan(plan.ids, plan.coarse[:, :1])])


def test_edited_plans_name_their_sources_and_drop_the_rest(plan):
    one = Plan(plan.ids[:1], origins=(Read((96, 64)),))
    for edited, sources in ((crop(plan, 0, 0, 32, 32), [(origin,) for origin in plan.origins]),
                            (pad(plan, left=32)[0], [(origin,) for origin in plan.origins]),
                            (compose(plan, one), [(origin, *one.origins) for origin in plan.origins]),
                            (compose(one, plan), [(*one.origins, origin) for origin in plan.origins]),
                            (compose(plan, Plan(plan.ids)), [(origin,) for origin in plan.origins]),
                            (compose(Plan(plan.ids), Plan(plan.ids)), [()] * 4)):
        assert edited.coarse is None and edited.log_probs is None
        assert [origin.sources for origin in edited.origins] == sources


def test_a_mask_of_pixels_marks_what_is_pasted(plan):
    mask = torch.zeros(1, 64, 96)
    mask[0, 40, 70] = 1
    composed = compose(plan, Plan(plan.ids + 100), mask=mask)
    assert (composed.ids - plan.ids).tolist() == [[[0, 0, 0], [0, 0, 100]]] * 4
    masks = mask.repeat(4, 1, 1)
    masks[2] = 0
    assert (compose(plan, Plan(plan.ids + 100), mask=masks).ids - plan.ids).sum((1, 2)).tolist() == [100, 100, 0, 100]


def test_room_is_made_at_the_sides_that_were_named():
    padded, region = pad(Plan(torch.ones(1, 1, 1, dtype=torch.int64)), left=32, top=64, right=96)
    assert padded.ids.tolist() == [[[-1] * 5, [-1] * 5, [-1, 1, -1, -1, -1]]]
    again, region = pad(padded, bottom=32)
    assert region.tolist() == (again.ids == -1).tolist()


def test_a_plan_with_room_can_be_saved(plan, tmp_path):
    padded, _ = pad(plan, right=64)
    padded.save(tmp_path / "plan.safetensors")
    loaded = Plan.load(tmp_path / "plan.safetensors")
    assert torch.equal(loaded.ids, padded.ids) and loaded.origins == padded.origins


@pytest.mark.parametrize("edit, message", [
    (lambda plan: crop(plan, 96, 0, 32, 32), r"x must be a multiple of 32 from 0 to 64, as the plan is 96x64 pixels "
                                             r"\(got 96\)"),
    (lambda plan: crop(plan, 0, 16, 32, 32), r"y must be a multiple of 32 from 0 to 32.* \(got 16\)"),
    (lambda plan: crop(plan, 32, 0, 96, 32), r"width must be a multiple of 32 from 32 to 64 for x = 32, as the plan is "
                                             r"96x64 pixels \(got 96\)"),
    (lambda plan: crop(plan, 0, 0, 32, 0), r"height must be a multiple of 32 from 32 to 64 for y = 0.* \(got 0\)"),
    (lambda plan: crop(plan, 0, 0, 32.0, 32), r"width must be a multiple of 32 .* \(got 32.0\)"),
    (lambda plan: crop(plan, None, 0, 32, 32), r"x must be a multiple of 32 .* \(got None\)"),
    (lambda plan: compose(plan, plan, 96), r"x must be a multiple of 32 from -64 to 64, as other is 96x64 pixels and "
                                           r"base 96x64 \(got 96\)"),
    (lambda plan: compose(plan, plan, 0, -64), r"y must be a multiple of 32 from -32 to 32.* \(got -64\)"),
    (lambda plan: compose(plan, select(plan, 0, 3)), r"other: the batch size must be 1 or 4, that of base \(got 3\)"),
    (lambda plan: compose(select(plan, 0, 2), plan), r"base: the batch size must be 1 or 4, that of other \(got 2\)"),
    (lambda plan: compose(plan, plan, mask=torch.zeros(3, 2, 3)), r"mask: the batch size must be 1 or 4"),
    (lambda plan: compose(plan, plan, mask=torch.full((2, 3), float("nan"))), "mask must have finite numbers only"),
    (lambda plan: pad(plan, left=-32), r"left must be a multiple of 32 from 0 to 4064 \(got -32\)"),
    (lambda plan: pad(plan, bottom=8), r"bottom must be a multiple of 32 from 0 to 4064 \(got 8\)"),
    (lambda plan: pad(plan, left=2048, right=2048), r"width must be a multiple of 32 from 32 to 4096 \(got 4192\)"),
])
def test_edits_that_cannot_be_made_are_refused(plan, edit, message):
    with pytest.raises(GLMImageError, match=message):
        edit(plan)
