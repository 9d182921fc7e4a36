"""Shares, their intervals, and tables of them."""

import math

import numpy as np
import pytest

from glm_core.rl.shares import add_counts, change_of, share_of, table


def test_shares_are_over_everything_counted_not_means_of_prompts():
    assert share_of([(1, 1), (0, 3)]).value == 0.25


def test_intervals_are_as_wide_as_prompts_vary():
    rng = np.random.default_rng(1)
    counts = [(int(right), 1) for right in rng.random(400) < 0.7]
    share = share_of(counts)
    expected = 1.96 * math.sqrt(share.value * (1 - share.value) / 400)
    assert share.high - share.value == pytest.approx(expected, rel=0.1)
    assert share.value - share.low == pytest.approx(expected, rel=0.1)


def test_what_is_right_or_wrong_together_counts_once():
    alone, together = [(1, 1), (0, 1)] * 50, [(4, 4), (0, 4)] * 50
    assert share_of(together) == share_of(alone)


def test_a_change_is_that_of_the_same_prompts():
    before, after = [(1, 2), (0, 2)] * 50, [(2, 2), (1, 2)] * 50
    change = change_of(before, after)
    assert change == pytest.approx((0.5, 0.5, 0.5)), "every prompt has one more, so the change is certain"
    assert change.low == change.high
    assert share_of(after).high - share_of(after).low > 0.1
    with pytest.raises(ValueError, match="same prompts"):
        change_of(before, after[1:])


def test_nothing_counted_has_no_share():
    assert math.isnan(share_of([(0, 0), (0, 0)]).value)
    assert share_of([(0, 0), (1, 1), (1, 1)]).value == 1


def test_tables_show_before_after_and_change():
    before, after = {}, {}
    for right in (0, 1, 1, 2):
        add_counts(before, "grid", words=(right, 2), whole_plans=(0, 1))
        add_counts(after, "grid", words=(2, 2), whole_plans=(1, 1))
    assert table(before) == [
        "      figure       before",
        "grid  words        4/8 = 50.0 % (12.5 to 87.5)",
        "grid  whole plans  0/4 = 0.0 %"]
    title, words, whole = table(before, after)
    assert title.split() == ["figure", "before", "after", "change"]
    assert words.endswith("8/8 = 100.0 %  +50.0 (+12.5 to +87.5)")
    assert whole.endswith("4/4 = 100.0 %  +100.0")
