"""All probes at the end of one run: what they log has a name in the task's note, and the run is not another for them."""

from __future__ import annotations

import pytest
from conftest import final

from bench.tasks.classification import gradient_probes
from bench.tasks.classification.note import NOTE

PACKAGE = "bench.tasks.classification"
PROBES = (
    "calibration.adaptive_ece", "calibration.reliability", "calibration.top5_accuracy", "robustness.corruption_error", "robustness.fgsm_accuracy",
    "gradient_probes.gradient_variance", "gradient_probes.batch_gradient_variance",
)  # fmt: skip
SMALL = ("method=sgd", "dataset=digits", "dataset.train_size=64", "dataset.test_size=60", "task.epochs=1")


@pytest.mark.parametrize("model", ["mlp", "small_cnn"])
def test_probes_log_what_the_note_names_and_change_nothing_else(go, monkeypatch, model):
    for name, value in (("MOST", 64), ("LEAST", 16), ("FEWEST", 4), ("DRAWS", 8)):
        monkeypatch.setattr(gradient_probes, name, value)
    line = (*SMALL, f"model={model}", "model.hidden=[5]" if model == "mlp" else "model.width=2")
    asked = ",".join(f"{PACKAGE}.{probe}" for probe in PROBES)
    (plain,), (probed,) = final(go(*line)), final(go(*line, f"task.probes=[{asked}]", root="probed"))
    assert {name: probed[name] for name in plain} == plain
    more = set(probed) - set(plain)
    assert more <= set(NOTE.metrics)
    for start in ("test_adaptive", "reliability_share", "test_top5", "corruption_error", "fgsm", "gradient_", "batch_"):
        assert any(name.startswith(start) for name in more), start
