import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.planner import PlannerModel, lay_out_prompt, plan_prompt, score, token_logits
from glm_core.planner.score import written_tokens
from glm_core.planner.session import DecodeSession
from glm_core.plans import DROPPED, Plan
from tests.planner.test_model import fuse

PROMPT = "two cats on a red sofa"


@torch.inference_mode()
def log_probs_while_decoding(planner: PlannerModel, layout, plan: Plan) -> torch.Tensor:
    """What ``score`` computes in one pass, but token by token with a cache."""
    session = DecodeSession.start(planner, layout, plan.batch, "cpu", torch.float32)
    tokens, first = written_tokens(plan), layout.prompt_ids.shape[1]
    logits, found = session.prefill(layout.prompt_ids).expand(plan.batch, -1), []
    for i in range(tokens.shape[1]):
        if i:
            logits = session.decode(tokens[:, i - 1 : i], first + i - 1)[:, 0]
        codes = logits[:, : planner.config.codebook_size].log_softmax(-1)
        found.append(codes.gather(1, tokens[:, i : i + 1])[:, 0])
    return torch.stack(found, dim=1)


def test_tokens_are_written_coarse_grid_first():
    ids, coarse = torch.arange(12).view(2, 2, 3), torch.arange(4).view(2, 1, 2)
    assert written_tokens(Plan(ids, coarse)).tolist() == [[0, 1, 0, 1, 2, 3, 4, 5], [2, 3, 6, 7, 8, 9, 10, 11]]
    assert written_tokens(Plan(ids)).tolist() == ids.flatten(1).tolist()


@pytest.mark.parametrize("coarse", [True, False])
@pytest.mark.parametrize("fused", [True, False])
def test_a_plan_is_scored_as_it_was_decoded(planner, tokenizer, coarse, fused):
    plan = plan_prompt(planner, tokenizer, PROMPT, 96, 64, batch=2, seed=3, coarse=coarse)
    model = fuse(planner) if fused else planner
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64, coarse=coarse)
    scored = score(model, layout, plan)
    assert scored.shape == (2, plan.tokens) and scored.dtype == torch.float32
    assert (scored - log_probs_while_decoding(planner, layout, plan)).abs().max() <= 1e-4
    assert Plan(plan.ids, plan.coarse, plan.origins, scored.detach()).log_probs.shape == scored.shape


def test_an_edit_is_scored_with_its_references(planner, tokenizer):
    references = [Plan(torch.arange(12).view(2, 3, 2))]
    plan = plan_prompt(planner, tokenizer, PROMPT, 96, 64, batch=2, references=references)
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64, references)
    assert (score(planner, layout, plan) - log_probs_while_decoding(planner, layout, plan)).abs().max() <= 1e-4


def test_a_score_is_differentiable(planner, tokenizer):
    plan = plan_prompt(planner, tokenizer, PROMPT, 64, 64)
    score(planner, lay_out_prompt(tokenizer, planner.config, PROMPT, 64, 64), plan).sum().backward()
    gradient = planner.lm_head.weight.grad
    assert gradient is not None and gradient[: planner.config.codebook_size].abs().max() > 0
    planner.zero_grad(set_to_none=True)


def test_prompts_of_different_lengths_are_scored_as_if_each_were_alone(planner, tokenizer):
    layouts = [lay_out_prompt(tokenizer, planner.config, prompt, 64, 64) for prompt in (PROMPT, "x")]
    tokens = torch.cat([written_tokens(plan_prompt(planner, tokenizer, PROMPT, 64, 64, seed=seed)) for seed in (1, 2)])
    with torch.no_grad():
        together = token_logits(planner, layouts, tokens)
        alone = [token_logits(planner, [layout], row[None])[0] for layout, row in zip(layouts, tokens)]
    assert (together - torch.stack(alone)).abs().max() <= 1e-4 * together.abs().max()


def test_a_plan_of_another_size_is_refused(planner, tokenizer):
    plan = plan_prompt(planner, tokenizer, PROMPT, 96, 64)
    with pytest.raises(GLMImageError, match="plan: its grids .* must be"):
        score(planner, lay_out_prompt(tokenizer, planner.config, PROMPT, 64, 64), plan)


def test_references_of_another_batch_are_refused(planner, tokenizer):
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64, [Plan(torch.arange(12).view(2, 3, 2))])
    with pytest.raises(GLMImageError, match=r"the batch size must be 1 or 3.* \(got 2\)"):
        score(planner, layout, Plan(torch.zeros(3, 2, 3, dtype=torch.int64)))


def test_a_plan_with_cells_without_tokens_is_not_scored(planner, tokenizer):
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64, coarse=False)
    with pytest.raises(GLMImageError, match="plan: all cells must have a token"):
        score(planner, layout, Plan(torch.full((1, 2, 3), DROPPED)))
