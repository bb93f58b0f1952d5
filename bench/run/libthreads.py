"""Threads of the libraries beside torch: NumPy's and SciPy's linear algebra, scikit-learn's loops. Those that are idle wait by spinning."""

from __future__ import annotations

import os

from threadpoolctl import threadpool_limits

VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def limit(threads: int | None) -> None:
    """At most so many from now on, in libraries that are loaded and in those to come; None: as many as they like."""
    if threads is not None:
        os.environ.update(dict.fromkeys(VARIABLES, str(threads)))
        threadpool_limits(threads)
