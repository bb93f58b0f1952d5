"""How much does a reported test accuracy owe to the choice of its epoch? Against the accuracy of the same network on images that nothing was chosen by.

The training does not depend on the rule, so that rules are compared on the same networks.
"""

from __future__ import annotations

from typing import Any

from bench.models.small import small_cnn
from bench.run.build import build
from bench.run.session import Session
from bench.tasks.epoch_choice.protocol import Method
from bench.tasks.epoch_choice.split import FourParts
from bench.tasks.generation.fitting import Fitting, fit, outputs, started
from bench.types import PositiveFloat, PositiveInt

BATCHES_SEEDS = False
STREAM = 74
PARTS = ("validation", "test", "fresh")


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    epochs: PositiveInt,
    batch_size: PositiveInt,
    lr: PositiveFloat,
    width: PositiveInt,
) -> None:
    """Train a small CNN by Adam, log accuracies after each epoch, and finish with those of the epoch that the rule chooses.

    `test_accuracy` is what would be reported; `overstatement` is that minus `fresh_accuracy`. A run takes seconds; one that is stopped starts again.

    Args:
        width: channels of the first convolution.
    """
    (seed,), (seed_run,), parts = session.seeds, session.runs, session.job.parts
    data: FourParts = build("dataset", parts["dataset"], session.job.settings.data_root, seed)
    rule: Method = build("method", parts["method"])
    device = session.device.device
    images = {name: tuple(part.to(device) for part in getattr(data, name)) for name in ("train", *PARTS)}
    channels, side = data.train[0].shape[1:3]
    network = started(lambda: small_cnn(channels, data.classes, side, width=width), seed, STREAM, device)
    rows: list[dict[str, float]] = []
    session.begin(epochs)

    def look() -> None:
        found = {name: outputs(network, images[name][0]).argmax(1) == images[name][1] for name in PARTS}
        rows.append({f"{name}_accuracy": right.double().mean().item() for name, right in found.items()})
        session.gradient_evaluations[0] += len(data.train[1])
        seed_run.log(len(rows), epoch=len(rows), **rows[-1])
        session.progress.step(len(rows))

    fit(network, *images["train"], Fitting(epochs, batch_size, lr), seed, STREAM, look)  # type: ignore[call-arg]
    chosen = rule.choose(*([row[f"{name}_accuracy"] for row in rows] for name in ("validation", "test")))
    row = rows[chosen]
    seed_run.finish(
        **row, overstatement=row["test_accuracy"] - row["fresh_accuracy"], chosen_epoch=chosen + 1, epoch=epochs  # type: ignore[arg-type]
    )  # fmt: skip
