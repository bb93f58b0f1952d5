"""Imported by the server of bench.judge.started, where runs need the extra `dp`: its libraries are, and no code of ours stays."""

from __future__ import annotations

import contextlib
import sys

from bench import libraries
from bench.errors import UserError

for library in (libraries.diffusers, libraries.peft, libraries.opacus_accountants, libraries.dp_accounting):
    with contextlib.suppress(UserError):  # it is not installed, which the run that needs it says
        library()
for name in [name for name in sys.modules if name.startswith("bench.") and not __name__.startswith(name)]:
    del sys.modules[name]
    package, _, leaf = name.rpartition(".")
    if package in sys.modules:  # a package still has its modules as attributes
        vars(sys.modules[package]).pop(leaf, None)
