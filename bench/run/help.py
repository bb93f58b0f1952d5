"""What `python run.py --help` prints: a sentence for each option."""

from __future__ import annotations

from bench.run.notes import note
from bench.run.options import SCALES, options

USES = """\
Run a method on a data set:        python run.py method=ssvr dataset=cifar10 seeds=[0,1]
Run a table or figure of a paper:  python run.py experiment=ssvr/digits
Sweep:                             python run.py -m method=ssvr,signsgd method.lr=1e-3,1e-4
Print the config without running:  python run.py method=ssvr --cfg job"""

GROUPS = {
    "method": "Methods",
    "dataset": "Data sets",
    "model": "Models",
    "schedule": "Schedules",
    "hardware": "Hardware",
    "tracker": "Trackers",
    "experiment": "Experiments",
}

OTHERS = (
    "Other keys: seeds=[0,1], data_root=DIR (or CLAIMBENCH_DATA), results_root=DIR, force=true|stale, "
    "verbose=false, checkpoint_every=SECONDS."
)


def help_text() -> str:
    """Uses, the options of each group, scales, other keys."""
    groups = [_section(f"{title} ({group}=...)", options(group)) for group, title in GROUPS.items()]
    scales = _section("Scales (scale=..., default: paper with a GPU, else mini)", SCALES)
    alone = _section("A seed computed alone against the same seed among others, by task", _alone())
    return "\n\n".join([USES, *groups, scales, alone, OTHERS])


def _alone() -> dict[str, str]:
    """How far the two may be apart, and why."""
    notes = {name: note(name) for name in options("task")}
    within = {
        name: f"within {n.batch_tolerance:g}" if n.batch_tolerance else "bit for bit" for name, n in notes.items()
    }
    return {name: f"{within[name]}: {n.batch_reason}" for name, n in notes.items()}


def _section(title: str, entries: dict[str, str]) -> str:
    width = max((len(name) for name in entries), default=0) + 2
    return "\n".join([f"{title}:", *(f"  {name:<{width}}{sentence}" for name, sentence in entries.items())])
