import json
import random
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from PIL import ImageStat

from glm_core.checkpoint.lora import DIFFUSION_STYLES, read_lora
from glm_core.decoder import AutoencoderKL, DiTConfig, GLMImageDiT, VAEConfig
from glm_core.errors import GLMImageError
from glm_core.glyph import GlyphConfig, GlyphEncoder
from glm_core.pipeline import Compute
from glm_core.plans import Plan
from glm_core.rl.decoder import DecoderLearner
from glm_core.rl.flow_grpo import FlowGRPO
from glm_core.rl.loop import run_loop
from glm_core.rl.lora import DECODER_FILE, attach_lora, save_decoder_lora
from glm_core.rl.nft import NFT
from glm_core.rl.pictures import Painter
from glm_core.rl.rewards import Sample, Score, WeightedReward
from glm_core.rl.sampler import PictureSampler
from glm_core.rl.settings import RLSettings
from glm_core.rl.tasks import RLTask, TaskSource
from tests.support.tiny import SMALL, random_module

CPU = Compute(torch.device("cpu"), torch.float32)
SETTINGS = RLSettings(prompts=2, group=6, updates=6, learning_rate=2e-3, average=0.5, save_every=2)
METHODS = {"cps": FlowGRPO("cps", kl=0.01), "sde": FlowGRPO("sde", kl=0.01), "nft": NFT(kl=0.01)}


class Brightness:
    """The mean of all channels."""

    needs_pictures = True

    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        return [Score(sum(ImageStat.Stat(sample.require_picture()).mean)) for sample in samples]


class Nothing(Brightness):
    def __call__(self, samples: Sequence[Sample]) -> list[Score]:
        return [Score(1.0) for _ in samples]


def draw_task(rng: random.Random) -> RLTask:
    plan = Plan(torch.tensor([[[rng.randrange(64)]]]))
    return RLTask(f'a sign that says "{rng.choice("ABC")}"', (), plan=plan)


SOURCE = TaskSource({"signs": draw_task})


def painter(steps: int = 4, guidance: float = 1.0) -> Painter:
    dit = random_module(GLMImageDiT, DiTConfig.from_json(SMALL.dit(), "tiny"))
    glyph = random_module(GlyphEncoder, GlyphConfig.from_json(SMALL.glyph(), "tiny"))
    vae = random_module(AutoencoderKL, VAEConfig.from_json(SMALL.vae(), "tiny"))
    return Painter(dit, glyph, vae, CPU, steps, guidance)


def learner(method, settings=SETTINGS, own=None, trained=None, reward=Brightness(), source=SOURCE) -> DecoderLearner:
    own = own or painter()
    sampler = PictureSampler(own, trained or own.dit, method, settings.group)
    return DecoderLearner(sampler, source, [WeightedReward("bright", 1.0, reward)], settings)


