"""The random numbers that decide tokens: known answers, accuracy, independence."""

import math

import numpy as np
import pytest
import torch

from glm_core.planner.noise import draw_noise, exponential, item_keys, random_bits, splitmix64

CODES = 16384
ITEMS = 200
KNOWN_BITS = {  # (seed, token, code): computed with Python's integers
    (0, 0, 0): 1278690434, (0, 0, 1): 2114408591, (0, 1, 0): 292059807, (1, 0, 0): 170525141,
    (42, 79, 6155): 576652090, (7, 4095, 16383): 2240348313, (2**64 - 1, 65535, 65535): 2152595054,
}


def noise_of(seed: int, batch: int, tokens: int | torch.Tensor, codes: int = CODES) -> torch.Tensor:
    """As ``draw_noise``; of one token [batch, codes]."""
    keys = item_keys(range(seed, seed + batch), "cpu")
    return draw_noise(keys, torch.tensor([tokens]), codes)[:, 0] if isinstance(tokens, int) else draw_noise(
        keys, tokens, codes)


def test_the_keys_are_those_of_splitmix64():
    assert [splitmix64(seed) for seed in (0, 1, 2**64 - 1)] == [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1,
                                                                0xE4D971771B652C20]
    unsigned = item_keys((2**64 - 1, 2**64), "cpu").numpy().view(np.uint32).tolist()
    assert unsigned == [[0xE4D97177, 0x1B652C20], [0xE220A839, 0x7B1DCDAF]]  # the seed after the largest is 0


@pytest.mark.parametrize("seed, token, code", KNOWN_BITS)
def test_the_integers_are_known(seed, token, code):
    key, = item_keys([seed], "cpu")
    bits = random_bits(key[:1], key[1:], torch.tensor([token], dtype=torch.int32), code + 1)
    assert bits[code].item() % 2**32 == KNOWN_BITS[seed, token, code]


def test_logarithms_are_within_two_units_in_the_last_place():
    """All powers of two and what is beside them, both ends, and a million values between."""
    edges = [2**i + offset for i in range(23) for offset in (-1, 0, 1)]
    steps = np.unique(np.clip([*edges, *range(4096), *range(2**23 - 4096, 2**23), *range(0, 2**23, 8)], 0, 2**23 - 1))
    found = exponential(torch.from_numpy((steps << 9).astype(np.uint32).view(np.int32))).numpy()
    exact = -np.log((steps + 0.5) / 2**23)
    assert found.min() > 0
    assert (np.abs(found - exact) <= 2 * np.spacing(exact.astype(np.float32))).all()


def test_a_number_depends_on_seed_token_and_code_alone():
    alone = [[noise_of(11 + i, 1, token, 300)[0] for token in (5, 3, 70)] for i in range(3)]
    together = noise_of(11, 3, torch.tensor([5, 3, 70]), 500)[..., :300]
    assert torch.equal(together, torch.stack([torch.stack(tokens) for tokens in alone]))


def at_once(keys: torch.Tensor, tokens: torch.Tensor, codes: int) -> torch.Tensor:
    """``draw_noise`` as on a GPU."""
    return exponential(random_bits(keys[:, None, :1], keys[:, None, 1:], tokens.int()[:, None], codes))


def test_all_at_once_as_on_other_devices_gives_what_rows_give():
    keys, tokens = item_keys(range(3, 7), "cpu"), torch.tensor([0, 9, 65535])
    assert torch.equal(at_once(keys, tokens, CODES), draw_noise(keys, tokens, CODES))
    on_meta = draw_noise(keys.to("meta"), tokens.to("meta"), CODES)
    assert on_meta.shape == (4, 3, CODES) and on_meta.dtype == torch.float32


def test_no_random_state_is_used():
    before = torch.get_rng_state()
    noise_of(0, 2, 0)
    assert torch.equal(before, torch.get_rng_state())


def kolmogorov_smirnov(noise: np.ndarray) -> np.ndarray:
    """For each row, the distance to Exp(1), times the root of its length."""
    ordered, n = 1 - np.exp(-np.sort(noise.astype(np.float64))), noise.shape[1]
    above, below = np.arange(1, n + 1) / n - ordered, ordered - np.arange(n) / n
    return np.maximum(above.max(1), below.max(1)) * math.sqrt(n)


@pytest.fixture(scope="module")
def first_tokens():
    """float32 [200, 16384]: token 0 of consecutive seeds."""
    return noise_of(0, ITEMS, 0).numpy()


@pytest.fixture(scope="module")
def one_item():
    """float32 [200, 16384]: consecutive tokens of one item."""
    return noise_of(1234, 1, torch.arange(ITEMS))[0].numpy()


@pytest.mark.parametrize("name", ["first_tokens", "one_item"])
def test_the_noise_is_exponential(name, request):
    noise = request.getfixturevalue(name)
    distances = kolmogorov_smirnov(noise)
    assert 2 <= (distances > 1.358).sum() <= 20  # the limit of 5 %: 10 of 200 are expected
    assert distances.max() < 2.23  # of 0.01 %
    assert kolmogorov_smirnov(noise.reshape(1, -1))[0] < 1.95  # of 0.1 %: all 3.3 million numbers together


def z_scores(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlations of the rows of two uniform arrays, in standard deviations."""
    return 12 * ((a - 0.5) * (b - 0.5)).mean(1) * math.sqrt(a.shape[1])


@pytest.mark.parametrize("name", ["first_tokens", "one_item"])
def test_neighbours_are_not_correlated(name, request):
    """Neighbouring seeds or tokens, and neighbouring codes."""
    uniform = np.exp(-request.getfixturevalue(name).astype(np.float64))
    z = np.concatenate([z_scores(uniform[:-lag], uniform[lag:]) for lag in (1, 2, 8)]
                       + [z_scores(uniform[:, :-lag], uniform[:, lag:]) for lag in (1, 2, 64)])
    assert 0.92 < z.std() < 1.08 and abs(z.mean()) < 0.15 and np.abs(z).max() < 4.5


def test_every_code_wins_equally_often():
    """χ² of the codes with the least noise, 64 codes and 20,000 tokens: 63 ± 11."""
    winners = at_once(item_keys(range(5, 9), "cpu"), torch.arange(5000), 64).argmin(-1)
    counts = torch.bincount(winners.flatten(), minlength=64).double()
    expected = winners.numel() / 64
    assert 30 < ((counts - expected) ** 2 / expected).sum().item() < 104  # 0.01 % on either side
