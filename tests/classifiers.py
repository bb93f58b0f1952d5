"""Every method of classification as a command line of a few steps on digits."""

from __future__ import annotations

from bench.run.options import options, read_yaml
from bench.run.paths import CONF

SHORT = [
    "dataset=digits",
    "scale=smoke",
    "model=small_cnn",
    "hardware=cpu",
    "hardware.threads=1",
    "tracker=none",
    "verbose=false",
]
MORE = {  # what no default reaches: a gradient in x, a loss of its own, a schedule, probes
    "clean": ["method=multimix_puzzle", "method.clean=1.0", "method.loss=bce"],
    "scheduled": ["method=sgd", "schedule=cosine", "task.label_smoothing=0.1", "task.cutout=2"],
    "probed": ["method=mixup", "task.probes=[bench.tasks.classification.robustness.fgsm_accuracy]"],
}


def lines() -> dict[str, list[str]]:
    """By name, without the data's and the minibatch's size."""
    own = [m for m in options("method") if "classification" in read_yaml(CONF / "method" / f"{m}.yaml")["tasks"]]
    return {name: [f"method={name}", *SHORT] for name in own} | {name: [*line, *SHORT] for name, line in MORE.items()}
