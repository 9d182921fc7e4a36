"""Files that a command reads and writes: checked before the work, and written so that no failure loses the others."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path, PurePath

from PIL import Image, UnidentifiedImageError
from safetensors import SafetensorError

from ..errors import GLMImageError

Named = tuple[str, Path]  # an option and the file that it names
TRIAL_SIZE = 320, 320  # larger than an icon may be
ON_WINDOWS = os.name == "nt"
FORBIDDEN = set('<>:"/\\|?*')
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{i}" for port in ("COM", "LPT") for i in "123456789¹²³")}


def check_files(outputs: Sequence[Named], inputs: Iterable[Named] = ()) -> None:
    """Raise GLMImageError unless every input is a plain file or missing, every output can be written, and no output is
    an input or another output.
    """
    taken: dict[str, str] = {}
    for option, path in inputs:
        check_input(option, path)
        taken[same_file_key(path)] = option
    for option, path in outputs:
        check_output(option, path)
        key = same_file_key(path)
        if key in taken:
            raise GLMImageError(f"{option} {path}: it must be another file than that of {taken[key]} (got the same)")
        taken[key] = option


def same_file_key(path: Path) -> str:
    """Equal for two names of one file."""
    with suppress(OSError):
        status = path.stat()
        return f"{status.st_dev} {status.st_ino}"
    return os.path.normcase(os.path.realpath(path))


def check_input(option: str, path: Path) -> None:
    """What is not there is left to whoever reads it. A pipe or device would hang."""
    check_name(option, path)
    if path.exists() and not path.is_file():
        raise GLMImageError(f"{option} {path}: it must be a file (got {kind(path)})")


def check_output(option: str, path: Path) -> None:
    """Raise GLMImageError unless a file can be written there; an old one may be in its place."""
    check_name(option, path)
    if path.exists() and not path.is_file():
        raise GLMImageError(f"{option} {path}: it must be a file (got {kind(path)})")
    folder = path.parent
    if not folder.is_dir():
        found = kind(folder) if folder.exists() else "none"
        raise GLMImageError(f"{option} {path}: its folder {folder} must exist and be a folder (got {found})")
    check_writable(option, path, path if path.exists() else folder)


def check_out_folder(option: str, path: Path) -> None:
    """Raise GLMImageError unless files can be written to ``path``, a folder or one that can be made."""
    check_no_nul(option, path)
    check_windows_name(option, path)
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists() or place.is_symlink())
    if not nearest.is_dir():
        raise GLMImageError(f"{option} {path}: it must be a folder, or one that can be made "
                            f"(got {kind(nearest)} at {nearest})")
    check_writable(option, path, nearest)


def check_writable(option: str, path: Path, place: Path) -> None:
    if not os.access(place, os.W_OK | (os.X_OK if place.is_dir() else 0)):
        raise GLMImageError(f"{option} {path}: {place} must be writable (got no permission)")


def check_name(option: str, path: Path) -> None:
    if path == Path():
        raise GLMImageError(f"{option} must be the name of a file (got {str(path)!r})")
    check_no_nul(option, path)
    check_windows_name(option, path)


def check_windows_name(option: str, path: PurePath) -> None:
    """Raise GLMImageError if Windows has no such name; it would fail at the end, or write to a device or a stream."""
    if ON_WINDOWS and (fault := windows_fault(path.name)):
        raise GLMImageError(f"{option} {path}: {fault}")


def windows_fault(name: str) -> str | None:
    """Why a file of Windows cannot have this name; None if it can. Source: Microsoft, Naming Files, Paths, and
    Namespaces.
    """
    if bad := sorted(set(name) & FORBIDDEN):
        return f"its name must not contain {' '.join(bad)} on Windows"
    if name.endswith((".", " ")):
        return "its name must not end with a dot or a space on Windows"
    if (stem := name.split(".")[0].rstrip().upper()) in DEVICES:
        return f"its name must not be {stem}, a device on Windows"
    return None


def check_no_nul(option: str, path: Path) -> None:
    if "\0" in str(path):
        raise GLMImageError(f"{option} must be a name without NUL characters (got {str(path)!r})")


def kind(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return "a link to nowhere"
    return "a folder" if path.is_dir() else "a file" if path.is_file() else "a pipe, device or socket"


def check_picture_suffix(option: str, path: Path) -> None:
    """Raise GLMImageError unless Pillow writes RGB pictures of any size under this suffix, shown by writing one."""
    format_name = Image.registered_extensions().get(path.suffix.lower())
    if format_name is None or not writes_any_size(format_name):
        raise GLMImageError(f"{option} {path}: its suffix must be that of pictures that Pillow writes, such as .png, "
                            f".jpg or .webp (got {path.suffix or 'none'})")


def writes_any_size(format_name: str) -> bool:
    file = BytesIO()
    try:
        Image.new("RGB", TRIAL_SIZE).save(file, format_name)
    except (OSError, ValueError, KeyError):
        return False
    with suppress(UnidentifiedImageError):  # Pillow writes PDF, but does not read it
        return Image.open(file).size == TRIAL_SIZE
    return True


class Writer:
    """Writes files as they come. One that fails does not keep the others from being written; ``finish`` tells it."""

    def __init__(self):
        self.failed: dict[Path, Exception] = {}

    def write(self, path: Path, write: Callable[[Path], object]) -> bool:
        """Whether ``write(path)`` went well."""
        try:
            write(path)
        except (OSError, ValueError, SafetensorError) as error:
            self.failed[path] = error
            return False
        self.failed.pop(path, None)
        return True

    def finish(self) -> None:
        """Raise GLMImageError naming the files that could not be written."""
        if self.failed:
            files = ", ".join(f"{path} ({error})" for path, error in self.failed.items())
            raise GLMImageError(f"these files could not be written, but all others are: {files}")
