"""Draft and finish, replan, repair: what stays, what is equal to planning at once, and what is refused."""

from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from glm_core.errors import GLMImageError
from glm_core.planner import (
    Kept,
    PlanWriter,
    Sampling,
    draft_plans,
    finish_plans,
    lay_out_prompt,
    plan_prompt,
    repair,
    replan,
    score,
    score_plans,
    write_tokens,
)
from glm_core.planner.noise import draw_noise, item_keys
from glm_core.planner.redraw import next_window
from glm_core.planner.sampling import in_nucleus, keep_top_k, keep_top_p, sample
from glm_core.planner.score import written_tokens
from glm_core.planner.session import DecodeSession
from glm_core.plans import DROPPED, Draft, Drawn, Edited, Plan, Read, coarse_region, grow
from tests.support.tiny import SMALL, random_planner

PROMPT, OTHER = "two cats on a red sofa", "a dog"
LOOSE = Sampling(temperature=1.0, top_p=0.9)
IDENTITY = settings(max_examples=200, deadline=None)
SIDES = st.sampled_from((32, 64))
SAMPLINGS = st.sampled_from((Sampling(), LOOSE, Sampling(top_k=1), Sampling(top_p=1.0, top_k=9)))
CELLS = st.sets(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1)
SEEDS = st.sampled_from((0, 7, 2**63, 2**64 - 1))


def write(model, layout, seeds, sampling, kept):
    return write_tokens(model, layout, seeds, sampling, kept)


@pytest.fixture(scope="module")
def planner():
    """One layer and a coarse grid of 4 tokens at most, so that hundreds of plans take seconds."""
    return random_planner(replace(SMALL, coarse_tokens=4, planner_layers=1))


@pytest.fixture(scope="module")
def writer(planner, tokenizer):
    return PlanWriter(tokenizer, planner.config, partial(write, planner), "abc")


@pytest.fixture(scope="module")
def plan_at_once(planner, tokenizer):
    return cache(partial(plan_prompt, planner, tokenizer, fingerprint="abc"))


@pytest.fixture(scope="module")
def plan(plan_at_once):
    return plan_at_once(PROMPT, 96, 64, batch=2, seed=3)


def region_of(*cells, grid=(2, 3), batch=1):
    region = torch.zeros(batch, *grid, dtype=torch.bool)
    for row, column in cells:
        region[:, row, column] = True
    return region


def assert_equal(found: Plan, expected: Plan):
    assert torch.equal(found.ids, expected.ids) and found.origins == expected.origins
    assert (found.coarse is None) == (expected.coarse is None)
    assert found.coarse is None or torch.equal(found.coarse, expected.coarse)


@IDENTITY
@given(width=SIDES, height=SIDES, batch=st.integers(1, 3), seed=SEEDS, sampling=SAMPLINGS)
def test_draft_and_finish_give_the_plan(writer, plan_at_once, width, height, batch, seed, sampling):
    draft = draft_plans(writer, PROMPT, width, height, batch=batch, seed=seed, sampling=sampling)
    finished = finish_plans(writer, draft, sampling=sampling)
    expected = plan_at_once(PROMPT, width, height, batch=batch, seed=seed, sampling=sampling)
    assert torch.equal(draft.ids, expected.coarse)
    assert_equal(finished, expected)
    assert (finished.log_probs - expected.log_probs).abs().max() <= 1e-4


def test_a_selected_draft_goes_on_with_its_own_seed(writer, plan):
    draft = draft_plans(writer, PROMPT, 96, 64, batch=2, seed=3)
    chosen = Plan(draft.ids[1:], origins=draft.origins[1:])
    finished = finish_plans(writer, chosen)
    assert torch.equal(finished.ids, plan.ids[1:]) and finished.origins == plan.origins[1:]


def test_other_settings_at_the_end_are_an_edit(writer):
    draft = draft_plans(writer, PROMPT, 64, 64)
    assert isinstance(draft.origins[0], Draft) and draft.origins[0].size == (64, 64)
    assert finish_plans(writer, draft, sampling=LOOSE).origins == (Edited("finish", draft.origins),)


