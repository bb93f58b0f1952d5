"""Denoisers of diffusion models: diffusers' U-Nets, which train and sample here and can be taken away by diffusers alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, pixel_shuffle, pixel_unshuffle

from bench.errors import UserError
from bench.libraries import diffusers
from bench.types import PositiveInt

QUERY_KEY_VALUE = ("to_q", "to_k", "to_v")


class Denoiser(nn.Module):
    """A U-Net that predicts the noise in images or latents (Ho et al., 2020; its structure is that of Rombach et al., 2022).

    Without `context` its attention blocks have one projection to queries, keys and values (`to_qkv`, c -> 3c) and one out (`to_out.0`), and a
    class is embedded and added to the time's embedding. With it they are spatial transformers, whose `to_q`, `to_k`, `to_v`, `to_out.0` stand in
    self-attention and in cross-attention to one token of width `context`, the class's. (A softmax over one token is 1: queries and keys of
    that cross-attention have no influence and no gradient.)

    `net` is the module of diffusers. Its inputs are those of `forward`, but that images are folded if `patch` > 1 (pixel_unshuffle), and that
    the class of a network with a context is one-hot, [B, 1, classes].

    Args:
        in_channels, num_classes, image_size: of what is denoised; 0 classes: unconditional.
        widths: channels of each resolution, which halves from one to the next.
        attention: has each resolution attention blocks?
        blocks: residual blocks of a resolution on the way down; one more on the way up.
        middle: are there two residual blocks and an attention block between?
        head_width: channels of an attention head, at each resolution of a network with a context if it is a list.
        groups: of each GroupNorm.
        time_width: of the time's embedding; null: four times the first width.
        context: width of a class's token; null: no cross-attention.
        patch: squares of patch x patch pixels become the channels of one.

    Raises:
        UserError: sizes that do not fit each other, a context without classes, or the extra dp is missing.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        image_size: int,
        *,
        widths: list[PositiveInt],
        attention: list[bool],
        blocks: PositiveInt,
        middle: bool,
        head_width: PositiveInt | list[PositiveInt],
        groups: PositiveInt,
        time_width: PositiveInt | None,
        context: PositiveInt | None,
        patch: PositiveInt,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, image_size
        self.patch, self.context = patch, context
        heads = head_width if isinstance(head_width, list) else [head_width] * len(widths)
        self._check(widths, [*attention[:-1], attention[-1] or middle] if attention else [], heads, groups)
        shared = {
            "sample_size": image_size // patch,
            "in_channels": in_channels * patch**2,
            "out_channels": in_channels * patch**2,
            "block_out_channels": tuple(widths),
            "layers_per_block": blocks,
            "norm_num_groups": groups,
            "time_embedding_dim": time_width,
        }
        if context is None:
            self.net = _plain(shared, attention, middle, heads, num_classes)
        else:
            self.net = _conditioned(shared, attention, middle, heads, num_classes, context)

    def _check(self, widths: list[int], attention: list[bool], heads: list[int], groups: int) -> None:
        levels, size = len(widths), self.image_size
        if not len(attention) == len(heads) == levels:
            raise UserError(
                f"model.attention = {attention}: {len(attention)} entries, and {len(heads)} of head_width, for {levels} widths; give one a width"
            )
        if self.context is None and len(set(heads)) > 1:
            raise UserError(
                f"model.head_width = {heads}: one number serves all resolutions of a network without a context"
            )
        if self.context is not None and not self.num_classes:
            raise UserError("model.context: the data has no classes to attend to; type model.context=null")
        if size % (self.patch * 2 ** (levels - 1)):
            raise UserError(
                f"model.widths: {levels} resolutions and model.patch = {self.patch} do not divide {size} pixels; leave out a width"
            )
        for width, head, attends in zip(widths, heads, attention):
            if width % groups or (attends and width % head):
                raise UserError(
                    f"model.widths: {width} is no multiple of model.groups = {groups} or of model.head_width = {head}"
                )

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """The predicted noise [B, C, S, S] of x [B, C, S, S] at times t [B] (integers) for classes y [B]; unconditional networks do not read y."""
        if self.patch > 1:
            x = pixel_unshuffle(x, self.patch)
        if not self.num_classes:
            (noise,) = self.net(x, t, return_dict=False)
        elif y is None:
            raise ValueError("the network is conditional: it needs classes y [B]")
        elif self.context is None:
            (noise,) = self.net(x, t, y, return_dict=False)
        else:
            token = one_hot(y, self.num_classes)[:, None].to(x.dtype)
            (noise,) = self.net(x, t, token, return_dict=False)
        return pixel_shuffle(noise, self.patch) if self.patch > 1 else noise

    @property
    def projections(self) -> tuple[str, ...]:
        """Names of the attention's layers to queries, keys and values."""
        return ("to_qkv",) if self.context is None else QUERY_KEY_VALUE

    @property
    def class_layer(self) -> str | None:
        """Name in `net` of the layer whose weight embeds the classes, or None: the network is unconditional."""
        if not self.num_classes:
            return None
        return "class_embedding" if self.context is None else "encoder_hid_proj"

    def attention_blocks(self) -> dict[str, nn.Module]:
        """The attention blocks with all that is in them (norm, projections; of a spatial transformer everything), by name in `net`.

        They come in the order in which the network goes through them: down, middle, up.
        """
        return dict(sorted(_attention(self.net).items()))

    @torch.no_grad()
    def renew_classes(self, generator: torch.Generator) -> None:
        """Draw the classes' embeddings anew, N(0, 1)."""
        if self.class_layer is not None:
            weight = self.net.get_submodule(self.class_layer).weight
            weight.copy_(torch.randn(weight.shape, generator=generator))  # type: ignore[arg-type, operator]


