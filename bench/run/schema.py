"""The runner's own keys, typed, and error lines for values that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import UserError, allowed_list, nearest
from bench.run.gpu import cuda_devices
from bench.types import NonNegativeFloat, NonNegativeInt, PositiveInt


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Hardware(Strict):
    """Where and how a run computes. Not part of a result's key; recorded beside it."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    compile: bool
    threads: PositiveInt | None


class Tracker(Strict):
    """The mirror of the numbers outside the results folder. None: as wandb's environment variables say."""

    kind: Literal["wandb", "none"]
    mode: Literal["offline", "online", "disabled"] | None = None
    project: str | None = None
    entity: str | None = None


class Settings(Strict):
    """The runner's own keys."""

    seeds: list[NonNegativeInt] = Field(min_length=1)
    scale: Literal["auto", "smoke", "mini", "paper"]
    hardware: Hardware
    tracker: Tracker
    data_root: str
    results_root: str
    checkpoint_every: NonNegativeFloat
    force: bool | Literal["stale"]
    verbose: bool

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        repeated = sorted({s for s in seeds if seeds.count(s) > 1})
        if repeated:
            raise ValueError(f"distinct seeds only; {repeated[0]} is repeated")
        return seeds

    @field_validator("results_root")
    @classmethod
    def _a_folder(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("names no folder; write results_root=DIR")
        return text


def line(prefix: str, error: ValidationError, allowed: Mapping[str, Any]) -> str:
    """One line for one error (an unknown key before others): key, value, what is allowed, nearest spelling."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in (prefix, *first["loc"]) if part != "")
    leaf = str(first["loc"][-1]) if first["loc"] else prefix
    if first["type"] == "extra_forbidden":
        names = [name for name in allowed if name != leaf]
        return f"{where} = {first['input']!r}: unknown key; allowed: {allowed_list(names)}{nearest(leaf, names)}"
    if first["type"] == "missing":
        return f"{where}: missing value; set it on the command line ({where}=...) or in its file"
    message = first["msg"].removeprefix("Value error, ")
    hint = (
        nearest(first["input"], [p.strip("' ") for p in message.replace(" or ", ",").split(",")])
        if isinstance(first["input"], str)
        else ""
    )
    return f"{where} = {first['input']!r}: {message[0].lower() + message[1:]}{hint}"


def settings_of(values: dict[str, Any]) -> Settings:
    """The runner's own keys, typed.

    Raises:
        UserError: a key or value that does not fit, or a device that is not here.
    """
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        bad = error.errors()[0]["loc"]
        owner = {"hardware": Hardware, "tracker": Tracker}.get(str(bad[0])) if len(bad) > 1 else Settings
        raise UserError(line("", error, (owner or Settings).model_fields)) from None
    if settings.hardware.device == "cuda" and not cuda_devices():
        raise UserError("hardware.device = 'cuda': no CUDA device is visible here; use hardware=cpu or hardware=auto")
    return settings
