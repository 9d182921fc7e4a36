"""Plans and pictures that a cluster draws to learn from: those of the process that learns."""

import random
from importlib.util import find_spec

import pytest
import torch

from glm_core.pipeline import load_planner, plan
from glm_core.pipeline.cluster import Pools
from glm_core.plans import Plan
from glm_core.rl import rollouts
from glm_core.rl.flow_grpo import FlowGRPO
from glm_core.rl.lora import attach_lora
from glm_core.rl.nft import NFT
from glm_core.rl.pictures import Painter
from glm_core.rl.planner import PlannerLearner
from glm_core.rl.rollouts import ClusterPictures, ClusterPlans, merged_weights
from glm_core.rl.sampler import PictureSampler
from glm_core.rl.settings import GRPO, RLSettings
from glm_core.rl.tasks import RLTask
from tests.rl.toy import SOURCE
from tests.support.compute import CPU
from tests.support.tiny import SMALL, random_planner, small_checkpoint

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed; pip install 'ray[data]'")
EDIT = RLTask("the", (), width=64, height=64, references=(Plan(torch.tensor([[[1, 2], [3, 4]]])),))
SIGNS = [RLTask(f'a "{text}"', (), width=64, height=64, plan=Plan(torch.tensor([[[1, 2], [3, code]]])))
         for code, text in enumerate("ABC")]
TASKS, SEEDS = [*SOURCE.draw(random.Random(0), 2), EDIT], [5, 6, 7]
POOLS = Pools(planners=1, threads=torch.get_num_threads())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


def changed(module):
    """The module with other weights."""
    for i, parameter in enumerate(module.parameters()):
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
    return module


def rollout_and_plans(source, folder, rank=None):
    """A rollout over a cluster with weights that are not those of the source, and the plans of this process."""
    planner = load_planner(source, CPU, fused=False)
    trained = changed(planner.model if rank is None else attach_lora(planner.model, rank, 0, "layers"))
    learner = PlannerLearner(planner.model, planner.tokenizer, trained, SOURCE, [], RLSettings(group=3), GRPO(), CPU)
    rollout = ClusterPlans(source, folder, planner.model, trained, 3, CPU, POOLS)
    return rollout, learner.rollout(TASKS, SEEDS)


def rollout_and_pictures(source, folder, method, rank=None):
    """As ``rollout_and_plans``, with samples of the decoder."""
    painter = Painter.load(source, CPU, steps=4, guidance=1.5)
    trained = painter.dit if rank is None else attach_lora(painter.dit, rank, 0, "transformer_blocks")
    sampler = PictureSampler(painter, trained, method, 3)
    changed(trained)
    rollout = ClusterPictures(source, folder / "decoder.safetensors", sampler, POOLS)
    return rollout, sampler.draw_all(SIGNS, SEEDS)


def check_equal_pictures(found, expected, tolerance=0.0):
    for own, other in zip(found, expected, strict=True):
        assert own.task.prompt == other.task.prompt and len(own.points) == len(other.points) > 0
        for point, wanted in zip(own.points, other.points):
            for name, value in vars(wanted).items():
                assert (getattr(point, name) - value).abs().max() <= tolerance, name
        assert (own.latents - other.latents).abs().max() <= tolerance


def check_equal(found, expected):
    for own, other in zip(found, expected, strict=True):
        assert torch.equal(own.ids, other.ids) and own.origins[0].seed == other.origins[0].seed
        assert own.coarse is other.coarse is None or torch.equal(own.coarse, other.coarse)


@pytest.mark.parametrize("rank", [None, 2], ids=["all weights", "LoRAs"])
def test_workers_draw_with_the_present_weights(source, tmp_path, monkeypatch, rank):
    monkeypatch.setattr(rollouts, "plan_on_cluster", lambda *given, pools: plan(*given))
    rollout, expected = rollout_and_plans(source, tmp_path / "rollout", rank)
    check_equal(rollout(TASKS, SEEDS), expected)


@pytest.mark.parametrize("rank", [None, 2], ids=["all weights", "LoRAs"])
@pytest.mark.parametrize("method", [FlowGRPO(), NFT()], ids=["flow-grpo", "nft"])
def test_workers_draw_pictures_with_the_present_weights_and_know_those_of_the_start(source, tmp_path, monkeypatch,
                                                                                    method, rank):
    def in_this_process(worker, values, size, gpus, pools, options):
        return [worker(**options, threads=pools.threads).answer(value) for value in values]

    monkeypatch.setattr(rollouts, "on_cluster", in_this_process)
    rollout, expected = rollout_and_pictures(source, tmp_path, method, rank)
    check_equal_pictures(rollout(SIGNS, SEEDS), expected, tolerance=0 if rank is None else 1e-4)


@pytest.mark.long
@needs_ray
def test_a_cluster_draws_the_same_plans(source, tmp_path):
    rollout, expected = rollout_and_plans(source, tmp_path / "rollout")
    check_equal(rollout(TASKS, SEEDS), expected)


@pytest.mark.long
@needs_ray
def test_a_cluster_draws_the_same_pictures(source, tmp_path):
    rollout, expected = rollout_and_pictures(source, tmp_path, FlowGRPO())
    check_equal_pictures(rollout(SIGNS, SEEDS), expected)


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