@pytest.mark.parametrize("change, message", [
    (lambda draft, plan: plan, "every plan must be a draft from GLM-Image Draft Plan"),
    (lambda draft, plan: replace(draft, origins=()), "every plan must be a draft from GLM-Image Draft Plan"),
    (lambda draft, plan: replace(draft, origins=(draft.origins[0], Read((64, 64)))), r"\(got 1 of another kind\)"),
    (lambda draft, plan: replace(draft, origins=(draft.origins[0], replace(draft.origins[1], prompt="a"))),
     r"the same prompt \(got 2\)"),
    (lambda draft, plan: replace(draft, origins=(draft.origins[0], replace(draft.origins[1], size=(64, 64)))),
     r"the same size \(got 2\)"),
    (lambda draft, plan: Plan(draft.ids[..., :1], origins=draft.origins), "this planner's preview grid must have"),
    (lambda draft, plan: replace(draft, ids=draft.ids + 9999), "draft: ids must be from 0 to"),
])
def test_what_is_no_draft_is_refused(writer, plan, change, message):
    draft = draft_plans(writer, PROMPT, 96, 64, batch=2)
    with pytest.raises(GLMImageError, match=message):
        finish_plans(writer, change(draft, plan))


@IDENTITY
@given(width=SIDES, height=SIDES, seed=SEEDS, sampling=SAMPLINGS, prompt=st.sampled_from((PROMPT, OTHER)))
def test_a_whole_region_is_planning_anew(writer, plan_at_once, width, height, seed, sampling, prompt):
    old = plan_at_once(PROMPT, width, height, seed=5)
    new = replan(writer, old, torch.ones_like(old.ids, dtype=torch.bool), prompt, seed=seed, sampling=sampling)
    expected = plan_at_once(prompt, width, height, seed=seed, sampling=sampling)
    assert_equal(new, expected)
    assert torch.equal(new.log_probs, expected.log_probs)


def test_an_empty_region_is_the_plan_itself(writer, plan):
    assert replan(writer, plan, region_of(), OTHER) is plan


@IDENTITY
@given(cells=CELLS, margin=st.tuples(st.integers(0, 1), st.integers(0, 1)), seed=SEEDS, sampling=SAMPLINGS)
def test_beyond_the_margin_every_token_stays(writer, plan, cells, margin, seed, sampling):
    region = region_of(*cells)
    new = replan(writer, plan, region, OTHER, seed=seed, sampling=sampling, margin=margin)
    beyond = ~grow(region, *margin)[0]
    untouched = ~coarse_region(~beyond[None], *plan.coarse.shape[1:])[0]
    assert torch.equal(new.ids[:, beyond], plan.ids[:, beyond])
    assert torch.equal(new.coarse[:, untouched], plan.coarse[:, untouched])


@IDENTITY
@given(cells=CELLS, others=st.one_of(st.just(set()), CELLS), i=st.integers(0, 1), seed=SEEDS, sampling=SAMPLINGS)
def test_a_replanned_item_does_not_depend_on_its_batch(writer, plan, cells, others, i, seed, sampling):
    items = [cells, others] if i == 0 else [others, cells]
    region = torch.cat([region_of(*cells) for cells in items])
    together = replan(writer, plan, region, OTHER, seed=seed, sampling=sampling)
    item = Plan(plan.ids[i : i + 1], plan.coarse[i : i + 1], plan.origins[i : i + 1])
    alone = replan(writer, item, region[i : i + 1], OTHER, seed=(seed + i) % 2**64, sampling=sampling)
    assert_equal(alone, Plan(together.ids[i : i + 1], together.coarse[i : i + 1], together.origins[i : i + 1]))


def test_the_new_prompt_takes_the_place_of_the_old(writer, plan):
    new = replan(writer, plan, region_of((0, 0)), OTHER, seed=8)
    settings = {"temperature": 0.9, "top_p": 0.75, "top_k": 16384}
    drawn = [Drawn(OTHER, seed, (96, 64), settings, "abc") for seed in (8, 9)]
    assert new.origins == tuple(Edited("replan", (origin,)) for origin in drawn)


