"""What every optimizer here has beside torch's: hyper-parameters checked in every group, and steps with a NaN or infinite gradient skipped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Guarded(Optimizer):
    """What a torch optimizer of this family has beside torch's: groups checked wherever they come from, and steps that are skipped.

    A step whose gradients hold a NaN or an infinity changes neither parameters nor state; it is counted.

    Attributes:
        skip_nonfinite: False where one parameter holds several problems and their owner watches each: no step is skipped.
    """

    skip_nonfinite = True
    _skipped: int | Tensor = 0
    _kept: tuple[str, ...] = ("skip_nonfinite", "_skipped")  # beside torch's own, in copies and pickles

    @property
    def skipped_steps(self) -> int:
        """Steps (and snapshots) left out for a NaN or infinite gradient; waits for the device."""
        return int(self._skipped)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's; a hyper-parameter out of range is a ValueError, and then nothing is added."""
        super().add_param_group(param_group)
        try:
            self._check(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def state_dict(self) -> dict[str, Any]:
        """As torch's, with the number of skipped steps."""
        return {**super().state_dict(), "skipped_steps": self.skipped_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; a hyper-parameter out of range is a ValueError, and then nothing is loaded."""
        for own, group in zip(self.param_groups, state_dict["param_groups"]):
            self._check({**self.defaults, **group, "params": own["params"]}, scheduled=True)
        super().load_state_dict(state_dict)
        self._skipped = state_dict.get("skipped_steps", 0)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), **{name: getattr(self, name) for name in self._kept}}

    def _check(self, group: dict[str, Any], scheduled: bool = False) -> None:
        check_ranges(group, scheduled)
        for dtype in {p.dtype for p in group["params"] if p.is_floating_point()}:
            if group["lr"] * max(1.0, group["weight_decay"]) > torch.finfo(dtype).max:
                raise ValueError(
                    f"lr = {group['lr']}, weight_decay = {group['weight_decay']}: too large for parameters of {dtype}"
                )

    def _bad(self, tensors: Sequence[Tensor], wait: Callable[[], bool]) -> bool | Tensor:
        """Is any entry NaN or infinite? Counts it. On a GPU the answer stays there unless `wait()`, or several take part."""
        if not self.skip_nonfinite or not tensors:
            return False
        flags = self._flags(tensors)
        if len(flags) == 1 and not at_hand(flags[0]) and not wait():
            bad = flags[0].clone()
            flags[0].zero_()
            self._skipped = self._skipped + bad.long()
            return bad
        for flag in flags:
            if flag:
                torch._foreach_zero_(flags)
                self._skipped = self._skipped + 1
                return True
        return False

    def _flags(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """For each device: 1.0 if any entry there is NaN or infinite, else 0.0; float32 [], to be set back to 0."""
        found: dict[torch.device, tuple[Tensor, Tensor]] = self.__dict__.setdefault("_found", {})
        kinds = {(t.device, t.dtype) for t in tensors}
        for device, dtype in kinds:
            alike = tensors if len(kinds) == 1 else [t for t in tensors if (t.device, t.dtype) == (device, dtype)]
            if dtype == torch.bfloat16 and device.type != "cpu":  # for which torch has no kernel there
                alike = [t.float() for t in alike]
            if device not in found:
                found[device] = torch.zeros((), device=device), torch.ones((), device=device)
            torch._amp_foreach_non_finite_check_and_unscale_(alike, *found[device])  # type: ignore[arg-type]  # times 1: leaves them as they are
        return [found[device][0] for device in {device for device, _ in kinds}]


def check_ranges(group: dict[str, Any], scheduled: bool = False) -> None:
    """Ranges of the hyper-parameters that the family shares; a schedule may have brought lr to 0.

    Raises:
        ValueError: one is out of range, or asks for what is not offered.
    """
    lr, decay, beta = group["lr"], group.get("weight_decay", 0.0), group.get("beta")
    if not (0 < lr < math.inf or (scheduled and lr == 0)):
        raise ValueError(f"lr = {lr}: a positive number")
    if not 0 <= decay < math.inf:
        raise ValueError(f"weight_decay = {decay}: a non-negative number")
    if beta is not None and not 0 < beta <= 1:
        raise ValueError(f"beta = {beta}: a number in (0, 1], the weight of the new gradient")
    if not 0 <= group.get("momentum", 0.0) < math.inf:
        raise ValueError(f"momentum = {group['momentum']}: a non-negative number")
    for k, weight in enumerate(group.get("betas", ()), 1):
        if not 0 <= weight < 1:
            raise ValueError(f"beta{k} = {weight}: a number in [0, 1), the weight of the old moment")
    if group.get("maximize"):
        raise ValueError("maximize = True: not offered; minimise the negative of the objective")


def at_hand(flag: Tensor) -> bool:
    """Is reading it free? On a CPU it is."""
    return flag.device.type == "cpu"


def dense(owner: Optimizer, grads: list[Tensor]) -> list[Tensor]:
    """The gradients.

    Raises:
        ValueError: one is sparse.
    """
    if True in [g.is_sparse for g in grads]:
        raise ValueError(f"{type(owner).__name__}: a sparse gradient; use dense ones (nn.Embedding(sparse=False))")
    return grads
