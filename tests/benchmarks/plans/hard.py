"""Hard prompts: how many words and plans are right at temperature 1 and by default, and in the likeliest of many."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from glm_core.evaluation.suites.codes import CodeResult, judge
from glm_core.planner import Sampling
from glm_core.plans import Plan
from glm_core.posters import Poster, caption, empty_code

from .cases import SEEDS, SETS, hard_posters, texts_of
from .planner import EmbeddedPlanner
from .table import Table

TEMPERATURE_1 = Sampling(temperature=1.0, top_p=1.0)
SAMPLINGS = {"temperature 1": TEMPERATURE_1, "default": Sampling()}
SIZES = 1, 2, 4, 8  # plans of which the best is taken
Score = Callable[[Plan, list[CodeResult], int], Tensor]  # plan, verdicts, code of the background → [B], best highest


def judge_all(plan: Plan, poster: Poster, quoted: list[str] | None = None) -> list[CodeResult]:
    """Of each item of the plan. quoted: the texts that the decoder gets, by default those of the prompt."""
    texts = texts_of(poster) if quoted is None else quoted
    return [judge(ids, poster, texts) for ids in plan.ids.tolist()]


def add_verdict(table: Table, row: str, seed: int, verdict: CodeResult) -> None:
    """Words and wholeness of one plan."""
    table.add(row, "words", seed, *verdict.words)
    table.add(row, "whole", seed, verdict.whole)


def log_likelihood(plan: Plan, verdicts: list[CodeResult], background: int) -> Tensor:
    """Mean over all tokens of the target grid."""
    return target_log_probs(plan).mean((1, 2))


def log_likelihood_of_items(plan: Plan, verdicts: list[CodeResult], background: int) -> Tensor:
    """Mean over the tokens of the target grid that do not show the background."""
    shows_item = plan.ids != background
    return (target_log_probs(plan) * shows_item).sum((1, 2)) / shows_item.sum((1, 2)).clamp(min=1)


def oracle(plan: Plan, verdicts: list[CodeResult], background: int) -> Tensor:
    """Right words, then wholeness: what no choice can exceed."""
    return torch.tensor([sum(verdict.words) + verdict.whole / 2 for verdict in verdicts])


def target_log_probs(plan: Plan) -> Tensor:
    assert plan.log_probs is not None
    return plan.log_probs[:, -plan.ids[0].numel() :].view(plan.ids.shape)


SCORES: dict[str, Score] = {"log-likelihood": log_likelihood, "log-likelihood of items": log_likelihood_of_items,
                            "oracle": oracle}


def best_of_many(planner: EmbeddedPlanner, set_name: str, number: int) -> Iterator[Table]:
    """The best of 1, 2, 4 and 8 plans by each score. The seeds of a case follow one another, for all three runs."""
    table = Table("hard prompts, best of N")
    for i, poster in enumerate(hard_posters(set_name, number)):
        for name, sampling in SAMPLINGS.items():
            for run in range(SEEDS):
                seed = SETS[set_name] + max(SIZES) * (SEEDS * i + run)
                plan = planner.plan(caption(poster), seed, sampling, max(SIZES))
                add_best(table, name, run, plan, poster)
        yield table


def add_best(table: Table, sampling: str, run: int, plan: Plan, poster: Poster) -> None:
    verdicts = judge_all(plan, poster)
    add_verdict(table, f"{sampling}, first", run, verdicts[0])
    for name, score in SCORES.items():
        values = score(plan, verdicts, empty_code(poster))
        for size in SIZES[1:]:
            add_verdict(table, f"{sampling}, best of {size} by {name}", run, verdicts[int(values[:size].argmax())])
