"""LaTeX tables: what a real LaTeX says of them, and what can be seen without one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from bench.report.latex import LETTERS, escaped, latex
from bench.report.marks import Marks, with_marks
from bench.run.paths import ROOT

HOSTILE = r"50 % & more_$x$ #1 {a} ~b \c KL(q || q*) <b>"
DOCUMENT = r"\documentclass[twocolumn]{article}\usepackage[a4paper,margin=19mm]{geometry}\usepackage{booktabs}"


def wide() -> pd.DataFrame:
    """Seven metrics of two methods, some with intervals, one of large numbers."""
    cells = {f"metric {k} of a long name": ["0.3110 [0.2935, 0.3425]", "0.3740 (0.3520..0.3855)"] for k in range(6)}
    frame = pd.DataFrame(
        {"method": ["signsgd_sim", "b"], "lr": ["0.001", "–"], **cells, "wealth": ["1.36e+16", "-27.08"]}
    )
    return with_marks(frame, Marks(2, frozenset({(0, 2), (1, 8)}), ("9 seeds.",)))


def long() -> pd.DataFrame:
    return with_marks(pd.DataFrame({"cost": ["0.005"] * 80, "n": [f"{k},000" for k in range(80)]}), Marks(1))


def prose() -> pd.DataFrame:
    text = "a sentence that is far too long for one line of a column, with a_word_of_many_parts in it"
    return pd.DataFrame({"claim": ["rate-of-a-long-name", "b"], "ours": [text, HOSTILE], "n": ["12", ""]})


def compiled(tables: list[str], folder: Path) -> str:
    """What LaTeX says of a two-column paper with the tables."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex here: apt-get install texlive-latex-recommended")
    body = "\n\\clearpage\n".join(tables)
    text = f"{DOCUMENT}\\extrafloats{{500}}\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (folder / "paper.tex").write_text(text, encoding="utf-8")
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


def test_hostile_tables_compile_and_fit_a_column(tmp_path):
    hostile = pd.DataFrame({HOSTILE: [HOSTILE[:20], "x^y^z T_2 lam^2"], "T^-1/3": ["nan", "1e-07"]})
    tables = [
        latex(t, HOSTILE, f"t{k}") for k, t in enumerate((wide(), long(), prose(), hostile, pd.DataFrame({"a": []})))
    ]
    assert "Overfull" not in compiled(tables, tmp_path)


def test_the_committed_tables_compile_and_fit_a_column(tmp_path):
    files = sorted((ROOT / "results/tables").glob("*/*.tex"))
    assert len(files) > 50
    said = compiled([path.read_text(encoding="utf-8") for path in files], tmp_path)
    assert "Overfull" not in said, "a table is wider than its column"


def test_wide_tables_are_split_by_columns_and_long_ones_by_rows():
    found = latex(wide(), "A caption", "x")
    parts = re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", found, re.DOTALL)
    assert len(parts) > 1
    assert all(part.count("signsgd") == 1 for part in parts), "every part names its rows"
    assert found.count(r"\label{tab:x}") == 1
    assert f"(part 2 of {len(parts)})" in found
    assert found.count("9 seeds.") == len(parts)
    assert latex(long(), "", "y").count(r"\toprule") == 3
    for part in parts:
        line = next(line for line in part.splitlines() if line.startswith("signsgd"))
        assert len(re.sub(r"\\\w+|[{}$&]", "", line)) < LETTERS


def test_numbers_are_aligned_at_their_points_and_the_best_are_bold():
    found = latex(wide(), "", "x")
    assert r"\textbf{0} & \textbf{.3110}" in found
    assert r"\multicolumn{2}{c}{\tiny [0.2935, 0.3425]}" in found
    assert r"1 & .36$\cdot 10^{16}$" in found
    assert r"$-$\textbf{27} & \textbf{.08}" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T^-1/3", "$T^{-1/3}$"),
        ("loss / lam^2", r"loss / $\lambda^{2}$"),
        ("samples T_2 of it", "samples $T_{2}$ of it"),
        ("ssvr_fs", r"ssvr\_fs"),
        ("KL(q || q*)", r"KL(q \textbar{}\textbar{} q*)"),
        ("50 % & more", r"50 \% \& more"),
        ("a < b", r"a \textless{} b"),
        ("2^x^y", r"$2^{x}$\textasciicircum{}y"),
    ],
)
def test_text_is_set_letter_by_letter_and_powers_as_formulas(text, expected):
    assert escaped(text) == expected
