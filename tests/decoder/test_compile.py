"""torch.compile sees the whole network as one graph, so that nothing waits between its operations."""

import pytest
import torch

from glm_core.decoder import DiTConfig, GLMImageDiT
from tests.support.tiny import SMALL, random_module

REFERENCE = torch.zeros(1, 16, 8, 4), torch.zeros(1, 1, 8, 4, dtype=torch.int64)


@pytest.fixture(scope="module")
def dit():
    return random_module(GLMImageDiT, DiTConfig.from_json(SMALL.dit(), "tiny"))


def make_inputs(dit, height, width, text_len, references=0):
    x = torch.randn(1, 16, height, width)
    prior = torch.randint(0, 16, (1, 1, height, width))
    keys_values = [list(dit.reference_keys_values(*REFERENCE)) for _ in range(references)]
    return {"x": x, "timestep": torch.tensor([500.0]), "context": torch.randn(1, text_len, dit.config.text_embed_dim),
            "prior": prior, "references": keys_values}


@torch.no_grad()
@pytest.mark.parametrize("height, width, text_len, references",
                         [(8, 12, 0, 0), (7, 11, 5, 0), (9, 5, 3, 2),
                          *(pytest.param(8, 12, 5, references, marks=pytest.mark.long) for references in (0, 1))])
def test_there_is_one_graph(dit, height, width, text_len, references):
    inputs = make_inputs(dit, height, width, text_len, references)
    explained = torch._dynamo.explain(dit)(**inputs)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0), explained.break_reasons


@torch.no_grad()
def test_all_steps_of_a_run_share_it(dit):
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(dit, backend=counter, fullgraph=True)
    inputs = make_inputs(dit, 7, 12, 5, 1)
    for step in (999.0, 500.0, 1.0):
        now = {**inputs, "timestep": torch.tensor([step]), "x": torch.randn_like(inputs["x"])}
        assert (compiled(**now) - dit(**now)).abs().max() <= 1e-5
    assert counter.frame_count == 1