@torch.inference_mode()
def one_by_one(planner, layout, seeds, sampling, kept: Kept):
    """What ``write_tokens`` writes, but with one pass for every token and the nucleus found by sorting."""
    session = DecodeSession.start(planner, layout, len(seeds), "cpu", torch.float32)
    first, logits = layout.prompt_ids.shape[1], session.prefill(layout.prompt_ids).expand(len(seeds), -1)
    written = []
    for i in range(layout.new_tokens):
        if i:
            logits = session.decode(written[-1], first + i - 1)[:, 0]
        codes = logits[:, : planner.config.codebook_size]
        noise = draw_noise(item_keys(seeds, "cpu"), torch.tensor([i]), codes.shape[1])[:, 0]
        drawn = sample(codes, sampling, noise)
        nucleus = keep_top_p(keep_top_k(codes / sampling.temperature, sampling.top_k), sampling.top_p).isfinite()
        given, fixed = kept.tokens[:, i], kept.fixed[:, i]
        stays = (given != DROPPED) & (fixed | nucleus.gather(1, given.clamp(min=0)[:, None])[:, 0])
        written.append(torch.where(stays, given, drawn)[:, None])
    return torch.cat(written, dim=1)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_many_tokens_in_a_pass_are_the_tokens_one_by_one(planner, tokenizer, plan, data):
    layout = lay_out_prompt(tokenizer, planner.config, OTHER, 96, 64)
    rules = data.draw(st.lists(st.lists(st.sampled_from(["free", "fixed", "likely"]), min_size=plan.tokens,
                                        max_size=plan.tokens), min_size=2, max_size=2))
    is_free, is_fixed = (torch.tensor([[rule == name for rule in row] for row in rules]) for name in ("free", "fixed"))
    kept = Kept(torch.where(is_free, DROPPED, written_tokens(plan)), is_fixed)
    found, _ = write_tokens(planner, layout, [4, 5], LOOSE, kept, lookahead=data.draw(st.sampled_from((1, 3))))
    assert torch.equal(found, one_by_one(planner, layout, [4, 5], LOOSE, kept))


@given(logits=st.lists(st.floats(-9, 9), min_size=2, max_size=9, unique=True), sampling=SAMPLINGS)
def test_a_nucleus_holds_what_can_be_drawn(logits, sampling):
    logits = torch.tensor([logits])
    assume((logits.sort().values.diff() > 1e-4).all())  # ties may be cut either way
    kept = keep_top_p(keep_top_k(logits / sampling.temperature, sampling.top_k), sampling.top_p).isfinite()[0]
    found = in_nucleus(logits.expand(len(kept), -1), torch.arange(len(kept)), sampling)
    assert found.sum() == 1 if sampling.top_k == 1 else torch.equal(found, kept)


@IDENTITY
@given(width=SIDES, height=SIDES, seed=SEEDS, sampling=SAMPLINGS, coarse=st.booleans(), lookahead=st.integers(1, 5))
def test_a_plan_carries_its_likelihood(planner, tokenizer, width, height, seed, sampling, coarse, lookahead):
    plan = plan_prompt(planner, tokenizer, PROMPT, width, height, batch=2, seed=seed, sampling=sampling, coarse=coarse,
                       lookahead=lookahead)
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, width, height, coarse=coarse)
    assert (score(planner, layout, plan).sum(1) - plan.log_probs.sum(1)).abs().max() <= 1e-4


@pytest.mark.parametrize("made", ["finished", "replanned", "repaired"])
def test_a_redrawn_plan_carries_its_likelihood(planner, tokenizer, writer, plan, made):
    made_plan = {
        "finished": lambda: finish_plans(writer, draft_plans(writer, PROMPT, 96, 64, batch=2)),
        "replanned": lambda: replan(writer, plan, region_of((0, 1), (0, 2)), OTHER),
        "repaired": lambda: repair(writer, replace(plan, ids=plan.ids.flip(0)), PROMPT),
    }[made]()
    layout = lay_out_prompt(tokenizer, planner.config, OTHER if made == "replanned" else PROMPT, 96, 64)
    assert (score(planner, layout, made_plan).sum(1) - made_plan.log_probs.sum(1)).abs().max() <= 1e-4


@pytest.mark.parametrize("parts", [{}, {"coarse": None}, {"origins": ()}])
def test_the_likelihood_of_a_plan_is_computed_anew(planner, tokenizer, writer, plan, parts):
    """Under the plan's own prompt it is what the plan carries; what is not about likelihood stays."""
    bare = replace(plan, log_probs=None, **parts)
    own, other = (score_plans(writer, bare, prompt) for prompt in (PROMPT, OTHER))
    assert_equal(own, bare)
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64, coarse=bare.coarse is not None)
    assert (own.log_probs - score(planner, layout, bare)).abs().max() <= 1e-4
    assert "coarse" in parts or (own.log_probs - plan.log_probs).abs().max() <= 1e-4
    assert (own.log_probs - other.log_probs).abs().max() > 1e-3


