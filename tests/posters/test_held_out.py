import numpy as np
import pytest
from PIL import Image

from glm_core.checkpoint import EMBEDDED
from glm_core.evaluation.suites.posters import tasks as read_tasks
from glm_core.glyph import quoted_texts
from glm_core.posters import HELD_OUT_WORDS, SIDE, write_edits, write_prompts


def test_held_out_edits_are_tasks_with_their_pictures(tmp_path):
    write_edits(tmp_path / "edits.jsonl", 40)
    tasks = read_tasks(tmp_path / "edits.jsonl")
    assert len(tasks) == 40 and all(set(task.words) <= HELD_OUT_WORDS for task in tasks)
    assert {Image.open(path).size for task in tasks for path in task.images} == {(SIDE, SIDE)}
    assert len({path for task in tasks for path in task.images}) == 40
    assert sum('to "' in task.prompt for task in tasks) == 20
    for task in tasks:
        for text in task.texts:
            assert f'"{text}"' in task.prompt or '"' not in task.prompt or len(task.texts) == 2


def assert_same_pictures(task, other) -> None:
    first, second = (np.asarray(Image.open(each.images[0])) for each in (task, other))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", ["grid", "free", "chinese", "serif", "edits"])
def test_the_shipped_prompts_are_what_the_program_writes(name, tmp_path):
    shipped, written = EMBEDDED / f"held_out_{name}.jsonl", tmp_path / f"held_out_{name}.jsonl"
    if name == "edits":
        write_edits(written, 100)
        for task, again in zip(read_tasks(shipped), read_tasks(written), strict=True):
            assert_same_pictures(task, again)
    else:
        write_prompts(written, len(read_tasks(shipped)), name)
    assert written.read_text(encoding="utf-8") == shipped.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["grid", "free", "chinese", "serif"])
def test_held_out_prompts_are_tasks_that_evaluate_reads(kind, tmp_path):
    write_prompts(tmp_path / "prompts.jsonl", 300, kind)
    tasks = read_tasks(tmp_path / "prompts.jsonl")
    assert len(tasks) == 300 and all(task.words and set(task.words) <= HELD_OUT_WORDS for task in tasks)
    assert sum(len(task.shapes) for task in tasks) > 100
    assert all(quoted_texts(task.prompt) == list(task.texts) for task in tasks)
