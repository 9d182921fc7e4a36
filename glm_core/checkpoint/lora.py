"""LoRA files: the names that tools give to their tensors, and the scales that PEFT keeps apart from them.

A tensor's name is that of a module, in the style of some tool, and a kind:
``transformer.transformer_blocks.0.attn1.to_q`` + ``lora_A.weight``.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from ..errors import GLMImageError
from ..files import read_metadata
from .adapters import DOWN, KINDS, UP, Adapter, shown
from .peft import CONFIG_FILE, lacks_alpha, read_rules, with_alphas
from .read import LoadFile, fingerprint

# X.lora_A.weight, X.lora_A.default.weight, X.lora_down.weight, X.lora.down.weight, X_lora.down.weight, X.lora_A
HALF = re.compile(r"(?P<module>.+)[._]lora[._](linear_layer\.)?(?P<half>A|B|down|up)(\.(?!bias\b)\w+){0,2}")
HALVES = {"A": DOWN, "down": DOWN, "B": UP, "up": UP}
PEFT_DORA = ".lora_magnitude_vector"
NAMED_IN_MESSAGES = 3


@dataclass(frozen=True)
class KeyStyles:
    """How tools write a module's name: prefixes for a name with dots, and prefixes for one with underscores."""

    dotted: tuple[str, ...]
    underscored: tuple[str, ...] = ()

    def names(self, module: str) -> list[str]:
        flat = module.replace(".", "_")
        return [prefix + module for prefix in self.dotted] + [prefix + flat for prefix in self.underscored]


DIFFUSION_STYLES = KeyStyles(
    ("diffusion_model.", "transformer.", "", "unet.", "base_model.model.", "base_model.model.transformer."),
    ("lora_unet_", "lycoris_", "lora_transformer_"))
PLANNER_STYLES = KeyStyles(("base_model.model.model.", "base_model.model.", "model.", ""))


@dataclass(frozen=True)
class Lora:
    """A file's adapters by the names of their modules, and the names of tensors that are of no known kind."""

    source: str
    adapters: dict[str, Adapter]
    unknown: tuple[str, ...]

    def matching(self, styles: KeyStyles, modules: Iterable[str]) -> dict[str, Adapter]:
        """The adapters for a model's ``modules``, by these names. Raises GLMImageError if a module has several."""
        matched: dict[str, Adapter] = {}
        for module in modules:
            found = [self.adapters[name] for name in styles.names(module) if name in self.adapters]
            if len(found) > 1:
                raise GLMImageError(f"{self.source}: {module} must have one adapter (got {shown(found[0].module)} "
                                    f"and {shown(found[1].module)})")
            if found:
                matched[module] = found[0]
        return matched

    def names(self, without: Container[str] = ()) -> list[str]:
        """Of all modules but those ``without``, and of all tensors of no known kind."""
        return [*(name for name in self.adapters if name not in without), *self.unknown]

    def fingerprint_on(self, planner: str, strength: float) -> str:
        """12 hex digits for a planner with the fingerprint ``planner`` under this LoRA."""
        tensors = {f"{name}.{kind}": tensor for name, adapter in self.adapters.items()
                   for kind, tensor in adapter.tensors.items()}
        return hashlib.sha256(f"{planner} {fingerprint(tensors)} {strength}".encode()).hexdigest()[:12]


def read_lora(path: Path, load: LoadFile = load_file) -> Lora:
    """Read a safetensors file, and the alpha that stands in its metadata or in the adapter_config.json beside it.

    ``load`` reads the tensors; a host passes its own loader. Raises GLMImageError if the file is not a complete
    safetensors file, or if an adapter in it is incomplete or of a kind that would be applied wrongly.
    """
    source = f"LoRA {path}"
    if path.suffix.lower() not in (".safetensors", ".sft"):
        raise GLMImageError(f"{source}: must be a .safetensors file")
    metadata = read_metadata(path, source)
    adapters, unknown = sort_tensors(load(str(path)), source)
    adapters = with_alphas(adapters, read_rules(path, metadata, adapters))
    if lacks_alpha(adapters):
        logging.warning("%s: no %s beside it says what alpha is; it is taken to be the rank", source, CONFIG_FILE)
    return Lora(source, adapters, unknown)


def sort_tensors(tensors: Mapping[str, Tensor], source: str) -> tuple[dict[str, Adapter], tuple[str, ...]]:
    """Adapters by module, and the names of other tensors. Raises GLMImageError for DoRA as PEFT writes it."""
    found: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for name, tensor in tensors.items():
        module, kind = split_name(name)
        if PEFT_DORA in name:
            raise GLMImageError(f"{source}: DoRA of PEFT is not supported (got {shown(name)})")
        if kind in KINDS and kind not in found.get(module, {}):
            found.setdefault(module, {})[kind] = tensor
        else:
            unknown.append(name)
    return {module: Adapter(module, kinds, source) for module, kinds in found.items()}, tuple(unknown)


def split_name(name: str) -> tuple[str, str]:
    """Module and kind of a tensor; the halves of a LoRA are lora_up and lora_down, whatever the tool calls them."""
    half = HALF.fullmatch(name)
    if half:
        return half["module"], HALVES[half["half"]]
    module, _, kind = name.rpartition(".")
    return module, kind


def shorten(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - NAMED_IN_MESSAGES} more" if len(names) > NAMED_IN_MESSAGES else ""
    return ", ".join(map(shown, names[:NAMED_IN_MESSAGES])) + more
