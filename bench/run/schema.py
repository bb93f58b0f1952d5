"""The runner's own keys, typed, and error lines for values that do not fit."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import UserError
from bench.run.gpu import cuda_devices
from bench.run.refusal import line
from bench.run.world import check_start
from bench.types import NonNegativeFloat, PositiveFloat, PositiveInt

THREADS = 16 * (os.cpu_count() or 1)  # more than this only costs memory, and crashes the libraries that start them
Filled = Annotated[str, Field(min_length=1)]
Module = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]


Seed = Annotated[int, Field(ge=0)]  # however large


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Hardware(Strict):
    """Where and how a run computes. Not part of a result's key; recorded beside it."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    compile: bool
    threads: Annotated[PositiveInt, Field(le=THREADS)] | None
    processes: Literal["one", "torchrun"] = "one"
    timeout: PositiveFloat = 120.0


class Tracker(Strict):
    """The mirror of the numbers outside the results folder. None: as wandb's environment variables say."""

    kind: Literal["wandb", "none"]
    mode: Literal["offline", "online", "disabled"] | None = None
    project: str | None = None
    entity: str | None = None


class Settings(Strict):
    """The runner's own keys."""

    seeds: list[Seed] = Field(min_length=1)
    scale: Literal["auto", "smoke", "mini", "paper"]
    hardware: Hardware
    tracker: Tracker
    data_root: Filled
    results_root: Filled
    checkpoint_every: NonNegativeFloat
    force: bool | Literal["stale"]
    verbose: bool
    parallel: PositiveInt | None = 1
    extensions: list[Module] = Field(default_factory=list)

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


def settings_of(values: dict[str, Any]) -> Settings:
    """The runner's own keys, typed.

    Raises:
        UserError: a key or value that does not fit, or a device that is not here.
    """
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        bad = error.errors()[0]["loc"]
        owners: dict[str, type[BaseModel]] = {"hardware": Hardware, "tracker": Tracker} if len(bad) > 1 else {}
        owner = owners.get(str(bad[0]), Settings)
        raise UserError(line("", error, values, owner.model_fields)) from None
    if settings.hardware.device == "cuda" and not cuda_devices():
        raise UserError("hardware.device = 'cuda': no CUDA device is visible here; use hardware=cpu or hardware=auto")
    check_start(settings.hardware, cuda_devices())
    return settings
