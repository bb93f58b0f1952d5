"""SSVR in a training loop of one's own on scikit-learn's digits, beside signSGD at equal steps and at equal gradient evaluations. Prints the
test accuracy of each, a mean over three seeds and above .8."""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from methods.sign.signsgd import SignSGD
from methods.sign.ssvr import SSVR

x, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
x = x.float() / 16  # [1797, 64], of which 1400 are trained on


def accuracy(kind, steps, seed, **keys):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    optimizer = kind(model.parameters(), lr=1e-3, **keys)
    for rows in torch.randint(1400, (steps, 64)):

        def closure(rows=rows):  # SSVR calls it twice a step, so that both gradients are of this minibatch
            optimizer.zero_grad()
            loss = cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            return loss

        optimizer.step(closure)
    return float((model(x[1400:]).argmax(1) == y[1400:]).float().mean())


for kind, steps, keys in ((SSVR, 200, {"beta": 0.5}), (SignSGD, 200, {}), (SignSGD, 400, {})):
    mean = sum(accuracy(kind, steps, seed, **keys) for seed in range(3)) / 3
    print(f"{kind.__name__}, {steps} steps of {2 if kind is SSVR else 1} x 64 gradients: accuracy {mean:.3f}")
