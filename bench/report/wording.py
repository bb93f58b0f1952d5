"""Config keys and columns as the words of the task's note, in the labels that verdicts carry: `fresh True` is `fresh samples`."""

from __future__ import annotations

import re
from functools import cache

from bench.run.notes import note

VALUE = r"[^\s,;()]+"
LIST = r"\[[^\]]*\]"
REDUCED = re.compile(rf"(\w+) ({LIST}|\S+) instead of ({LIST}|[^\s,]+)")
CALLED = {  # config keys whose names say too little
    "batch_size": "minibatches of",
    "burn_in": "burn-in",
    "clip": "clipping norm",
    "d": "dimension",
    "dim": "dimension",
    "ema": "decay of the averaged parameters",
    "evaluate_every": "epochs between evaluations",
    "evaluations": "rows of the curve",
    "feature_steps": "steps of the classifier that gives features",
    "first_samples": "samples of the first layer",
    "gradient_subset": "examples of the gradient norm",
    "inception": "Inception features",
    "lr": "step size",
    "lr_power": "exponent of the step size",
    "membership": "images of the attack",
    "membership_draws": "draws of the attack",
    "milestones": "steps down of the step size at",
    "ood": "foreign data",
    "physical_batch_size": "examples at a time",
    "pretraining_batch_size": "minibatches of pre-training of",
    "pretraining_ema": "decay of the averaged parameters in pre-training",
    "pretraining_lr": "step size of pre-training",
    "pretraining_steps": "steps of pre-training",
    "reference_size": "reference examples",
    "retrain_batch_size": "minibatches of retraining of",
    "retrain_epochs": "epochs of retraining",
    "test_samples": "test examples",
    "test_size": "test examples",
    "train_size": "training examples",
}
PATHS = re.compile(r"'bench(?:\.\w+)*\.(\w+)'")


def spoken(text: str, task: str) -> str:
    """A label, or a sentence with labels in it, in the task's words."""
    pattern, names = _words(task)
    return PATHS.sub(r"\1", pattern.sub(lambda found: _said(found, names, task), text))


def protocol_in_words(text: str, task: str) -> str:
    """What a protocol is reduced in: `reduced: training examples 2000 instead of all`."""
    words = note(task).words

    def said(found: re.Match[str]) -> str:
        key, *values = found.groups()
        if key in words or any(f"{key}={value}" in words for value in values):
            return spoken(found[0], task)
        some, full = (_value(value, key) for value in values)
        return f"{CALLED.get(key, key.replace('_', ' '))} {some} instead of {full}"

    return REDUCED.sub(said, text)


def _value(text: str, key: str) -> str:
    """A value of the config as a reader writes it; of classes how many there are."""
    if key == "classes" and text.startswith("["):
        return str(len(text.split(",")))
    return {"True": "yes", "False": "no", "[]": "none"}.get(text) or (f"{int(text):,}" if text.isdigit() else text)


@cache
def _words(task: str) -> tuple[re.Pattern[str], dict[str, str]]:
    said = note(task)
    columns = {name: f"{metric.label} {{}}" for name, metric in said.metrics.items() if "_" in name}
    keys = dict.fromkeys(key.partition("=")[0] for key in said.words)
    known = sorted({*keys, *columns}, key=len, reverse=True)
    one = "|".join(map(re.escape, known)) or r"(?!)"
    return re.compile(rf"(?<![\w.])(?:method\.|dataset\.|task\.|model\.)?({one}) ({VALUE})"), columns


def _said(found: re.Match[str], columns: dict[str, str], task: str) -> str:
    (key, value), words = found.groups(), note(task).words
    text = words.get(f"{key}={value}") or words.get(key) or columns.get(key)
    return text.format(value.removesuffix(".0")) if text else found[0]
