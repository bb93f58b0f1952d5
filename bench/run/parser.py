"""The command lines of the scripts beside run.py."""

from __future__ import annotations

import argparse
from typing import NoReturn

from bench.errors import UserError


class Parser(argparse.ArgumentParser):
    """What it refuses is a UserError: one line, as everywhere here."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help says more")
