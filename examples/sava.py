"""Values of training points by SAVA, where about a fifth of the digits' labels are wrong: they have low values. Prints the area under the ROC
curve of finding them, above .8, and how many of the 100 lowest values are of wrong labels."""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from methods.valuation.sava import sava_values

rng = np.random.default_rng(0)
x, y = load_digits(return_X_y=True)
order = rng.permutation(len(x))
x, y = x[order] / 16, y[order]
wrong = rng.random(1200) < 0.2
labels = np.where(wrong, (y[:1200] + rng.integers(1, 10, 1200)) % 10, y[:1200])

values = sava_values(x[:1200], labels, x[1200:], y[1200:], batch_size=300)  # [1200]; high is worth having
lowest = values.argsort()[:100].numpy()
print(f"area under the ROC curve {roc_auc_score(wrong, -values):.3f}, {wrong.sum()} of {len(wrong)} labels are wrong")
print(f"of the 100 lowest values {wrong[lowest].sum()} are of wrong labels")
