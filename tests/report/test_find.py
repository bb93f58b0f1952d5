"""The job that a person means: one that cannot be read is one line."""

from __future__ import annotations

import pytest

from bench.errors import UserError
from bench.report.own import find


@pytest.mark.parametrize("text", ["", "a: [", "{a: [", "5", "names: {task: x}\nkey: 1", "\0"])
def test_a_damaged_config_is_one_line(tmp_path, text):
    folder = tmp_path / "runs" / "task" / "odd name [x]-é"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(text)
    for name in ("odd name", str(folder)):
        with pytest.raises(UserError, match=r"config.yaml: cannot be read \(") as error:
            find(tmp_path, name, print)
        assert "\n" not in str(error.value)
