"""Where to spend 256 gradients a step: on many examples with few draws of noise each, or on few with many? Prints, for draws that a minibatch
shares and for draws of each example's own, the split with the smallest variance of the gradient, measured on 64 examples and 128 draws."""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch.func import functional_call
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench.tasks.doubly_stochastic.budget import gradient_noise

torch.manual_seed(0)
x, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
x = x.float() / 16
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
rows, draws = torch.randperm(len(x))[:64], torch.randn(128, 64)  # noise on the pixels


def loss(params, example, noise):
    image, label = example
    return cross_entropy(functional_call(model, params, (image + noise,)), label)


shared = gradient_noise(loss, dict(model.named_parameters()), (x[rows], y[rows]), draws, num_components=len(x))
for name, moments in (("shared draws", shared), ("draws of their own", shared.independent())):
    best, worst = moments.best_split(256), max(split.variance for split in moments.splits(256))
    split = f"{best.batch_size} examples x {best.mc_samples} draws"
    print(f"{name}: {split}, variance {best.variance:.3g}; the worst split has {worst:.3g}")