def _attention(net: nn.Module) -> dict[str, nn.Module]:
    return {name: one for name, one in net.named_modules() if name.rpartition(".")[0].endswith(".attentions")}


@torch.no_grad()
def _fused(net: nn.Module) -> nn.Module:
    """The same network with one projection to queries, keys and values in each attention block, in place of three."""
    processor = diffusers().models.attention_processor.FusedAttnProcessor2_0
    for block in _attention(net).values():
        block.fuse_projections()  # type: ignore[operator]
        for name in QUERY_KEY_VALUE:
            delattr(block, name)
        block.set_processor(processor())  # type: ignore[operator]
    return net


def unfused(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a fused network as diffusers names and expects it: thirds of `to_qkv` along its outputs are `to_q`, `to_k`, `to_v`."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".to_qkv." in name:
            parts = tensor.chunk(3)
            found |= {name.replace("to_qkv", to): part.clone() for to, part in zip(QUERY_KEY_VALUE, parts)}
        else:
            found[name] = tensor
    return found


def _plain(
    shared: dict[str, Any], attention: list[bool], middle: bool, heads: list[int], num_classes: int
) -> nn.Module:
    net = diffusers().UNet2DModel(
        down_block_types=["AttnDownBlock2D" if has else "DownBlock2D" for has in attention],
        mid_block_type="UNetMidBlock2D" if middle else None,
        up_block_types=["AttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)],
        attention_head_dim=heads[0],
        num_class_embeds=num_classes or None,
        **shared,
    )
    return _fused(net)


def _conditioned(
    shared: dict[str, Any], attention: list[bool], middle: bool, heads: list[int], num_classes: int, context: int
) -> nn.Module:
    """diffusers calls the number of heads `attention_head_dim` here. The classes' layer has no bias to train."""
    widths = shared["block_out_channels"]
    net = diffusers().UNet2DConditionModel(
        down_block_types=["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attention],
        mid_block_type="UNetMidBlock2DCrossAttn" if middle else None,
        up_block_types=["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)],
        attention_head_dim=[width // head for width, head in zip(widths, heads)],
        cross_attention_dim=context,
        encoder_hid_dim=num_classes,
        encoder_hid_dim_type="text_proj",
        **shared,
    )
    nn.init.normal_(net.encoder_hid_proj.weight)
    bias = net.encoder_hid_proj.bias.detach().zero_()
    del net.encoder_hid_proj.bias
    net.encoder_hid_proj.register_buffer("bias", bias)
    return net
