"""stub"""

from pathlib import Path


def is_known(name: str, path: Path) -> bool | None:
    return True if name.startswith(("wheel:", "cifar", "MNIST", "libsvm", "uci", "olps")) else None


def difference(name: str, path: Path) -> str | None:
    return None
