import pytest

from glm_core.errors import GLMImageError
from glm_core.evaluation.tasks import Task, check_keys, parse_task, read_lines
from tests.support.tasks import write_lines


def test_lines_are_read_with_their_source(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", {"a": 1}, "", [2])
    assert read_lines(path) == [(f"{path}, line 1", {"a": 1}), (f"{path}, line 3", [2])]


def test_tasks_are_parsed(tmp_path):
    values = {"prompt": "b", "texts": ["Grand opening", "today!"], "images": ["a/b.png", "c.png"]}
    task = parse_task(values, "line 1", tmp_path)
    assert task == Task("b", ("Grand opening", "today!"), (tmp_path / "a" / "b.png", tmp_path / "c.png"))
    assert task.words == ["GRAND", "OPENING", "TODAY"]
    assert parse_task({"prompt": "b", "texts": []}, "line 1", tmp_path) == Task("b", ())


@pytest.mark.parametrize("values", [[1], "a", {"b": 1}, {"a": 1, "c": 1}])
def test_objects_with_other_keys_are_refused(values):
    check_keys({"a": 1}, "line 1", ("a",), ("b",))
    check_keys({"a": 1, "b": 1}, "line 1", ("a",), ("b",))
    with pytest.raises(GLMImageError, match='line 1 must be an object with "a" and optionally "b"'):
        check_keys(values, "line 1", ("a",), ("b",))


def test_files_without_prompts_are_named(tmp_path):
    with pytest.raises(GLMImageError, match="at least one line with a prompt"):
        read_lines(write_lines(tmp_path / "empty.jsonl", "", ""))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GLMImageError, match="in UTF-8"):
        read_lines(tmp_path / "binary.jsonl")
