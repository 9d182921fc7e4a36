import os
import shutil

import pytest
import torch

from glm_core.checkpoint import PLANNER, read_part
from glm_core.errors import GLMImageError
from glm_core.rl.output import check_source, write_checkpoint
from tests.support.tiny import small_checkpoint

HEAD = "lm_head.weight"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


def stored(folder):
    return read_part(folder / PLANNER.folder, PLANNER).tensors


def linked_copy(source, out):
    shutil.copytree(source, out, copy_function=os.link)


def test_files_that_are_linked_to_another_model_stay_as_they_are(source, tmp_path):
    linked_copy(source, tmp_path / "out")
    before = stored(source)[HEAD].clone()
    write_checkpoint(source, tmp_path / "out", PLANNER, {HEAD: before + 1})
    assert torch.equal(stored(source)[HEAD], before)
    assert torch.equal(stored(tmp_path / "out")[HEAD], before + 1)


def test_a_part_that_is_a_link_to_the_models_is_refused(source, tmp_path):
    (tmp_path / "vae").symlink_to(source / "vae")
    before = sorted(source.rglob("*"))
    with pytest.raises(GLMImageError, match="its folder vae must not be a link to the model's"):
        write_checkpoint(source, tmp_path, PLANNER, {})
    assert sorted(source.rglob("*")) == before


def test_a_model_that_cannot_be_written_is_known_before(source, tmp_path):
    check_source(source, PLANNER, {HEAD: stored(source)[HEAD]})
    with pytest.raises(GLMImageError, match="lm_head.weight must have the shape"):
        check_source(source, PLANNER, {HEAD: torch.zeros(1)})
    with pytest.raises(GLMImageError, match="must be in the released layout"):
        check_source(tmp_path, PLANNER, {})
