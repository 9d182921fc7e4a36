"""A Hugging Face cache as huggingface_hub writes it: files are blobs, to which the links of a snapshot point."""

import shutil
from pathlib import Path

REVISION = "2c433cc0cbc293bde2ac8ca9624f279b5d23fcf4"


def write_hub(hub: Path, model: Path, repository: str = "zai-org/GLM-Image") -> Path:
    """Put a copy of ``model`` into the cache ``hub``; returns its snapshot."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    snapshot, blobs = folder / "snapshots" / REVISION, folder / "blobs"
    blobs.mkdir(parents=True)
    for i, file in enumerate(path for path in sorted(model.rglob("*")) if path.is_file()):
        link = snapshot / file.relative_to(model)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, blobs / f"{i:040x}")
        up = "../" * len(link.relative_to(folder).parent.parts)
        link.symlink_to(f"{up}blobs/{i:040x}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(REVISION)
    return snapshot
