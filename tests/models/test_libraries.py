"""diffusers, peft and the accountants beside a folder called datasets and whatever torchvision is installed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from conftest import ROOT

from bench import libraries
from bench.errors import UserError


def fresh(code: str) -> str:
    """What a new interpreter prints, with warnings as errors."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_they_import_beside_our_datasets_and_leave_torchvision_as_it_was():
    """A torchvision that they imported first, or a stub of it, would be in the way of who reads data sets by it."""
    out = fresh(
        """
        import sys
        import datasets
        from bench.libraries import diffusers, dp_accounting, opacus_accountants, peft
        assert "torch" not in sys.modules  # nothing is imported before it is asked for
        net = diffusers().UNet2DModel(sample_size=4, in_channels=1, out_channels=1, block_out_channels=(8,), layers_per_block=1,
            down_block_types=("AttnDownBlock2D",), up_block_types=("AttnUpBlock2D",), norm_num_groups=4)
        peft().get_peft_model(net, peft().LoraConfig(r=2, target_modules=["to_q"]))
        opacus_accountants().PRVAccountant, dp_accounting().GaussianDpEvent
        assert sys.modules["datasets"] is datasets and "torchvision" not in sys.modules
        from datasets.images.vision import torchvision
        print(torchvision().datasets.MNIST.__name__)
        """
    )
    assert out == "MNIST\n"


def test_what_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus", None)
    libraries._library.cache_clear()
    with pytest.raises(UserError, match=r"needs the extra dp \(opacus is not installed\): pip install '\.\[dp\]'"):
        libraries._library("opacus.no_such", "x")
    libraries._library.cache_clear()
