"""A whole run: measure, train, write, measure again. A resumed run does not repeat what is already done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from ..checkpoint import DIFFUSION, PLANNER, Part
from ..checkpoint.write import write_json
from ..errors import GLMImageError
from ..files import read_json
from ..ocr import Reader
from ..pipeline import Compute, LoadedPlanner, Progress, RenderSettings, load_planner
from ..pipeline.cluster import Pools, connected
from ..training.loop import draw_curves
from .decoder import DecoderLearner
from .flow_grpo import FlowGRPO
from .loop import Learner, run_loop
from .lora import DECODER_FILE, PLANNER_FILE, attach_lora, save_decoder_lora, save_planner_lora
from .measure import Look, measure_decoder, measure_planner
from .nft import NFT
from .output import check_no_model, check_other_folder, check_source, write_checkpoint
from .pictures import Painter
from .planner import PlannerLearner
from .rewards import WeightedReward, need_pictures
from .rollouts import ClusterPictures, ClusterPlans
from .sampler import PictureSampler
from .settings import GRPO, RLSettings
from .shares import Shares, table
from .tasks import RLTask, TaskSource

STATES, SETTINGS, BEFORE, REPORT = "training", "settings.json", "before.json", "report.json"
ROLLOUT = "rollout"  # folder for the weights that a cluster draws with
MEANING = "docs/reinforcement-learning.md says what each figure means."
NEW_CHECKPOINT = ("New checkpoint: {0}. To draw with it: python -m glm_core generate --model {0}, or in ComfyUI the "
                  "node Load GLM-Image Folder, once it is in models/diffusers.")
NEW_LORA = "New LoRA: {}. To use it in ComfyUI, copy it to models/loras and choose it in Load GLM-Image LoRA."
NOTHING_LEARNED = ("Nothing was learned: the rewards found all plans or pictures of each prompt equally good. Try a "
                   "larger --group, or another reward.")
BLOCKS = {PLANNER: "layers", DIFFUSION: "transformer_blocks"}  # in the names of the layers that get LoRAs


@dataclass(frozen=True)
class Run:
    """What a run needs, for either part.

    source: of training prompts. measured: tasks for the figures before and after; plans: of each, for the planner.
    lora: rank of the LoRAs to train, or None for all weights. drawing: settings of pictures for rewards; measuring: of
    those for the figures. options: further ones that decide what is trained.
    progress, report: show progress, and lines of text. pools: those of the Ray cluster that draws plans or pictures.
    """

    model: Path
    out: Path
    compute: Compute
    settings: RLSettings
    rewards: Sequence[WeightedReward]
    source: TaskSource
    measured: Sequence[RLTask]
    plans: int
    reader: Reader
    lora: int | None
    drawing: RenderSettings
    measuring: RenderSettings
    progress: Progress
    report: Callable[[str], object]
    options: Mapping[str, Any] = field(default_factory=dict)
    pools: Pools | None = None

    @property
    def states(self) -> Path:
        return self.out / STATES

    def painter(self, model: Path, settings: RenderSettings) -> Painter:
        return Painter.load(model, self.compute, settings.steps, settings.guidance)

    def learnable(self, module: nn.Module, part: Part) -> nn.Module:
        """What is trained: the module, or LoRAs hooked to it."""
        if self.lora is None:
            return module.requires_grad_(True)
        return attach_lora(module, self.lora, self.settings.seed, BLOCKS[part])

    def learn(self, name: str, learner: Learner) -> None:
        """Train with a progress bar; the rewards are plotted at the end."""
        cluster = connected(self.pools) if self.pools else nullcontext()
        with cluster, self.progress("train", self.settings.updates // self.settings.reuse, "batch") as advance:
            run_loop(name, learner, self.settings, self.states, lambda update, figures: advance())
        lines = (self.states / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        if not any(json.loads(line)["groups"] for line in lines):
            self.report(NOTHING_LEARNED)
        names = [reward.name for reward in self.rewards]
        draw_curves(self.states, self.out / "curves.png", names, logarithmic=False)

    def check_settings(self, method: GRPO | FlowGRPO | NFT) -> None:
        """Store the settings of a new run. Raises GLMImageError, naming the first that differs from the stored ones.

        The number of updates is not stored: more of them continue a finished run.
        """
        check_other_folder(self.out, self.model)
        own = {"method": type(method).__name__, **asdict(self.settings), **asdict(method), "model": str(self.model),
               "lora": self.lora, "rewards": [f"{reward.name} {reward.weight:g}" for reward in self.rewards],
               **self.options}
        del own["updates"]
        path = self.states / SETTINGS
        if not path.exists():
            check_no_model(self.out)
            keep(path, own)
        kept = read_json(path)
        for name, value in own.items():
            if name in kept and kept[name] != value:
                raise GLMImageError(f"--out {self.out}: to resume the run in it, {name} must be {kept[name]!r} "
                                    f"(got {value!r}); choose another folder for a new run")

    def before(self, measure: Callable[[], Shares]) -> Shares:
        """The figures before, which are kept, and measured again if other prompts or settings are to be measured."""
        of = {"prompts": [task.prompt for task in self.measured], "plans": self.plans, "steps": self.measuring.steps,
              "guidance": self.measuring.guidance}
        path = self.states / BEFORE
        if not path.exists() or read_json(path).get("of") != of:
            keep(path, {"of": of, "shares": measure()})
        return read_json(path)["shares"]

    def measure(self, count: Callable[[Callable[[], object]], Shares]) -> Shares:
        with self.progress("measure", len(self.measured), "prompt") as advance:
            return count(advance)

    def finish(self, before: Shares, after: Shares, lora_file: str) -> None:
        """Report the figures, and where the result is. lora_file: its name, if LoRAs were trained."""
        write_json(self.states / REPORT, {"before": before, "after": after})
        result = NEW_CHECKPOINT.format(self.out) if self.lora is None else NEW_LORA.format(self.out / lora_file)
        for line in (*table(before, after), "", MEANING, result):
            self.report(line)


def keep(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file that is never there in part."""
    partial = path.with_suffix(".partial")
    write_json(partial, values)
    partial.replace(path)


