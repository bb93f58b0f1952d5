"""What compositions of one choice of options share is what each would come to alone, and nothing else."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from bench.run import composed_once
from bench.run.composition import hydra
from bench.run.confguard import guard_hydra

LINES = [
    ["method=ssvr", "dataset=digits"],
    ["method=ssvr", "method.lr=0.25", "dataset=digits", "seeds=[3,4]"],
    ["+method.extra={a: 1}", "dataset=digits", "method=ssvr", "~method.beta"],
    ["experiment=ssvr/digits", "scale=smoke", "method=signsgd"],
    ["experiment=ssvr/digits", "scale=mini", "method=signsgd", "task.epochs=3"],
    ["method=ssvr_mv", "dataset=digits"],  # brings another task
]


def composed(line: list[str]) -> object:
    return OmegaConf.to_container(compose("config", line, return_hydra_config=True), resolve=False)


def test_a_composition_is_the_same_alone_and_after_others():
    with hydra():
        alone = []
        for line in LINES:
            composed_once._known.clear()
            alone.append(composed(line))
        composed_once._known.clear()
        for _ in range(2):
            assert [composed(line) for line in LINES] == alone
        assert len(composed_once._known) == 4, "choices of options, apart from their order"


def test_a_change_of_a_composed_config_changes_no_other():
    with hydra():
        first, second = (compose("config", ["method=ssvr"]) for _ in range(2))
        first.method.lr = 77.0
        assert second.method.lr != 77.0
        assert compose("config", ["method=ssvr"]) == second


@pytest.fixture
def folder(tmp_path):
    """A config folder of its own: a group whose option is to be chosen, and a file that may come."""
    (tmp_path / "part").mkdir()
    (tmp_path / "part/a.yaml").write_text("x: 1\n")
    (tmp_path / "part/b.yaml").write_text("x: 2\n")
    (tmp_path / "config.yaml").write_text("defaults:\n- part: a\n- optional part@other: later\n- _self_\ny: 0\n")
    (tmp_path / "open.yaml").write_text("defaults:\n- part: ???\n- _self_\n")
    guard_hydra()
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        yield tmp_path


def test_a_file_that_changed_or_came_is_read(folder):
    for _ in range(2):
        assert compose("config", ["y=5"]) == {"part": {"x": 1}, "y": 5}
    (folder / "part/a.yaml").write_text("x: 11\n")
    assert compose("config", ["y=5"]) == {"part": {"x": 11}, "y": 5}
    (folder / "part/later.yaml").write_text("z: 3\n")
    assert compose("config") == {"part": {"x": 11}, "other": {"z": 3}, "y": 0}
    (folder / "part/later.yaml").unlink()
    assert compose("config", ["part=b"]) == {"part": {"x": 2}, "y": 0}
    (folder / "part/b.yaml").unlink()
    with pytest.raises(HydraException, match="Could not find 'part/b'"):
        compose("config", ["part=b"])


def test_an_option_that_is_still_to_be_chosen_is_passed_over_by_a_sweep_alone(folder):
    loader = GlobalHydra.instance().config_loader()
    for _ in range(2):
        assert "part" not in loader.load_configuration("open", [], run_mode=RunMode.MULTIRUN)
        with pytest.raises(HydraException, match="You must specify 'part'"):
            compose("open")
        assert compose("open", ["part=a"]) == {"part": {"x": 1}}
