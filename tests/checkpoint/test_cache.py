"""Models in the Hugging Face cache, by the names of their repositories."""

from pathlib import Path

import pytest

from glm_core.checkpoint import DIFFUSION, PARTS, REPOSITORY, cached_snapshot, find_model, locate, read_part
from glm_core.errors import GLMImageError
from tests.support.hub import write_hub
from tests.support.tiny import small_checkpoint

PLACES = [  # variables, where the cache then is below the folder of the test
    ({"HF_HUB_CACHE": "{t}/a", "HF_HOME": "{t}/b"}, "a"),
    ({"HF_HUB_CACHE": "$PLACE/a"}, "a"),
    ({"HUGGINGFACE_HUB_CACHE": "{t}/c", "HF_HOME": "{t}/b"}, "c"),
    ({"HF_HOME": "{t}/b"}, "b/hub"),
    ({"HF_HOME": "~/b"}, "home/b/hub"),
    ({"XDG_CACHE_HOME": "{t}/x"}, "x/huggingface/hub"),
    ({}, "home/.cache/huggingface/hub"),
]
VARIABLES = "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A cache with one model, and the folder that it was downloaded from."""
    folder = tmp_path_factory.mktemp("hub")
    model = small_checkpoint(folder / "model")
    write_hub(folder / "hub", model)
    return folder / "hub", model


@pytest.fixture
def set_variables(tmp_path, monkeypatch):
    def set_them(values: dict[str, str]) -> None:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value.format(t=tmp_path))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
        monkeypatch.setenv("PLACE", str(tmp_path))
    return set_them


def make_snapshot(hub: Path, revision: str = "abc", main: str = "abc\n") -> Path:
    folder = hub / "models--zai-org--GLM-Image"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(main)
    snapshot = folder / "snapshots" / revision
    snapshot.mkdir(parents=True)
    return snapshot


@pytest.mark.parametrize("variables, place", PLACES)
def test_the_cache_is_where_huggingface_hub_has_it(variables, place, tmp_path, set_variables):
    set_variables(variables)
    assert cached_snapshot() is None
    snapshot = make_snapshot(tmp_path / place)
    assert cached_snapshot() == snapshot and find_model(REPOSITORY) == snapshot


def test_the_library_agrees(tmp_path):
    """Its constants are computed when it is imported, so every case needs a process of its own; this is one."""
    constants = pytest.importorskip("huggingface_hub.constants")
    from glm_core.checkpoint.cache import cache_folder

    assert str(cache_folder()) == constants.HF_HUB_CACHE


def test_every_part_is_read_through_the_links(hub, set_variables):
    set_variables({"HF_HUB_CACHE": str(hub[0])})
    snapshot = find_model(REPOSITORY)
    assert all(path.is_symlink() for path in snapshot.rglob("*.safetensors"))
    for part in PARTS:
        cached, original = (read_part(locate(folder, part), part) for folder in (snapshot, hub[1]))
        assert cached.config == original.config and cached.tokenizer_json == original.tokenizer_json
        assert cached.tensors.keys() == original.tensors.keys()
        assert all(cached.tensors[name].equal(tensor) for name, tensor in original.tensors.items())


def test_a_missing_blob_is_a_missing_shard(tmp_path, hub):
    snapshot = write_hub(tmp_path / "hub", hub[1])
    (snapshot / "transformer" / "diffusion_pytorch_model-00002-of-00002.safetensors").resolve().unlink()
    with pytest.raises(GLMImageError, match="missing shards diffusion_pytorch_model-00002-of-00002.safetensors"):
        read_part(snapshot / "transformer", DIFFUSION)


def test_a_model_that_is_not_there_is_refused_with_the_command(tmp_path, set_variables):
    set_variables({"HF_HUB_CACHE": "{t}/empty"})
    with pytest.raises(GLMImageError) as error:
        find_model(REPOSITORY)
    assert f"hf download {REPOSITORY} --local-dir GLM-Image" in str(error.value)
    assert str(tmp_path / "empty") in str(error.value)


@pytest.mark.parametrize("main", ["", "..", "../../elsewhere", "other", "\0", "a" * 10**6])
def test_a_broken_reference_is_no_model(main, tmp_path, set_variables):
    set_variables({"HF_HUB_CACHE": "{t}"})
    make_snapshot(tmp_path, main=main)
    (tmp_path / "models--zai-org--GLM-Image" / "elsewhere").mkdir()
    assert cached_snapshot() is None


def test_own_folders_and_other_names_are_paths(tmp_path, set_variables, monkeypatch):
    set_variables({"HF_HUB_CACHE": "{t}"})
    snapshot = make_snapshot(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert find_model("some/folder") == Path("some/folder")
    assert find_model(REPOSITORY) == snapshot
    Path(REPOSITORY).mkdir(parents=True)
    assert find_model(REPOSITORY) == Path(REPOSITORY)


def test_other_repositories_are_found_too(tmp_path, hub, set_variables):
    set_variables({"HF_HUB_CACHE": "{t}"})
    snapshot = write_hub(tmp_path, hub[1], "somebody/GLM-Image-small")
    assert find_model("somebody/GLM-Image-small") == snapshot
