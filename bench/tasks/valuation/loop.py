"""Valuation: a method gives each training point a value; the task embeds the points once and measures how well low values find corruption.

The method sees features and labels. What is corrupted, and the test points, are the task's alone.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.errors import UserError
from bench.run.build import build
from bench.run.session import Session
from bench.seeding import generator
from bench.tasks.valuation.embedding import embed
from bench.tasks.valuation.loop_cost import Peak
from bench.tasks.valuation.loop_options import need_embedder, option, serves
from bench.tasks.valuation.loop_prune import Pruning, Recipe
from bench.tasks.valuation.loop_sheet import thumbnails as thumbnail_rows
from bench.tasks.valuation.loop_sheet import write_sheet
from bench.tasks.valuation.loop_table import write_table
from bench.tasks.valuation.metrics import (
    Floats,
    auc,
    average_precision,
    detected,
    inspected_counts,
    lowest_first,
    spearman,
)
from bench.tasks.valuation.points import Points
from bench.tasks.valuation.protocol import Method, Problem
from bench.types import Added, Decay, DottedName, NonNegativeInt, PositiveFloat, PositiveInt

BATCHES_SEEDS = False
FEATURES = Path(".cache", "features")  # below results_root


def run(
    session: Session,
    state: dict[str, Any] | None,
    *,
    curve: NonNegativeInt,
    sheet: NonNegativeInt,
    compare: str | None,
    cost: bool,
    prune: list[Decay] | None,
    network: str,
    retrain_loop: DottedName,
    retrain_epochs: PositiveInt,
    retrain_batch_size: PositiveInt,
    retrain_method: str,
    retrain_lr: PositiveFloat | None,
    retrain_schedule: str,
    crop_padding: NonNegativeInt | None,
    flip: bool,
    thumbnails: Added[bool] = False,
) -> None:
    """Value all points, write values.csv and, of images, sheet.png into the run's folder, log the detection curve and finish with the metrics.

    Where the data set does not say what is corrupted, or nothing or everything is, there are no `auc`, `average_precision`,
    `detection_rate` and no curve. `spearman` is left out where all values of either method are equal.

    Args:
        curve: about so many rows `inspected`, `detected`; 0: none.
        sheet: the last so many places from both ends as rows `lowest_point`, `highest_point` (positions) with their values, and images of
            sheet.png; 0: none.
        compare: method with whose values on the same features the rank correlation is taken.
        cost: also `seconds` of valuation, without embedding and measuring, and `peak_bytes` of memory beyond what was there when it began.
            They are of this run on this machine: a second run has others.
        prune: shares of the points, lowest values first, that are left out before a network is trained: a row `pruned`,
            `pruned_accuracy` each.
        network, retrain_method, retrain_schedule: names of options of conf; retrain_lr takes the place of the method's own.
        retrain_loop: class that trains.
        thumbnails: also a row for each image of the sheet, with a small one as text.
    """
    device, scale = session.device, session.job.settings.scale
    points: Points = build("dataset", session.job.parts["dataset"], session.job.settings.data_root, session.seeds[0])
    if session.job.parts.get("model") is None:
        raise UserError("model: missing value; name an embedder, as model=features_as_they_are")
    need_embedder(session.job.parts["model"])
    if points.about:
        session.report(points.about)
    valuing = Valuing(session, points.to(device.device))
    other = None if compare is None else option("compare", "method", compare, scale, serves("valuation"))
    pruning = None
    if prune:
        recipe = Recipe.of(
            scale, network, retrain_method, retrain_lr, retrain_schedule, loop=retrain_loop, epochs=retrain_epochs,
            batch_size=retrain_batch_size, crop_padding=crop_padding, flip=flip,
        )  # fmt: skip
        pruning = Pruning(session, valuing.points, recipe, prune)
    values = valuing.values(state, cost)
    if not np.isfinite(values).all():
        session.report(f"{session.job.title}: {int((~np.isfinite(values)).sum())} values are NaN or infinite")
        session.runs[0].finish("diverged", **valuing.final)
        return
    with session.clock.paused():
        valuing.measure(values, curve, sheet, thumbnails)
        if other is not None:
            valuing.compare(values, other)
    if pruning is not None:
        valuing.prune(pruning)
    valuing.finish(values, sheet)


class Valuing:
    """One seed's run. State: the method's while it works, then the values and the accuracies so far."""

    def __init__(self, session: Session, points: Points) -> None:
        self.session, self.points, (self.seed,) = session, points, session.seeds
        settings = session.job.settings
        embedder = build("model", session.job.parts["model"], settings.data_root)
        folder = Path(settings.results_root) / FEATURES
        train, reference = embed(points, embedder, folder, self.seed)
        raw = (points.train_x.flatten(1), points.reference_x.flatten(1)) if points.images else (None, None)
        self.problem = Problem(
            train, points.train_y, reference, points.reference_y, points.num_classes, self.seed, *raw
        )
        self.final: dict[str, Any] = {"points": len(points.train_y), "reference_points": len(points.reference_y)}
        self.state: dict[str, Any] = {}
        self.units, self.told = 0, list[str]()

    def _begun(self, node: dict[str, Any], key: str = "method.") -> tuple[Method, int]:
        """A method and its number of units; `key` goes before what it says of its own keys."""
        method: Method = build("method", node)
        try:
            return method, method.begin(self.problem)
        except ValueError as error:
            raise UserError(f"{key}{error}") from error

    def values(self, state: dict[str, Any] | None, cost: bool) -> Floats:
        """[N], from the start or a checkpoint."""
        if state is not None and "values" in state:  # all units are done
            self.state, self.units = state, state["unit"]
            self.session.begin(self.units, self.units)
        else:
            self._work(state, cost)
        if cost:
            self.final |= {"seconds": self.state["seconds"], "peak_bytes": self.state["peak"]}
        return self.state["values"].cpu().numpy()

    def _work(self, state: dict[str, Any] | None, cost: bool) -> None:
        """All units that are left; the time that `begin` took before the first one counts."""
        session, since, peak = self.session, time.perf_counter(), Peak(self.session.device) if cost else None
        method, self.units = self._begun(session.job.parts["method"])
        session.device.synchronize()
        found = state or {"unit": 0, "peak": 0, "begun": time.perf_counter() - since if cost else 0.0}
        if state is not None:
            method.load_state_dict(state["method"])
        self._tell(method)
        session.begin(self.units, found["unit"])
        for unit in range(found["unit"], self.units):
            method.advance(unit)
            session.progress.step(unit + 1)
            if peak:
                found["peak"] = max(found["peak"], peak.read())
            if session.due() and unit + 1 < self.units:
                session.save(found | {"unit": unit + 1, "method": method.state_dict()})
        values = torch.from_numpy(self._checked(method.values()))
        if peak:
            found["peak"] = max(found["peak"], peak.read())
        seconds = found["begun"] + session.clock.read() if cost else 0.0
        self.state = {"unit": self.units, "values": values, "peak": found["peak"], "seconds": seconds}
        self._tell(method)

    def _tell(self, method: Method) -> None:
        """What the method has to say, if it has not been told; it may come with `begin` or later."""
        notice = getattr(method, "notice", None)
        if notice and notice not in self.told:
            self.told.append(notice)
            self.session.report(f"{self.session.job.title}: {notice}")

    def _checked(self, values: Any) -> Floats:
        wanted, shape = len(self.points.train_y), list(getattr(values, "shape", ()))
        if shape != [wanted]:
            raise UserError(
                f"method: values() gives {shape or type(values).__name__}, not one value for each of {wanted} points"
            )
        return torch.as_tensor(values).detach().double().cpu().numpy()

    def measure(self, values: Floats, curve: int, sheet: int, thumbnails: bool) -> None:
        """The metrics of the values, and the rows of curve and sheet."""
        n = len(values)
        ties = torch.rand(n, generator=generator(self.seed, "order"), dtype=torch.float64).numpy()
        self.order = lowest_first(values, ties)
        self.final |= {"distinct_values": len(np.unique(values)) / n, "value_sum": math.fsum(values)}
        bad = None if self.points.corrupted is None else self.points.corrupted.cpu().numpy()
        if bad is not None and 0 < bad.sum() < n:
            figures = {"auc": auc(values, bad), "average_precision": average_precision(values, bad)}
            figures["detection_rate"] = detected(self.order, bad, [int(bad.sum())])[0]
            self.session.progress.note(self.units, **figures)
            self.final |= figures
        if not self.state.get("logged"):
            self._log(values, bad, curve, sheet)
            if thumbnails:
                for row in thumbnail_rows(self.points, values, self.order, sheet):
                    self.session.runs[0].log(self.units, **row)
            self.state["logged"] = True

    def _log(self, values: Floats, bad: NDArray[np.bool_] | None, curve: int, sheet: int) -> None:
        (run,) = self.session.runs
        counts = inspected_counts(len(values), curve) if curve and "auc" in self.final else []
        for count, share in zip(counts, detected(self.order, bad, counts) if counts else []):  # type: ignore[arg-type]
            run.log(self.units, inspected=count / len(values), detected=share)
        for low, high in zip(self.order[:sheet], self.order[::-1][:sheet]):
            ends = {"lowest_point": int(low), "highest_point": int(high)}
            run.log(self.units, **ends, lowest_value=float(values[low]), highest_value=float(values[high]))

    def compare(self, values: Floats, node: dict[str, Any]) -> None:
        """`spearman` with the values of another method."""
        named = self.session.job.parts["task"]["compare"]
        method, units = self._begun(node, f"task.compare = {named}: ")
        for unit in range(units):
            method.advance(unit)
        found = spearman(values, self._checked(method.values()))
        if math.isfinite(found):
            self.final["spearman"] = found

    def prune(self, pruning: Pruning) -> None:
        """A row after each network; the last one's accuracy is the final metric."""
        (run,) = self.session.runs
        accuracies: list[float] = self.state.setdefault("accuracies", [])
        for fraction in pruning.fractions[len(accuracies) :]:
            begun = self.state.pop("training", None)
            accuracies.append(pruning.accuracy(self.order, fraction, self._save_training, begun))
            run.log(self.units, pruned=fraction, pruned_accuracy=accuracies[-1])
            if self.session.due() and len(accuracies) < len(pruning.fractions):
                self.session.save(self.state)
        self.final |= {"pruned": pruning.fractions[-1], "pruned_accuracy": accuracies[-1]}

    def _save_training(self, state: dict[str, Any]) -> None:
        self.session.save(self.state | {"training": state})

    def finish(self, values: Floats, sheet: int) -> None:
        """The table of values, the sheet of images, and the end."""
        (run,) = self.session.runs
        path = write_table(run.folder, self.points, values, self.order)
        self.session.report(f"values of {len(values):,} points: {path}")
        if drawn := write_sheet(run.folder, self.points, self.order, sheet):
            self.session.report(f"images of the lowest and highest values: {drawn}")
        run.finish(**self.final)
