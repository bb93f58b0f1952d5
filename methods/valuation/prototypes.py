"""Supervised prototypes: how far is a point from the centre of its cluster?"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from bench.seeding import stream_seed
from bench.tasks.valuation.protocol import Problem
from bench.types import PositiveInt
from methods.valuation.base import ROWS, Valuer


class Prototypes(Valuer):
    """Minus the cosine distance of a point's features to the centre of its k-means cluster: low far from any prototype. Labels are not used
    beyond what the features know of them, nor is the reference set.

    Args:
        clusters: of k-means over all training points.
        batch_size: of mini-batch k-means.
    References: Sorscher et al., 2022, "Beyond neural scaling laws", section 5.
    """

    def __init__(self, *, clusters: PositiveInt, batch_size: PositiveInt) -> None:
        super().__init__()
        self.clusters, self.batch_size = clusters, batch_size

    def start(self, problem: Problem) -> int:
        """
        Raises:
            ValueError: more clusters than points.
        """
        if self.clusters > len(problem.y):
            raise ValueError(f"clusters = {self.clusters}: at most one for each of the {len(problem.y)} points")
        return 1

    def advance(self, unit: int) -> None:
        """All values."""
        from sklearn.cluster import MiniBatchKMeans

        x = self.problem.x.cpu()
        mean = x.mean(0)  # mini-batches do not centre, and distances by products round with an offset
        state = stream_seed(self.problem.seed, "init") % 2**32
        found = MiniBatchKMeans(self.clusters, batch_size=self.batch_size, n_init=3, random_state=state).fit(
            (x - mean).numpy()
        )
        centres = torch.from_numpy(found.cluster_centers_).double() + mean.double()
        labels = torch.from_numpy(found.labels_).long()
        parts = zip(x.split(ROWS), labels.split(ROWS))
        near = [F.cosine_similarity(part.double(), centres[mine], dim=1) for part, mine in parts]
        self.found["values"] = torch.cat(near) - 1
