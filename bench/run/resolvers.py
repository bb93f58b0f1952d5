"""The `${...}` expressions that the configs use beside OmegaConf's own."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from bench.errors import UserError, allowed_list, nearest
from bench.run.gpu import cuda_devices
from bench.run.options import SCALES
from bench.run.paths import ROOT
from bench.run.registry import judged_seeds

LEFT_OUT = "<left out>"
SMOKE = 2  # seeds at smoke scale, where nothing is judged


def auto_scale() -> str:
    """paper where a GPU is, mini elsewhere."""
    return "paper" if cuda_devices() else "mini"


def _scale(_root_: DictConfig) -> str:
    scale = _root_.scale
    if scale == "auto":
        scale = auto_scale()
    if scale not in SCALES:
        raise UserError(f"scale = '{scale}': allowed: auto, {allowed_list(SCALES)}{nearest(scale, SCALES)}")
    return scale


def _scaled(*values: Any, _root_: DictConfig) -> Any:
    if len(values) != len(SCALES):
        raise UserError(f"${{scaled:...}}: {len(values)} values; one for each of {', '.join(SCALES)}")
    return dict(zip(SCALES, values))[_scale(_root_)]


def _judged(*counts: Any, _root_: DictConfig) -> list[int]:
    scale = _scale(_root_)
    if not 1 <= len(counts) <= 2 or not all(type(n) is int and n > 0 for n in counts):
        raise UserError("${judged:...}: a number of seeds, or one at mini and one at paper scale")
    if scale == "smoke":
        return list(range(min(SMOKE, *counts)))
    return judged_seeds(_root_.choices.experiment, scale, counts[-1] if scale == "paper" else counts[0])


def _only_for(methods: str | list[str], value: Any, *, _root_: DictConfig) -> Any:
    named = [methods] if isinstance(methods, str) else methods
    return value if _root_.choices.method in named else LEFT_OUT


def register_resolvers() -> None:
    """`${scaled:smoke,mini,paper}`, the value of the scale at hand; `${judged:16}`, so many seeds that judge an experiment;
    `${only_for:ssvr,0.5}`, a key that only one method of a sweep has, `${only_for:[ssvr,sgd],0.5}`, only these; `${root:}`, this repository."""
    OmegaConf.register_new_resolver("judged", _judged, replace=True)
    OmegaConf.register_new_resolver("scaled", _scaled, replace=True)
    OmegaConf.register_new_resolver("only_for", _only_for, replace=True)
    OmegaConf.register_new_resolver("root", lambda: str(ROOT), replace=True)
