"""What the Comfy Registry gets: pyproject.toml, and the archive that comfy-cli packs. None of it needs the network.

The one thing that may be missing is the publisher; the run then says so among its expected failures.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest
import tomlkit
from comfy_cli.registry.config_parser import extract_node_configuration
from PIL import Image

from glm_core.cli.files import windows_fault
from tests.support.hosts import PACK

PUBLISHER = "<publisher>"
LONGEST_NAME = 120  # characters
MOST_ARCHIVE, MOST_PICTURE = 45_000_000, 40_000  # bytes
NOT_PACKED = (".ci/*", ".comfyignore", ".gitattributes", ".gitignore", "CONTRIBUTING.md", "Makefile", "docs/icon.png",
              "docs/banner.png", "docs/architecture.*", "glm_core/embedded/curves.png", "tests/*")
VERSION = re.compile(r"^## (\d+\.\d+\.\d+)( \(unreleased\))?$", re.MULTILINE)
# comfy-cli packs what git tracks
GIT = pytest.mark.skipif(not (PACK / ".git").exists(), reason="this is no git checkout")


@pytest.fixture(scope="module")
def published():
    """What comfy-cli reads in pyproject.toml."""
    return extract_node_configuration(str(PACK / "pyproject.toml"))


def comfy_node(command: str, home: Path) -> str:
    """The output of ``comfy node COMMAND``. home: where it writes its settings."""
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "DO_NOT_TRACK": "1"}
    done = subprocess.run([sys.executable, "-m", "comfy_cli", "--skip-prompt", "node", command], cwd=PACK,
                          env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """What ``comfy node pack`` writes, moved out of the checkout."""
    folder = tmp_path_factory.mktemp("archive")
    comfy_node("pack", folder)
    return Path(shutil.move(PACK / "node.zip", folder))


def test_comfy_cli_finds_no_fault(tmp_path):
    output = comfy_node("validate", tmp_path)
    assert "All validation checks passed" in output and "arning" not in output, output


def test_the_publisher_is_filled_in():
    if PUBLISHER in (PACK / "pyproject.toml").read_text(encoding="utf-8"):
        pytest.xfail(f"before publishing, replace {PUBLISHER} in pyproject.toml (CONTRIBUTING.md, Releasing)")


def test_nothing_but_the_publisher_is_missing(published):
    project, comfy = published.project, published.tool_comfy
    values = {**vars(project.urls), **vars(comfy), "name": project.name, "description": project.description,
              "supported_comfyui_version": project.supported_comfyui_version, "license": project.license.file}
    required = values.keys() - {"homepage", "models", "includes", "web"}
    assert [name for name in sorted(required) if not values[name].replace(PUBLISHER, "somebody")] == []
    assert (PACK / project.license.file).is_file()


@pytest.mark.parametrize(("name", "ratio", "widest"), [("icon", 1, 400), ("banner", 21 / 9, 1260)])
def test_pictures_suit_the_registry(published, name, ratio, widest):
    url = {"icon": published.tool_comfy.icon, "banner": published.tool_comfy.banner_url}[name]
    path = PACK / "docs" / PurePosixPath(url).name
    width, height = Image.open(path).size
    assert url.endswith(f"/main/docs/{name}.png") and path.stat().st_size <= MOST_PICTURE
    assert width == widest and width / height == pytest.approx(ratio, abs=0.01)


def test_addresses_are_those_of_one_repository(published):
    repository = published.project.urls.repository
    assert published.project.urls.issues == f"{repository}/issues"
    raw = repository.replace("github.com", "raw.githubusercontent.com")
    assert published.tool_comfy.icon.startswith(f"{raw}/") and published.tool_comfy.banner_url.startswith(f"{raw}/")


def test_the_changelog_begins_with_this_version(published):
    found = VERSION.search((PACK / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert found and found[1] == published.project.version


def test_requirements_are_the_dependencies():
    """ComfyUI-Manager installs the first, the registry shows the second."""
    lines = (PACK / "requirements.txt").read_text(encoding="utf-8").splitlines()
    project = tomlkit.parse((PACK / "pyproject.toml").read_text(encoding="utf-8"))
    assert lines == project.unwrap()["project"]["dependencies"]


def tracked_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PACK, capture_output=True, check=True).stdout.decode()
    return [name for name in listed.split("\0") if name and (PACK / name).exists()]


@GIT
def test_windows_can_check_out_every_file():
    """A path has 260 characters, of which the folder of the pack may take more than half."""
    names = tracked_files()
    assert [name for name in names if len(name) > LONGEST_NAME or any(map(windows_fault, name.split("/")))] == []
    assert len({name.lower() for name in names}) == len(names)


@GIT
def test_the_archive_is_small_and_has_all_but_the_tools_of_development(archive):
    assert archive.stat().st_size <= MOST_ARCHIVE
    wanted = {name for name in tracked_files() if not any(fnmatch(name, pattern) for pattern in NOT_PACKED)}
    assert set(zipfile.ZipFile(archive).namelist()) == wanted


@GIT
def test_the_unpacked_archive_draws(archive, tmp_path):
    zipfile.ZipFile(archive).extractall(tmp_path)
    command = [sys.executable, "-m", "glm_core", "generate", "--prompt", 'A blue poster. In the centre, "OPEN".',
               "--width", "64", "--height", "64", "--steps", "1", "--out", "picture.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "picture.png").size == (64, 64)
