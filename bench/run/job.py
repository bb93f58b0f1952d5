"""What one command runs: typed parts, their names, and the key that names the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.run.loading import load_module
from bench.run.schema import Settings

PARTS = ("task", "method", "dataset", "model", "schedule")  # what defines a result; everything else is how it is run


@dataclass(frozen=True)
class Job:
    """What to run: typed parts (each with its `_target_`), their option names, the settings, and the key that names the result."""

    parts: dict[str, dict[str, Any]]
    names: dict[str, str]
    experiment: str | None
    settings: Settings
    key: str
    code: str

    @property
    def folder(self) -> Path:
        """results_root/runs/<task>/<method>-<dataset>-<key12>"""
        name = f"{self.names['method']}-{self.names['dataset']}-{self.key[:12]}"
        return Path(self.settings.results_root) / "runs" / self.names["task"] / name

    @property
    def title(self) -> str:
        """`ssvr on digits`"""
        return f"{self.names['method']} on {self.names['dataset']}"

    def seed_folder(self, seed: int) -> Path:
        """The folder of one seed's run."""
        return self.folder / f"seed{seed}"

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


def lookup(path: str, names: Mapping[str, str], parts: Mapping[str, Any]) -> Any:
    """An option's name, or a value of the typed parts by its dotted path; None where there is none."""
    if path in names:
        return names[path]
    node: Any = parts
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node
