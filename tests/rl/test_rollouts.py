"""Plans that a cluster draws to learn from: those of the process that learns."""

import random
from importlib.util import find_spec

import pytest
import torch

from glm_core.pipeline import load_planner, plan
from glm_core.pipeline.cluster import Pools
from glm_core.plans import Plan
from glm_core.rl import rollouts
from glm_core.rl.lora import attach_lora
from glm_core.rl.planner import PlannerLearner
from glm_core.rl.rollouts import ClusterRollout, merged_weights
from glm_core.rl.settings import GRPO, RLSettings
from glm_core.rl.tasks import RLTask
from tests.rl.practice import SOURCE
from tests.support.compute import CPU
from tests.support.tiny import SMALL, random_planner, small_checkpoint

EDIT = RLTask("the", (), width=64, height=64, references=(Plan(torch.tensor([[[1, 2], [3, 4]]])),))
TASKS, SEEDS = [*SOURCE.draw(random.Random(0), 2), EDIT], [5, 6, 7]
POOLS = Pools(planners=1, threads=torch.get_num_threads())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


def rollout_and_plans(source, folder, rank=None):
    """A rollout over a cluster with weights that are not those of the source, and the plans of this process."""
    planner = load_planner(source, CPU, fused=False)
    trained = planner.model if rank is None else attach_lora(planner.model, rank, 0, "layers")
    for i, parameter in enumerate(trained.parameters()):
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
    learner = PlannerLearner(planner.model, planner.tokenizer, trained, SOURCE, [], RLSettings(group=3), GRPO(), CPU)
    rollout = ClusterRollout(source, folder, planner.model, trained, 3, CPU, POOLS)
    return rollout, learner.rollout(TASKS, SEEDS)


def check_equal(found, expected):
    for own, other in zip(found, expected, strict=True):
        assert torch.equal(own.ids, other.ids) and own.origins[0].seed == other.origins[0].seed
        assert own.coarse is other.coarse is None or torch.equal(own.coarse, other.coarse)


@pytest.mark.parametrize("rank", [None, 2], ids=["all weights", "LoRAs"])
def test_workers_draw_with_the_present_weights(source, tmp_path, monkeypatch, rank):
    monkeypatch.setattr(rollouts, "plan_on_cluster", lambda *given, pools: plan(*given))
    rollout, expected = rollout_and_plans(source, tmp_path / "rollout", rank)
    check_equal(rollout(TASKS, SEEDS), expected)


@pytest.mark.long
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed; pip install 'ray[data]'")
def test_a_cluster_draws_the_same_plans(source, tmp_path):
    rollout, expected = rollout_and_plans(source, tmp_path / "rollout")
    check_equal(rollout(TASKS, SEEDS), expected)


def test_merged_weights_do_what_hooked_loras_do():
    model = random_planner(SMALL)
    loras = attach_lora(model, 2, 0, "layers")
    for lora in loras.values():
        lora.b.data.normal_()
    x = torch.randn(1, 3, model.config.hidden_size)
    hooked = model.language_model.layers[0].mlp(x)
    merged = random_planner(SMALL)
    merged.load_state_dict(merged_weights(model, loras))
    assert torch.allclose(merged.language_model.layers[0].mlp(x), hooked, atol=1e-5)
