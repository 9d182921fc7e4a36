import pytest
import torch

from glm_core.cli import main
from glm_core.training.recipe import SHORT, train
from tests.training.logs import losses

PROMPT = 'A red poster. At the top, "HI" in white letters.'


@pytest.mark.long
def test_the_short_recipe_learns_and_writes_a_checkpoint_that_draws(tmp_path):
    pytest.importorskip("matplotlib")
    train(SHORT, tmp_path, torch.device("cpu"))
    last = {"planner-small": "planner-mixed", "decoder": "decoder-last"}
    stages = "vision", "autoencoder", *last, *last.values()
    curves = {stage: losses(tmp_path / "training", stage) for stage in stages}
    for stage, share in {"vision": 0.5, "autoencoder": 0.9, "planner-small": 0.5, "decoder": 0.9}.items():
        assert curves[stage][-1] < share * curves[stage][0], stage
    for first, second in last.items():  # batches of a mix are of many kinds, so two of them cannot be compared
        assert max(curves[second]) < 0.9 * curves[first][0], second
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert main(["generate", "--model", str(tmp_path), "--prompt", PROMPT, "--width", "256", "--height", "256",
                 "--steps", "2", "--out", str(tmp_path / "a.png")]) == 0
