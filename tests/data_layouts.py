"""Small sound data folders, as every layout has them: what readers take, and what damage is done to."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np

NAMES = [f"class{k}" for k in range(10)]
MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
BATCHES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
RAW, UCI = "MNIST/raw", "uci/UCI_Datasets/energy/data/data.txt"
BIKE, MAT = "uci/treforevans/bike/data.csv.gz", "olps/djia.mat"
BYTES = np.random.default_rng(7).integers(0, 256, 5000, dtype=np.uint8).tobytes()
BINARY, PYTHON, HUNDRED = "cifar-10-batches-bin", "cifar-10-batches-py", "cifar-100-binary"


def idx(array: np.ndarray) -> bytes:
    """An IDX file of bytes."""
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def records(n: int = 20, label_bytes: int = 1, labels: np.ndarray | None = None) -> np.ndarray:
    """CIFAR's binary records [n, label_bytes + 3072]."""
    rows = np.random.default_rng(n).integers(0, 256, (n, label_bytes + 3072), dtype=np.uint8)
    rows[:, label_bytes - 1] = np.arange(n) % 10 if labels is None else labels
    return rows


def batch(n: int = 20, **other: object) -> bytes:
    """A pickled batch in torchvision's layout; `other` values in place of its own."""
    rows = records(n)
    return pickle.dumps({"data": rows[:, 1:], "labels": rows[:, 0].tolist()} | other, protocol=2)


def put(path: Path, content: bytes) -> Path:
    """A file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def cifar10_binary(root: Path) -> Path:
    """Six files of 20 records and the names."""
    for name in BATCHES:
        put(root / BINARY / f"{name}.bin", records().tobytes())
    put(root / BINARY / "batches.meta.txt", "\n".join(NAMES).encode() + b"\n\n")
    return root / BINARY


def cifar100_binary(root: Path) -> Path:
    """Two files of 20 records and ten names."""
    for name in ("train.bin", "test.bin"):
        put(root / HUNDRED / name, records(label_bytes=2).tobytes())
    put(root / HUNDRED / "fine_label_names.txt", "\n".join(NAMES).encode())
    return root / HUNDRED


def cifar10_python(root: Path) -> Path:
    """The same as pickles."""
    for name in BATCHES:
        put(root / PYTHON / name, batch())
    put(root / PYTHON / "batches.meta", pickle.dumps({"label_names": NAMES}, protocol=2))
    return root / PYTHON


def mnist(root: Path, zipped: bool = False) -> Path:
    """60 training and 20 test images, plain or as .gz."""
    for name, n in zip(MNIST, (60, 60, 20, 20)):
        images = np.random.default_rng(n).integers(0, 256, (n, 28, 28), dtype=np.uint8)
        content = idx(images if "images" in name else np.arange(n, dtype=np.uint8) % 10)
        put(root / "MNIST/raw" / (f"{name}.gz" if zipped else name), gzip.compress(content) if zipped else content)
    return root / "MNIST/raw"


def tables(root: Path) -> Path:
    """energy, bike, a9a and mushrooms with few rows."""
    rng = np.random.default_rng(0)
    put(root / "uci/UCI_Datasets/energy/data/data.txt", text(rng.random((20, 9)), " "))
    put(root / "uci/treforevans/bike/data.csv.gz", gzip.compress(text(rng.random((20, 18)), ",")))
    put(root / "libsvm/a9a", b"-1 3:1 123:1\n+1 4:1\n-1 3:1 5:1\n")
    put(root / "libsvm/mushrooms", b"1 3:1 112:1\n2 4:1\n1 3:1 5:1\n")
    return root


def text(table: np.ndarray, between: str) -> bytes:
    """Rows of numbers."""
    return "".join(between.join(f"{value:.6g}" for value in row) + "\n" for row in table).encode()


def market(root: Path, content: np.ndarray | None = None, name: str = "data") -> Path:
    """The .mat file of djia, 10 x 3."""
    from scipy.io import savemat

    (root / "olps").mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).uniform(0.9, 1.1, (10, 3)) if content is None else content
    savemat(root / "olps/djia.mat", {name: values}, do_compression=True)
    return root / "olps/djia.mat"
