"""What one command runs: typed parts, their names, and the key that names the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.run.loading import load_module
from bench.run.schema import Settings

PARTS = ("task", "method", "dataset", "model", "schedule")  # what defines a result; everything else is how it is run


@dataclass(frozen=True)
class Job:
    """What to run: typed parts (each with its `_target_`), their option names, the settings, and what the result is known by.

    asked: the config's key. data: digests by name of the files that the data set is built from, but for the true files of a known set.
    """

    parts: dict[str, dict[str, Any]]
    names: dict[str, str]
    experiment: str | None
    settings: Settings
    asked: str
    code: str
    data: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """64 hex digits, of the config and of the content of `data`."""
        return full_key(self.asked, self.data)

    @property
    def folder(self) -> Path:
        """results_root/runs/<task>/<method>-<dataset>-<config12>, and -<key8> behind it where files are part of the key."""
        name = folder_name(self.names, self.asked, self.data)
        return Path(self.settings.results_root) / "runs" / self.names["task"] / name

    def on(self, data: Mapping[str, str]) -> Job:
        """The same on these data."""
        return replace(self, data=dict(data))

    @property
    def title(self) -> str:
        """`ssvr on digits`"""
        return f"{self.names['method']} on {self.names['dataset']}"

    def seed_folder(self, seed: int) -> Path:
        """The folder of one seed's run."""
        return self.folder / f"seed{seed}"

    def given(self) -> dict[str, Any]:
        """What several processes that compute it together have in common, by dotted key: options, values, seeds, numerics, code."""
        hardware = self.settings.hardware.model_dump(include={"device", "precision", "channels_last", "compile"})
        shared = {"seeds": list(self.settings.seeds), "hardware": hardware, "code": self.code}
        return {**self.names, **dict(_flat(self.parts | shared))}

    def protocol(self) -> Any:
        """The task's module: `run(session, state, **keys)`, and whether it BATCHES_SEEDS. Imports torch.

        Raises:
            UserError: it does not say BATCHES_SEEDS.
        """
        module = load_module(self.parts["task"]["_target_"].rpartition(".")[0])
        if not hasattr(module, "BATCHES_SEEDS"):
            raise UserError(
                f"{module.__name__}: needs a line BATCHES_SEEDS = True (a session has all seeds) or False (one at a time)"
            )
        return module

    def get(self, path: str) -> Any:
        """The name of an option chosen (method, dataset, model, task) or a value by its dotted path (method.lr); None where there is none."""
        return lookup(path, self.names, self.parts)


def _flat(node: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def full_key(asked: str, data: Mapping[str, str]) -> str:
    """A config's key together with the digests of the files it is computed on; without files it is the config's."""
    return hashlib.sha256(f"{asked} {json.dumps(data, sort_keys=True)}".encode()).hexdigest() if data else asked


def folder_name(names: Mapping[str, str], asked: str, data: Mapping[str, str]) -> str:
    """<method>-<dataset>-<config12>[-<key8>]"""
    name = f"{names['method']}-{names['dataset']}-{asked[:12]}"
    return f"{name}-{full_key(asked, data)[:8]}" if data else name


def lookup(path: str, names: Mapping[str, str], parts: Mapping[str, Any]) -> Any:
    """An option's name, or a value of the typed parts by its dotted path; None where there is none."""
    if path in names:
        return names[path]
    node: Any = parts
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def key_of(parts: Mapping[str, Any]) -> str:
    """The key of typed parts: sha256 of their JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()
