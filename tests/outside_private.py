"""Outside references of private tuning's baselines: Opacus, torch.func, torch.optim, a loop."""

from __future__ import annotations

import warnings
from typing import Any

from outside_made import module

STEPS, TUNING = "methods/private/test_dpsgd.py", "methods/private/test_tuning.py"


def _step(test: str, *more: Any) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)  # of Opacus, at the first layer
        found = module(STEPS)
        getattr(found, test)(found.small_unet(), *more)


def dp_full() -> None:
    """Opacus' hooks, its clipping and its optimizer, all parameters trained."""
    _step("test_a_step_equals_opacus_hooks_without_copies", "all")


def dp_attention() -> None:
    """The same, attention trained."""
    _step("test_a_step_equals_opacus_hooks_without_copies", "attention")


def dp_scratch() -> None:
    """torch.func's gradients of examples with four copies each."""
    _step("test_a_step_of_four_copies_equals_torch_func")


def lora() -> None:
    """torch.optim.AdamW on the mean loss."""
    module(TUNING).test_without_privacy_it_is_adamw_on_the_mean_loss_of_the_same_batches()


def public_only() -> None:
    """The network that was given, tensor by tensor."""
    module("methods/private/test_tuned_networks.py").test_the_public_network_takes_no_step()


def dp_mepf() -> None:
    """Sums of normalised features by a loop over images."""
    module("methods/private/test_mepf.py").test_the_sums_are_those_of_a_loop()


REFERENCES = {f.__name__: f for f in (dp_full, dp_attention, dp_scratch, lora, public_only, dp_mepf)}