def test_an_item_with_an_empty_region_keeps_its_origin(writer, plan):
    region = torch.cat([region_of(), region_of((0, 1))])
    replanned = replan(writer, plan, region, "a new prompt", seed=7)
    assert torch.equal(replanned.ids[0], plan.ids[0])
    assert replanned.origins[0] == plan.origins[0] and isinstance(replanned.origins[1], Edited)


def test_drafts_are_not_changed_as_plans_of_half_the_size(writer):
    draft, region = draft_plans(writer, PROMPT, 96, 64, batch=2), torch.ones(1, 1, 2, dtype=torch.bool)
    for change in (lambda: repair(writer, draft, PROMPT), lambda: replan(writer, draft, region, PROMPT)):
        with pytest.raises(GLMImageError, match=r"must be finished by GLM-Image Finish Plan .* \(got 2 drafts\)"):
            change()


def test_an_edit_is_weighed_with_its_references(planner, tokenizer, writer):
    references = [Plan(torch.arange(12).view(2, 3, 2))]
    plan = plan_prompt(planner, tokenizer, PROMPT, 96, 64, batch=2, references=references)
    weighed = score_plans(writer, replace(plan, log_probs=None), PROMPT, references)
    assert (weighed.log_probs - plan.log_probs).abs().max() <= 1e-4


@pytest.mark.parametrize("change, message", [
    (lambda plan: replace(plan, ids=plan.ids + 9999), "^plan: ids must be from 0 to"),
    (lambda plan: replace(plan, coarse=plan.coarse + 9999), "^preview grid: ids must be from 0 to"),
    (lambda plan: Plan(torch.full_like(plan.ids, DROPPED)), "all cells must have a token"),
    (lambda plan: replace(plan, coarse=torch.full_like(plan.coarse, DROPPED)), "^preview grid: all cells must have"),
    (lambda plan: replace(plan, coarse=plan.coarse[..., :1], log_probs=None), "plan: its grids .* must be"),
])
def test_what_cannot_be_weighed_is_named(writer, plan, change, message):
    with pytest.raises(GLMImageError, match=message):
        score_plans(writer, change(replace(plan, log_probs=None)), PROMPT)


def test_repair_leaves_a_plan_from_its_own_nucleus_as_it_is(writer, plan):
    repaired = repair(writer, plan, PROMPT, seed=99)
    assert_equal(repaired, plan)


def test_repair_draws_unlikely_tokens_again(writer, plan_at_once):
    """With greedy settings the only token in the nucleus is the likeliest."""
    plan = plan_at_once(PROMPT, 96, 64, sampling=Sampling(temperature=2.0, top_p=1.0))
    repaired = repair(writer, plan, PROMPT, sampling=Sampling(top_k=1))
    expected = plan_at_once(PROMPT, 96, 64, sampling=Sampling(top_k=1))
    assert torch.equal(repaired.ids, expected.ids) and not torch.equal(plan.ids, expected.ids)
    assert repaired.origins[0].operation == "repair" and repaired.origins[0].sources[0].prompt == PROMPT


def test_a_plan_without_coarse_grid_gets_one(writer, plan):
    bare = Plan(plan.ids, origins=(Read((96, 64)),) * 2)
    for new in (repair(writer, bare, PROMPT), replan(writer, bare, region_of((0, 0)), PROMPT)):
        assert new.coarse.shape == plan.coarse.shape
    assert torch.equal(new.ids[:, 1], plan.ids[:, 1])


def padded_plan(plan, left=0, top=0, right=0, bottom=0):
    ids = torch.nn.functional.pad(plan.ids, (left, right, top, bottom), value=DROPPED)
    return Plan(ids, origins=plan.origins)


@pytest.mark.parametrize("sides", [{"right": 3}, {"left": 2, "top": 1}, {"left": 1, "top": 2, "right": 3, "bottom": 4},
                                   {"right": 5}])
@pytest.mark.parametrize("largest", [96, 4096])
def test_padding_is_filled_and_the_old_part_stays(planner, plan, tokenizer, sides, largest):
    sizes = []

    def note_size(layout, *options):
        sizes.append(layout.size)
        return write(planner, layout, *options)

    small = PlanWriter(tokenizer, replace(planner.config, trained_sides=(32, largest)), note_size)
    padded = padded_plan(plan, **sides)
    filled = replan(small, padded, torch.zeros_like(padded.ids, dtype=torch.bool), OTHER, seed=1)
    is_old = padded.ids != DROPPED
    assert torch.equal(filled.ids[is_old], padded.ids[is_old]) and (filled.ids != DROPPED).all()
    assert all(max(size) <= largest for size in sizes) and (len(sizes) == 1) == (largest == 4096)
    assert (filled.log_probs is None) == (largest == 96)
    assert filled.origins[0].sources[1:] == (plan.origins[:1] if largest == 96 else ())


