"""A tuned network, taken away: what peft and diffusers load by themselves gives the same noise."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.libraries import diffusers, peft
from bench.models.unet import Denoiser
from bench.tasks.generation.export import merged, save_adapters, save_network
from methods.private.lora import adapted

FUSED = {
    "widths": [16], "attention": [True], "blocks": 1, "middle": False, "head_width": 8, "groups": 4, "time_width": 16, "context": None, "patch": 2,
}  # fmt: skip
TOKEN = FUSED | {"widths": [8, 16], "attention": [False, True], "head_width": [4, 8], "context": 6, "patch": 1}
X, T, Y = (
    torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
    torch.tensor([0, 9, 500, 999]),
    torch.tensor([0, 1, 2, 0]),
)


def started(keys, classes: int = 3) -> Denoiser:
    torch.manual_seed(1)
    return Denoiser(1, classes, 8, **keys).eval()


@torch.no_grad()
def moved(denoiser: Denoiser) -> Tensor:
    """After a step away from the start, of all that is trained: the noise it predicts."""
    for parameter in denoiser.parameters():
        if parameter.requires_grad:
            parameter += 0.2 * torch.randn_like(parameter)
    return denoiser(X, T, Y)


@torch.no_grad()
def theirs(net, keys, classes: int = 3) -> Tensor:
    """What a network of diffusers predicts, called by hand."""
    given = [F.pixel_unshuffle(X, keys["patch"]), T]
    if classes:
        given.append(Y if keys["context"] is None else F.one_hot(Y, classes)[:, None].float())
    return F.pixel_shuffle(net.eval()(*given, return_dict=False)[0], keys["patch"])


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize(("keys", "classes"), [(FUSED, 3), (FUSED, 0), (TOKEN, 3)])
def test_others_load_it_without_our_code(tmp_path, keys, classes, rank):
    denoiser = started(keys, classes)
    kind = getattr(diffusers(), type(denoiser.net).__name__)
    save_network(denoiser, tmp_path / "before")
    with torch.no_grad():
        before = denoiser(X, T, Y)
    after = moved(adapted(denoiser, rank))
    save_adapters(denoiser, tmp_path / "adapters")
    save_network(denoiser, tmp_path / "after")
    assert (after - before).abs().max() > 0.01
    assert (theirs(kind.from_pretrained(tmp_path / "before"), keys, classes) - before).abs().max() < 2e-6
    assert (theirs(kind.from_pretrained(tmp_path / "after"), keys, classes) - after).abs().max() < 5e-6
    loaded = peft().PeftModel.from_pretrained(kind.from_pretrained(tmp_path / "before"), str(tmp_path / "adapters"))
    assert (theirs(loaded, keys, classes) - after).abs().max() < 5e-6
    with torch.no_grad():
        assert torch.equal(denoiser(X, T, Y), after)  # saving changed nothing
    config = json.loads((tmp_path / "adapters" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (rank, rank)
    assert sorted(config["target_modules"]) == ["to_k", "to_out.0", "to_q", "to_v"]


@pytest.mark.parametrize("keys", [FUSED, TOKEN])
def test_merging_is_the_identity_at_the_start_and_the_same_function_after(keys):
    denoiser = adapted(started(keys), 4)
    with torch.no_grad():
        assert torch.equal(merged(denoiser)(X, T, Y), denoiser(X, T, Y))
    after = moved(denoiser)
    twin = merged(denoiser)
    with torch.no_grad():
        assert (twin(X, T, Y) - after).abs().max() < 5e-6
    assert not any("lora" in name for name in twin.state_dict())


def test_a_network_without_adapters_has_none_to_save(tmp_path):
    with pytest.raises(ValueError, match="no adapters; save_network"):
        save_adapters(started(FUSED), tmp_path)
