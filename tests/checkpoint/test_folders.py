import os
import time
from unittest.mock import patch

import pytest

from glm_core.checkpoint import PLANNER, find_released_folders, folders


@pytest.fixture
def make(tmp_path):
    """Make a model in a folder below tmp_path."""
    def model(name: str):
        (tmp_path / name / PLANNER.folder / "inside" / PLANNER.folder).mkdir(parents=True)
        return tmp_path / name
    return model


def names(root) -> list[str]:
    return list(find_released_folders(root))


def test_models_are_named_by_their_place_and_not_entered(tmp_path, make):
    for name in ("GLM-Image", "models--zai-org--GLM-Image/snapshots/2c433cc"):
        make(name)
    assert names(tmp_path) == ["GLM-Image", "models--zai-org--GLM-Image/snapshots/2c433cc"]
    assert find_released_folders(tmp_path)["GLM-Image"] == tmp_path / "GLM-Image"


def test_four_levels_are_the_deepest(tmp_path, make):
    make("1/2/3/4")
    make("a/b/c/d/e")
    assert names(tmp_path) == ["1/2/3/4"]


def test_the_folder_itself_may_be_a_model(tmp_path, make):
    assert names(make("GLM-Image")) == ["."]


def test_a_link_to_an_ancestor_lists_the_model_once(tmp_path, make):
    make("b/GLM-Image")
    for name in ("a", "b/c", "b/GLM-Image/loop"):
        (tmp_path / name).symlink_to(tmp_path)
    assert names(tmp_path) == ["b/GLM-Image"]


def test_a_link_to_a_model_elsewhere_is_followed(tmp_path, make):
    make("elsewhere/model")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "linked").symlink_to(tmp_path / "elsewhere" / "model")
    assert names(tmp_path / "models") == ["linked"]


def test_missing_and_unreadable_folders_are_left_out(tmp_path, make):
    assert names(tmp_path / "nothing") == []
    make("GLM-Image")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    assert names(tmp_path) == ["GLM-Image"]


def write_many(root, outer: int, inner: int) -> None:
    """Folders in folders, and five links to the root."""
    for i in range(outer):
        for j in range(inner):
            os.makedirs(root / f"{i:03}" / f"{j:03}")
    for i in range(5):
        (root / f"{i:03}" / "up").symlink_to(root)


def test_each_folder_is_read_once(tmp_path, make):
    make("GLM-Image")
    write_many(tmp_path, 10, 20)
    with patch.object(folders, "folders_in", side_effect=folders.folders_in) as read:
        assert names(tmp_path) == ["GLM-Image"]
    assert read.call_count == 1 + 1 + 10 + 200


@pytest.mark.long
def test_many_folders_and_links_to_ancestors_take_less_than_a_second(tmp_path, make):
    make("GLM-Image")
    write_many(tmp_path, 100, 200)
    start = time.process_time()
    assert names(tmp_path) == ["GLM-Image"]
    assert time.process_time() - start < 1