def test_a_region_of_a_large_plan_is_drawn_in_a_window(planner, tokenizer, plan):
    small = PlanWriter(tokenizer, replace(planner.config, trained_sides=(32, 64)), partial(write, planner))
    new = replan(small, plan, region_of((0, 1)), OTHER, margin=(0, 1))
    changeable = region_of((0, 0), (0, 1), (0, 2))[0]
    assert torch.equal(new.ids[:, ~changeable], plan.ids[:, ~changeable])


def test_windows_grow_from_what_is_there():
    left = torch.zeros(4, 12, dtype=torch.bool)
    left[:, 4:] = True
    starts = []
    while left.any():
        window = next_window(left, 4, 4)[1:]
        starts.append(window[1].start)
        left[window] = False
    assert starts == [2, 4, 6, 8]


def test_a_plan_of_another_planner_is_told(writer, plan, caplog):
    replan(replace(writer, fingerprint="def"), plan, region_of((0, 0)), PROMPT)
    assert "made by a planner with other weights (abc, this one is def)" in caplog.text
    with pytest.raises(GLMImageError, match="ids must be from 0 to"):
        replan(writer, replace(plan, ids=plan.ids + 9999), region_of((0, 0)), PROMPT)
    with pytest.raises(GLMImageError, match="region: the batch size must be 1 or 2"):
        replan(writer, plan, region_of((0, 0), batch=3), PROMPT)


@pytest.mark.parametrize("region, found", [
    (region_of((0, 0)).float(), r"torch.float32 \[1, 2, 3\]"), (region_of((0, 0))[0], r"torch.bool \[2, 3\]"),
    (region_of((0, 0), grid=(3, 3)), r"torch.bool \[1, 3, 3\]"),
])
def test_a_region_is_of_the_plans_grid(writer, plan, region, found):
    with pytest.raises(GLMImageError, match=rf"region must be bool \[B, 2, 3\], as the plan's grid is \(got {found}"):
        replan(writer, plan, region, PROMPT)


@pytest.mark.parametrize("margin, message", [
    ((-1, 0), r"margin_y must be from 0 to 128 \(got -1\)"), ((0, 2**70), "margin_x must be from 0 to 128"),
    ((0, 0.5), r"margin_x must be a whole number \(got 0.5\)"),
])
def test_a_margin_is_a_number_of_cells(writer, plan, margin, message):
    with pytest.raises(GLMImageError, match=message):
        replan(writer, plan, region_of((0, 0)), PROMPT, margin=margin)


def test_drafts_are_weighed_as_the_coarse_grids_that_they_are(writer):
    draft = draft_plans(writer, PROMPT, 96, 64, batch=2, seed=3)
    weighed = score_plans(writer, replace(draft, log_probs=None), PROMPT)
    assert (weighed.log_probs - draft.log_probs).abs().max() <= 1e-4
    assert_equal(weighed, draft)


@pytest.mark.parametrize("other, message", [
    (Read((64, 64)), r"\(got 1 drafts of 1 sizes among 2 plans\)"),
    (Draft(PROMPT, 0, (64, 64)), r"\(got 2 drafts of 2 sizes among 2 plans\)"),
])
def test_drafts_are_not_weighed_with_others(writer, other, message):
    draft = draft_plans(writer, PROMPT, 96, 64, batch=2)
    with pytest.raises(GLMImageError, match="all plans must be drafts of pictures of one size, or none.*" + message):
        score_plans(writer, replace(draft, origins=(draft.origins[0], other)), PROMPT)


def test_an_item_that_nothing_is_drawn_in_keeps_its_tokens_beside_others(planner, tokenizer, plan):
    """Also where windows are drawn for the others."""
    for largest in (4096, 64):
        small = PlanWriter(tokenizer, replace(planner.config, trained_sides=(32, largest)), partial(write, planner))
        region = torch.cat([region_of((0, 0), (1, 2)), region_of()])
        assert torch.equal(replan(small, plan, region, OTHER).ids[1], plan.ids[1])