def with_settings(painter: Painter, settings: RenderSettings) -> Painter:
    return replace(painter, steps=settings.steps, guidance=settings.guidance)


def improve_planner(run: Run, method: GRPO) -> None:
    """Train the planner, write the checkpoint or LoRA, and report figures before and after."""
    run.check_settings(method)
    planner, painter = load_planner(run.model, run.compute, fused=False), run.painter(run.model, run.measuring)
    if run.lora is None or run.pools:  # a cluster's planners load a checkpoint
        check_source(run.model, PLANNER, planner.model.state_dict())

    def measured(planner: LoadedPlanner) -> Shares:
        return run.measure(lambda advance: measure_planner(planner, run.compute, run.measured, run.plans,
                                                           Look(painter, run.reader), advance))

    before = run.before(lambda: measured(planner))
    trained = run.learnable(planner.model, PLANNER)
    drawing = with_settings(painter, run.drawing) if need_pictures(run.rewards) else None
    rollout = run.pools and ClusterPlans(run.model, run.states / ROLLOUT, planner.model, trained, run.settings.group,
                                         run.compute, run.pools)
    run.learn("planner", PlannerLearner(planner.model, planner.tokenizer, trained, run.source, run.rewards,
                                        run.settings, method, run.compute, drawing, rollout))
    if isinstance(trained, nn.ModuleDict):
        assert run.lora is not None
        save_planner_lora(trained, run.out, run.lora)
    else:
        write_checkpoint(run.model, run.out, PLANNER, planner.model.state_dict())
        planner = load_planner(run.out, run.compute, fused=False)  # rounds as before
    run.finish(before, measured(planner), PLANNER_FILE)


def improve_decoder(run: Run, method: FlowGRPO | NFT) -> None:
    """Train the decoder, write the checkpoint or LoRA, and report figures before and after."""
    run.check_settings(method)
    painter = run.painter(run.model, run.drawing)
    if run.lora is None:
        check_source(run.model, DIFFUSION, painter.dit.state_dict())

    def measured(painter: Painter) -> Shares:
        look = Look(with_settings(painter, run.measuring), run.reader)
        return run.measure(lambda advance: measure_decoder(look, run.measured, advance))

    before = run.before(lambda: measured(painter))
    trained = run.learnable(painter.dit, DIFFUSION)
    sampler = PictureSampler(painter, trained, method, run.settings.group)
    weights = run.states / ROLLOUT / "decoder.safetensors"
    rollout = run.pools and ClusterPictures(run.model, weights, sampler, run.pools)
    run.learn("decoder", DecoderLearner(sampler, run.source, run.rewards, run.settings, rollout))
    if isinstance(trained, nn.ModuleDict):
        save_decoder_lora(trained, run.out)
    else:
        write_checkpoint(run.model, run.out, DIFFUSION, painter.dit.state_dict())
        painter = run.painter(run.out, run.measuring)
    run.finish(before, measured(painter), DECODER_FILE)
