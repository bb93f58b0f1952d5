"""Libraries beside torch keep to the threads of a run: those that wait by spinning would take the core of the run beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LIMITED = """
import sys
import numpy, scipy.linalg
from threadpoolctl import threadpool_info
from bench.run import libthreads
libthreads.limit(int(sys.argv[1]) if sys.argv[1] else None)
import sklearn.cluster
print(*sorted({pool["num_threads"] for pool in threadpool_info()}))
"""


@pytest.mark.parametrize(("asked", "found"), [("3", "3"), ("", "2")])
def test_libraries_loaded_before_and_after(asked: str, found: str) -> None:
    env = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2") | {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, asked], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [found]
