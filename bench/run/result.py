"""result.json: what it must hold, its checksum, and the one way in which it is read."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bench.errors import UserError
from bench.run.atomic import Damaged, plain, read_json, set_aside
from bench.run.curve import check_curve, check_length
from bench.run.files import METRICS, NEW, RESULT
from bench.run.schema import Seed
from bench.types import NonNegativeFloat, NonNegativeInt, PositiveInt

FORMAT = 2  # results without a format are older and have neither checksum nor curve
Name = Annotated[str, StringConstraints(min_length=1)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Curve(_Part):
    """The curve that belongs to a result."""

    bytes: NonNegativeInt
    rows: NonNegativeInt
    sha256: Digest


class Measured(_Part):
    """What depends on the machine and its clock."""

    wall_seconds: NonNegativeFloat
    seeds_in_batch: PositiveInt
    examples_per_second: NonNegativeFloat = 0.0
    peak_memory_bytes: NonNegativeInt | None = None
    attempt: PositiveInt = 1


class Result(_Part):
    """What a result holds, beside metrics of any name."""

    format: Literal[2] | None = None
    status: Literal["finished", "diverged"]
    task: Name
    method: Name
    dataset: Name
    seed: Seed
    scale: str = ""
    key: Name
    code: Name
    precision: Literal["fp32", "bf16"]
    metrics: dict[str, Any]
    data: dict[str, str] = Field(default_factory=dict)
    curve: Curve | None = None
    measured: Measured
    checksum: Digest | None = None


def is_metric(value: Any) -> bool:
    """A finite number, null, or a list or mapping of such."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(is_metric, value))
    if isinstance(value, dict):
        return all(map(is_metric, value.values()))
    return value is None or isinstance(value, int)


def text_of(result: Mapping[str, Any]) -> bytes:
    """The content of result.json: the last line is a checksum over all bytes above it. Older results keep having none."""
    content = plain({name: value for name, value in result.items() if name != "checksum"})
    body = json.dumps(content, indent=2, allow_nan=False).removesuffix("\n}").encode()
    return body + (_last_line(body) if "format" in content else b"\n}\n")


def _last_line(body: bytes) -> bytes:
    return b',\n  "checksum": "%s"\n}\n' % hashlib.sha256(body).hexdigest().encode()


def parsed(content: bytes) -> dict[str, Any]:
    """The result that a file's bytes are.

    Raises:
        ValueError: they are none, in one line.
    """
    result = read_json(content)
    try:
        Result.model_validate(result)
        if not is_metric(result["metrics"]):
            raise ValueError("metrics hold what is no finite number")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    newer = [result[name] is not None for name in ("format", "curve", "checksum") if name in result]
    if newer and not (len(newer) == 3 and all(newer)):
        raise ValueError("without format, curve or checksum")
    if newer:
        body = content[: content.rfind(b',\n  "checksum"')]
        if content != body + _last_line(body):
            raise ValueError("not what its checksum says")
    return result


def load_result(
    folder: Path, key: str | None = None, names: Mapping[str, str] | None = None, *, path: Path | None = None
) -> dict[str, Any] | None:
    """The finished result in a seed's folder, or None. Changes nothing on disk.

    Args:
        key: of the job whose folder it is; None: not known.
        names: its options' names, by part.
        path: the file; None: result.json, or the one that is just replacing it, whose curve is in place already.

    Raises:
        Damaged: it is not whole, not of this job and seed, or its curve is not as long as it says.
    """
    if path is None:
        path = folder / (RESULT + NEW)
        if not path.exists() or (folder / (METRICS + NEW)).exists():
            path = folder / RESULT
    try:
        result = parsed(path.read_bytes())
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise Damaged(path, "a folder") from None
    except ValueError as error:
        raise Damaged(path, str(error).splitlines()[0]) from None
    seed = re.fullmatch(r"seed(\d{1,4000})", folder.name)
    if seed and int(seed[1]) != result["seed"]:
        raise Damaged(path, f"of seed {result['seed']}")
    if key not in (None, result["key"]):
        raise Damaged(path, f"of another job, {result['key'][:12]}")
    for part in ("task", "method", "dataset"):
        if names is not None and names[part] != result[part]:
            raise Damaged(path, f"of {part} '{result[part]}'")
    if path.name == RESULT or not (folder / (METRICS + NEW)).exists():
        check_length(folder, result.get("curve"))
    return result


def read_result(
    folder: Path,
    key: str | None = None,
    report: Callable[[str], None] = lambda line: None,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any] | None:
    """The finished result in `folder` with a whole curve, or None; of two files the damaged one is moved aside and reported.

    Who calls holds the folder's lock.

    Raises:
        UserError: a folder stands in the place of one of them.
    """
    try:
        result = load_result(folder, key, names)
        if result is not None:
            check_curve(folder, result.get("curve"))
        return result
    except Damaged as damaged:
        path, reason = damaged.path, damaged.reason
    if path.is_dir():
        raise UserError(f"{path}: a folder stands where the runner writes a file; move it away")
    moved = f"; moved to {set_aside(path).name}" if path.exists() else ""
    report(f"{path} is damaged ({reason}){moved}, computing it again")
    return None
