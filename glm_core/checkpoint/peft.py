"""The scale of PEFT's LoRAs, which stands in the file's metadata or in adapter_config.json beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from ..config import check_type, read_config
from ..errors import GLMImageError
from ..files import parse_json, read_json
from .adapters import ALPHA, Adapter, shown

METADATA = "lora_adapter_metadata"  # diffusers' key: PEFT's config, its keys perhaps after "transformer."
CONFIG_FILE = "adapter_config.json"
PEFT_PREFIX = "base_model.model."  # of all names in the files to which this config belongs
ALPHA_KEY = "lora_alpha"
RESIDUAL_INITS = "pissa", "olora", "corda", "loftq", "lora_ga"  # PEFT takes the first product off the weights
MODULE_NAME = re.compile(r"[\w.]+")


@dataclass(frozen=True)
class PeftConfig:
    """What PEFT's config says of scales. A LoRA's product is multiplied by alpha / r, with rslora alpha / sqrt(r)."""

    lora_alpha: float
    r: int
    peft_type: str = "LORA"
    use_rslora: bool = False
    use_dora: bool = False

    def check(self, source: str) -> None:
        if self.peft_type != "LORA":
            raise GLMImageError(f"{source}: peft_type must be LORA (got {shown(self.peft_type)})")
        if self.use_dora:
            raise GLMImageError(f"{source}: use_dora must be false; DoRA of PEFT is not supported")


@dataclass(frozen=True)
class AlphaRule:
    """Alphas for modules whose names begin with ``prefix``. patterns: other values, by the end of a module's name."""

    prefix: str
    config: PeftConfig
    alpha_patterns: dict[str, float]
    rank_patterns: dict[str, float]
    source: str

    def alpha(self, adapter: Adapter) -> float:
        """As a ``.alpha`` tensor would have it. Raises GLMImageError if the config is for another rank."""
        rank = look_up(self.rank_patterns, adapter.module, self.config.r)
        if rank != adapter.rank:
            raise GLMImageError(f"{self.source}: r must be {adapter.rank}, as in {shown(adapter.module)} of the file "
                                f"(got {rank:g})")
        alpha = look_up(self.alpha_patterns, adapter.module, self.config.lora_alpha)
        return alpha * sqrt(rank) if self.config.use_rslora else alpha


def look_up(patterns: Mapping[str, float], module: str, default: float) -> float:
    return next((value for end, value in patterns.items() if f".{module}".endswith(f".{end}")), default)


def read_rules(path: Path, metadata: Mapping[str, str], adapters: Mapping[str, Adapter]) -> list[AlphaRule]:
    """From the metadata of the file ``path``, or else from the config beside it. Raises GLMImageError on bad values."""
    if METADATA in metadata:
        source = f"LoRA {path}: {METADATA}"
        values = parse_json(metadata[METADATA], source)
        prefixes = [key.removesuffix(ALPHA_KEY) for key in values if key.endswith(ALPHA_KEY)]
        return [read_rule(with_prefix(values, prefix), prefix, source) for prefix in prefixes]
    config = path.with_name(CONFIG_FILE)
    if config.is_file() and any(name.startswith(PEFT_PREFIX) for name in adapters):
        return [read_rule(read_json(config), PEFT_PREFIX, str(config))]
    return []


def with_prefix(values: Mapping, prefix: str) -> dict:
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def read_rule(values: Mapping, prefix: str, source: str) -> AlphaRule:
    config = read_config(PeftConfig, dict(values), source)
    config.check(source)
    check_init(values, source)
    alphas, ranks = (read_patterns(values, key, source) for key in ("alpha_pattern", "rank_pattern"))
    return AlphaRule(prefix, config, alphas, ranks, source)


def check_init(values: Mapping, source: str) -> None:
    """Raise GLMImageError for an adapter that belongs to other weights than the model's own."""
    init = str(values.get("init_lora_weights")).lower()
    if init.startswith(RESIDUAL_INITS):
        raise GLMImageError(f"{source}: init_lora_weights must leave the model's weights as they are (got {shown(init)}"
                            "); save the adapter with PEFT's path_initial_model_for_weight_conversion")


def read_patterns(values: Mapping, key: str, source: str) -> dict[str, float]:
    """Module names and their values. PEFT takes regular expressions; tools write names, and only these are accepted."""
    patterns = values.get(key) or {}
    if not isinstance(patterns, dict):
        raise GLMImageError(f"{source}: {key} must be a JSON object (got {type(patterns).__name__})")
    for name, value in patterns.items():
        if not MODULE_NAME.fullmatch(name):
            raise GLMImageError(f"{source}: {key} must have names of modules (got {name!r})")
        check_type(value, float, f"{source}: {key}: {name}")
    return patterns


def with_alphas(adapters: Mapping[str, Adapter], rules: list[AlphaRule]) -> dict[str, Adapter]:
    """The adapters, each LoRA without an alpha of its own with that of its rule."""
    return {name: with_alpha(adapter, rules) for name, adapter in adapters.items()}


def with_alpha(adapter: Adapter, rules: list[AlphaRule]) -> Adapter:
    rule = next((rule for rule in rules if adapter.module.startswith(rule.prefix)), None)
    has_own = adapter.rank is None or ALPHA in adapter.tensors
    return adapter if rule is None or has_own else adapter.with_alpha(rule.alpha(adapter))


def lacks_alpha(adapters: Mapping[str, Adapter]) -> bool:
    """True if PEFT wrote these, and nothing says with which alpha."""
    return any(name.startswith(PEFT_PREFIX) and adapter.rank is not None and ALPHA not in adapter.tensors
               for name, adapter in adapters.items())
