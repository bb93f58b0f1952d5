"""A tuned network for others: adapters in peft's format, whole networks in diffusers', to be loaded by peft and diffusers alone.

    net = diffusers.UNet2DModel.from_pretrained(folder)          # of a network with a context: UNet2DConditionModel
    net = peft.PeftModel.from_pretrained(net, adapters)          # onto the network before tuning; merged networks need none
    noise = net(x, t, y, return_dict=False)[0]

What `net` takes and gives is that of `Denoiser.net`. Projections to queries, keys and values stand apart, as diffusers expects them: an adapter of
all three, B [3c, r] and A [r, c], becomes three with the same A and a third of B each, which is the same function. Networks are private if
their training was: saving is post-processing.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.libraries import diffusers, peft
from bench.models.unet import QUERY_KEY_VALUE, Denoiser, unfused


def save_network(denoiser: Denoiser, folder: Path | str) -> None:
    """The network as diffusers saves it (config.json, safetensors), adapters merged into their layers."""
    net = _plain(denoiser)
    net.load_state_dict(unfused(merged(denoiser).net.state_dict()))
    net.save_pretrained(folder)  # type: ignore[operator]


def save_base(denoiser: Denoiser, folder: Path | str) -> None:
    """The network that adapters go onto, as diffusers saves it: the weights before tuning, but for the classes' embeddings."""
    _plain(denoiser).save_pretrained(folder)  # type: ignore[operator]


def save_adapters(denoiser: Denoiser, folder: Path | str) -> None:
    """The adapters, and the classes' embeddings that were trained with them, as peft saves them (adapter_config.json, safetensors).

    Raises:
        ValueError: the denoiser has none.
    """
    config = getattr(denoiser.net, "peft_config", None)
    if config is None:
        raise ValueError("the denoiser has no adapters; save_network saves a network without them")
    own = config["default"]
    targets = sorted({one for name in own.target_modules for one in (QUERY_KEY_VALUE if name == "to_qkv" else (name,))})
    classes = denoiser.class_layer
    theirs = peft().LoraConfig(
        r=own.r,
        lora_alpha=own.lora_alpha,
        target_modules=targets,
        modules_to_save=None if classes is None else [classes],
    )
    model = peft().PeftModel(_plain(denoiser), theirs)
    state = _split({name: tensor for name, tensor in denoiser.net.state_dict().items() if ".lora_" in name})
    if classes is not None:
        kept = denoiser.net.get_submodule(classes).state_dict()
        state |= {f"{classes}.modules_to_save.default.{name}": tensor for name, tensor in kept.items()}
    left = model.base_model.model.load_state_dict(state, strict=False)
    assert not left.unexpected_keys, left.unexpected_keys
    model.save_pretrained(str(folder))


def merged(denoiser: Denoiser) -> Denoiser:
    """A copy without adapters, W + B A in their layers' place."""
    twin = copy.deepcopy(denoiser)
    layers = {name: module for name, module in twin.net.named_modules() if hasattr(module, "lora_A")}
    for name, layer in layers.items():
        layer.merge()
        where, _, last = name.rpartition(".")
        setattr(twin.net.get_submodule(where), last, layer.get_base_layer())
    return twin


def _plain(denoiser: Denoiser) -> nn.Module:
    """diffusers' own network of the same structure, with the weights before tuning but for the classes' embeddings, on the CPU."""
    base: dict[str, Tensor] = {}
    for name, tensor in denoiser.net.state_dict().items():
        if ".lora_" not in name:
            base[name.replace(".base_layer.", ".")] = tensor
    net = getattr(diffusers(), type(denoiser.net).__name__).from_config(denoiser.net.config)
    net.load_state_dict(unfused(base))
    return net.eval()


@torch.no_grad()
def _split(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of adapters, with one of `to_qkv` as three: a third of B's rows each, and A thrice."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".to_qkv." not in name:
            found[name] = tensor
            continue
        parts = tensor.chunk(3) if ".lora_B." in name else [tensor] * 3
        found |= {name.replace("to_qkv", to): part.clone() for to, part in zip(QUERY_KEY_VALUE, parts)}
    return found