def logged(folder, name: str) -> list[float]:
    return [json.loads(line)[name] for line in (folder / "decoder.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", METHODS)
def test_pictures_become_brighter_than_those_of_the_start_with_the_same_noise(name, tmp_path):
    settings = replace(SETTINGS, updates=10)
    for folder, used in (("start", replace(settings, learning_rate=1e-12)), ("learned", settings)):
        run_loop("decoder", learner(METHODS[name], used), used, tmp_path / folder)
    start, learned = (logged(tmp_path / folder, "bright") for folder in ("start", "learned"))
    assert learned[0] == start[0] and sum(learned[-4:]) > sum(start[-4:]) + 4


@pytest.mark.parametrize("name", ["cps", "nft"])
def test_an_interrupted_run_ends_with_the_same_weights(name, tmp_path):
    def stop(update: int, figures: dict) -> None:
        if update == 3:
            raise KeyboardInterrupt

    whole = run_loop("decoder", learner(METHODS[name]), SETTINGS, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_loop("decoder", learner(METHODS[name]), SETTINGS, tmp_path / "cut", stop)
    resumed = run_loop("decoder", learner(METHODS[name]), SETTINGS, tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_the_first_update_on_new_pictures_never_meets_the_clip(tmp_path):
    """Old and new weights are the same; with two updates on the same pictures they are not."""
    method = FlowGRPO(clip=1e-6, kl=0.0)
    run_loop("decoder", learner(method), SETTINGS, tmp_path / "once")
    run_loop("decoder", learner(method), replace(SETTINGS, reuse=2), tmp_path / "twice")
    assert set(logged(tmp_path / "once", "clipped")) == {0}
    assert min(logged(tmp_path / "twice", "clipped")) > 0


@pytest.mark.parametrize("name", ["cps", "nft"])
def test_loras_learn_while_the_model_stays_and_their_file_is_read(name, tmp_path):
    own = painter()
    before = deepcopy(own.dit.state_dict())
    loras = attach_lora(own.dit, 4, 0, "transformer_blocks")
    run_loop("decoder", learner(METHODS[name], own=own, trained=loras), SETTINGS, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in own.dit.state_dict().items())
    assert logged(tmp_path, "kl")[0] == 0 < logged(tmp_path, "kl")[-1]
    save_decoder_lora(loras, tmp_path)
    modules = [name.removesuffix(".weight") for name in before if name.endswith(".weight")]
    found = read_lora(tmp_path / DECODER_FILE)
    assert set(found.matching(DIFFUSION_STYLES, modules)) == {name.replace("/", ".") for name in loras}
    assert not found.unknown and all(adapter.tensors["lora_up.weight"].any() for adapter in found.adapters.values())


@pytest.mark.parametrize("name", ["cps", "nft"])
def test_the_divergence_is_from_the_starting_weights(name):
    learning = learner(METHODS[name])
    batch, figures = learning.collect(random.Random(0), 0, torch.optim.swa_utils.AveragedModel(learning.trained))
    list(learning.losses(batch, random.Random(0)))
    assert figures["kl"] == 0
    with torch.no_grad():
        for parameter in learning.trained.parameters():
            parameter.mul_(1.1)
    list(learning.losses(batch, random.Random(0)))
    assert figures["kl"] > 0


def test_samples_of_nft_come_from_the_averaged_weights_and_those_of_grpo_from_the_present_ones():
    for method, is_average in ((NFT(), True), (FlowGRPO(), False)):
        learning = learner(method)
        average = torch.optim.swa_utils.AveragedModel(learning.trained)
        drawn = learning.collect(random.Random(0), 0, average)[1]["bright"]
        with torch.no_grad():
            for parameter in learning.trained.parameters():
                parameter.mul_(1.1)
        assert (learning.collect(random.Random(0), 0, average)[1]["bright"] == drawn) == is_average


def test_pictures_that_are_equally_good_teach_nothing(tmp_path):
    own = painter()
    before = deepcopy(own.dit.state_dict())
    settings = replace(SETTINGS, updates=1)
    run_loop("decoder", learner(METHODS["nft"], settings, own, reward=Nothing()), settings, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in own.dit.state_dict().items())
    assert logged(tmp_path, "groups") == [0]


def test_with_guidance_both_branches_are_drawn_and_learned(tmp_path):
    settings = replace(SETTINGS, updates=1)
    for method in METHODS.values():
        run_loop("decoder", learner(method, settings, painter(guidance=2.0)), settings, tmp_path / str(method))
        assert logged(tmp_path / str(method), "gradient")[0] > 0


def test_tasks_without_a_plan_and_too_few_steps_are_refused():
    with pytest.raises(GLMImageError, match="must have a plan"):
        source = TaskSource({"": lambda rng: RLTask("a", ())})
        learning = learner(NFT(), source=source)
        learning.collect(random.Random(0), 0, torch.optim.swa_utils.AveragedModel(learning.trained))
    with pytest.raises(GLMImageError, match="--window must be at most 2"):
        learner(FlowGRPO(window=3), own=painter(steps=4))
