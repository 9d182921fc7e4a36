import shutil
from types import SimpleNamespace

import pytest

from glm_core.checkpoint import find_room, room
from glm_core.checkpoint.room import check_room, remove_unfinished
from glm_core.errors import GLMImageError

GB = 10**9


@pytest.fixture
def free(monkeypatch):
    """Say how many bytes are free."""
    return lambda count: monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=count))


def needed(sizes) -> int:
    (found,) = find_room(sizes)
    return found.needed


def write(path, size: int):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def test_new_files_are_added_up(tmp_path):
    assert needed({tmp_path / "a" / "1": 30, tmp_path / "b" / "2": 12}) == 42


def test_an_old_file_gives_its_room_back_when_its_successor_is_complete(tmp_path):
    first, second = write(tmp_path / "1", 30), write(tmp_path / "2", 12)
    assert needed({first: 30}) == 30
    assert needed({first: 30, second: 12}) == 30
    assert needed({second: 12, first: 30}) == 30
    assert needed({first: 31, tmp_path / "3": 40}) == 41


def test_too_little_room_names_both_numbers(tmp_path, free):
    free(12 * GB)
    check_room({tmp_path / "a": 12 * GB})
    with pytest.raises(GLMImageError, match=r"the disk must have 12.5 GB free \(got 12.0 GB\)"):
        check_room({tmp_path / "new" / "a": 12 * GB, tmp_path / "new" / "b": GB // 2})


def test_the_disk_is_that_of_the_nearest_folder(tmp_path):
    (found,) = find_room({tmp_path / "new" / "newer" / "a": 1})
    assert found.folder == tmp_path and found.free > 0


def test_the_folder_is_told_without_steps_back(tmp_path):
    (tmp_path / "pack").mkdir()
    (found,) = find_room({tmp_path / "pack" / ".." / "models" / "a": 1})
    assert found.folder == tmp_path


def test_each_disk_counts_its_own_files(tmp_path, monkeypatch):
    """Folders of ComfyUI's models are often links to other disks."""
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "vae").symlink_to(other)
    real = room.existing_folder
    monkeypatch.setattr(room, "existing_folder", lambda path: OnDisk(real(path), other))
    rooms = find_room({tmp_path / "models" / "a": 1, tmp_path / "models" / "vae" / "b": 20, tmp_path / "c": 300})
    assert [found.needed for found in rooms] == [301, 20]


class OnDisk:
    """A folder that is on a second disk if it is below ``other``, or a link to it."""

    def __init__(self, folder, other):
        self.folder, self.disk = folder, int(folder.resolve().is_relative_to(other))

    def stat(self):
        return SimpleNamespace(st_dev=self.disk)

    def __fspath__(self):
        return str(self.folder)


def test_nothing_to_write_needs_no_disk():
    assert find_room({}) == []


def test_leftovers_of_the_named_files_alone_are_removed(tmp_path):
    for name in ("a.part", "b.part", "a"):
        write(tmp_path / name, 1)
    remove_unfinished([tmp_path / "a", tmp_path / "c"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b.part"]
