import random

import pytest
import torch

from glm_core import ops
from glm_core.planner import PlannerConfig, PlannerModel, PromptTokenizer, token_logits
from glm_core.planner.model import KVCache, rotary_table
from glm_core.planner.positions import positions
from glm_core.posters import CELL_CODES, make_tokenizer
from glm_core.training.loop import initialise
from glm_core.training.planner import Mix, draw_examples, token_weights
from glm_core.training.recipe import SHORT

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer():
    return PromptTokenizer(make_tokenizer().to_str())


@pytest.fixture(scope="module")
def planner():
    model = PlannerModel(PlannerConfig.from_json(SHORT.planner_config(8192), "short"), operations=ops)
    initialise(model, 0)
    return model.requires_grad_(False)


def logits_of_generation(model: PlannerModel, layout, codes: list[int]) -> torch.Tensor:
    """Logits [n, V] of one row alone, over a cache."""
    ids = torch.cat((layout.prompt_ids, torch.tensor([codes[:-1]])), dim=1)
    assert ids.shape[1] == layout.length - 1 and max(codes) < model.config.codebook_size
    tables = rotary_table(positions([*layout.segments, *layout.grids]), model.config, torch.float32)
    cos, sin = (table[: layout.length - 1] for table in tables)
    cache = KVCache(model.config, 1, layout.length, "cpu", torch.float32)
    hidden = model(model.embed(ids, CPU, torch.float32), (cos, sin), cache, 0)
    return model.lm_head(hidden)[0, layout.prompt_ids.shape[1] - 1 :]


@pytest.mark.parametrize("mix", [
    Mix(), Mix(cells=6, no_coarse=1.0, full_codebook=False), Mix(free=1.0, no_coarse=1.0), Mix(pairs=1.0),
    Mix(edits=1.0),
], ids=["whole posters", "small posters", "free posters", "pairs", "edits"])
@torch.inference_mode()
def test_padded_batches_give_the_logits_of_generation(planner, tokenizer, mix):
    """Training runs rows that are padded at the end, without a cache; generation runs step by step."""
    layouts, targets = zip(*draw_examples(planner, tokenizer, 3, mix, random.Random(0)))
    batched = token_logits(planner, layouts, torch.tensor(targets), CPU)
    for layout, codes, logits in zip(layouts, targets, batched):
        assert (logits_of_generation(planner, layout, codes) - logits).abs().max() <= 1e-4


def test_letters_and_coarse_grids_weigh_in_the_loss_as_the_mix_says():
    letter, empty = (next(i for code, i in CELL_CODES.items() if code[0] == kind) for kind in ("letter", "empty"))
    plan = torch.full((1, 4 + 36), empty)
    plan[0, 6] = letter
    expected = torch.tensor([[2.0] * 4 + [1.0] * 36])
    assert torch.equal(token_weights(plan, Mix(cells=6)), expected)
    expected[0, 6] = 5
    assert torch.equal(token_weights(plan, Mix(cells=6, letters=5.0)), expected)
