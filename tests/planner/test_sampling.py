import pytest
import torch
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

from glm_core.errors import GLMImageError
from glm_core.planner.sampling import Sampling, draw_sampling_noise, keep_top_k, keep_top_p, sample, seeded_generators


@pytest.fixture
def logits():
    return 3 * torch.randn(8, 500, generator=torch.Generator().manual_seed(0))


def draw(logits, generators):
    return sample(logits, Sampling(), draw_sampling_noise(generators, logits.shape[-1], Sampling()))


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
        noise = draw_sampling_noise(seeded_generators(seed, 8, "cpu"), 500, sampling)
        nucleus = keep_top_p(logits / sampling.temperature, p).softmax(-1)
        assert torch.equal(sample(logits, sampling, noise), (nucleus / noise).argmax(-1))


def test_a_certain_token_survives_a_tiny_top_p():
    logits = torch.tensor([[100.0, 0.0, 0.0]])
    assert keep_top_p(logits, 1e-6).isfinite().tolist() == [[True, False, False]]


def test_draws_follow_the_probabilities():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).repeat(20000, 1)
    sampling = Sampling(temperature=1.0, top_p=1.0)
    ids = sample(logits, sampling, draw_sampling_noise([torch.Generator().manual_seed(0)] * len(logits), 4, sampling))
    frequency = torch.bincount(ids, minlength=4) / len(ids)
    assert (frequency - logits[0].softmax(-1)).abs().max() < 0.01


def test_greedy_sampling_takes_the_first_of_equal_logits_and_draws_no_numbers():
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    greedy = Sampling(top_k=1)
    assert sample(torch.tensor([[0.0, 5.0, 5.0]]), greedy, draw_sampling_noise([generator], 3, greedy)).tolist() == [1]
    assert torch.equal(before, generator.get_state())


def test_an_item_does_not_depend_on_the_others_in_its_batch(logits):
    together = draw(logits, seeded_generators(11, 8, "cpu"))
    for i in range(8):
        assert draw(logits[i : i + 1], seeded_generators(11 + i, 1, "cpu"))[0] == together[i]


def test_sampling_leaves_the_global_generator_alone(logits):
    before = torch.get_rng_state()
    draw(logits, seeded_generators(0, 8, "cpu"))
    assert torch.equal(before, torch.get_rng_state())


def test_the_largest_seed_wraps():
    first, second = seeded_generators(2**64 - 1, 2, "cpu")
    assert first.initial_seed() == 2**64 - 1 and second.initial_seed() == 0


@pytest.mark.parametrize("name, value", [("temperature", 0), ("temperature", float("nan")), ("top_p", 0),
                                         ("top_p", 1.1), ("top_k", 0), ("top_k", 16385)])
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(GLMImageError, match=f"{name} must be from"):
        Sampling(**{name: value})
