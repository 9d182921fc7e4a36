import pytest
import torch
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

from glm_core.errors import GLMImageError
from glm_core.planner.noise import draw_noise, item_keys
from glm_core.planner.sampling import Sampling, keep_top_k, keep_top_p, sample


@pytest.fixture
def logits():
    return 3 * torch.randn(8, 500, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("p", [0.05, 0.5, 0.75, 0.99, 1.0])
def test_top_p_keeps_what_transformers_keeps(logits, p):
    expected = TopPLogitsWarper(p)(None, logits) if p < 1 else logits
    assert torch.equal(keep_top_p(logits, p), expected)


@pytest.mark.parametrize("k", [1, 7, 500, 16384])
def test_top_k_keeps_what_transformers_keeps(logits, k):
    assert torch.equal(keep_top_k(logits, k), TopKLogitsWarper(k)(None, logits))


@pytest.mark.parametrize("p", [0.05, 0.5, 0.75, 0.99, 1.0])
def test_drawing_without_sorting_gives_what_drawing_from_the_sorted_nucleus_gives(logits, p):
    for seed in range(20):
        sampling = Sampling(top_p=p)
        noise = draw_noise(item_keys(range(seed, seed + 8), "cpu"), torch.zeros(1), 500)[:, 0]
        nucleus = keep_top_p(logits / sampling.temperature, p).softmax(-1)
        assert torch.equal(sample(logits, sampling, noise), (nucleus / noise).argmax(-1))


def test_a_certain_token_survives_a_tiny_top_p():
    logits = torch.tensor([[100.0, 0.0, 0.0]])
    assert keep_top_p(logits, 1e-6).isfinite().tolist() == [[True, False, False]]


def test_draws_follow_the_probabilities():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).repeat(15000, 1)
    sampling = Sampling(temperature=1.0, top_p=1.0)
    ids = sample(logits, sampling, draw_noise(item_keys([0], "cpu"), torch.zeros(1), 60000).view(-1, 4))
    frequency = torch.bincount(ids, minlength=4) / len(ids)
    assert (frequency - logits[0].softmax(-1)).abs().max() < 0.01


def test_greedy_sampling_takes_the_first_of_equal_logits_without_noise():
    assert sample(torch.tensor([[0.0, 5.0, 5.0]]), Sampling(top_k=1), None).tolist() == [1]


@pytest.mark.parametrize("name, value", [("temperature", 0), ("temperature", float("nan")), ("top_p", 0),
                                         ("top_p", 1.1), ("top_k", 0), ("top_k", 16385)])
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(GLMImageError, match=f"{name} must be from"):
        Sampling(**{name: value})
