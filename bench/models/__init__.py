"""Networks: `builder(in_channels, num_classes, image_size, *, hyper-parameters) -> nn.Module` giving logits [B, num_classes]."""

from bench.models.cifar_resnet import resnet8, resnet20, resnet56
from bench.models.resnet import preact_resnet18, resnet18
from bench.models.small import mlp, small_cnn, tiny_cnn
from bench.models.wide_resnet import wrn28_10

__all__ = ["mlp", "preact_resnet18", "resnet8", "resnet18", "resnet20", "resnet56", "small_cnn", "tiny_cnn", "wrn28_10"]
