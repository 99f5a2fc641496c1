"""No text of someone else's is a command to the terminal."""

from __future__ import annotations

import io
import re
import unicodedata
from pathlib import Path

import pytest
import test_cli
from rich.table import Table
from test_cli import QUICK, Main

from bpframe.errors import BpframeError, described, printable
from bpframe.runs.screen import Screen
from bpframe.sweeps.report.files import _name  # pyright: ignore[reportPrivateUsage]

main = test_cli.main

HOSTILE = "a\x1b]0;title\x07b\x1b[31mred\x9b2Jc\x7fd\u202eesrever\u2066\udcffe\r"


def is_harmless(text: str) -> bool:
    """By the categories of Unicode, and not by a list: nothing but ends of lines and tabs."""
    for char in text:
        kind, direction = unicodedata.category(char), unicodedata.bidirectional(char)
        if kind in ("Cc", "Cs", "Zl", "Zp") and char not in "\n\t":
            return False
        if direction in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"):
            return False
    return True


@pytest.mark.slow
def test_every_character_is_harmless_and_ordinary_ones_stay() -> None:
    """Slow: runs whole commands."""
    everything = "".join(map(chr, range(0x110000)))
    assert is_harmless(printable(everything))
    changed = [char for char in everything if printable(char) != char]
    marks = "\u061c\u200e\u200f"  # of direction, though no override
    assert all(not is_harmless(char) or char in marks for char in changed)
    assert printable(printable(HOSTILE)) == printable(HOSTILE)
    assert printable("é 漢字 🎉 ε\t\n") == "é 漢字 🎉 ε\t\n"


def test_an_error_is_harmless() -> None:
    assert is_harmless(str(BpframeError(HOSTILE)))
    assert is_harmless(str(BpframeError(described(ValueError(HOSTILE)))))


def test_a_screen_shows_what_it_does_not_obey() -> None:
    file = io.StringIO()
    screen = Screen(file=file, width=200, force_terminal=True)
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    screen.print(HOSTILE, markup=False)
    screen.print(table, style="bold")
    shown = file.getvalue()
    assert "\x1b[1m" in shown  # its own
    without_styles = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert is_harmless(without_styles)
    assert without_styles.count(r"\x1b]0;title") == 4


def test_hostile_files_and_plugins_are_told_of_harmlessly(tmp_path: Path, main: Main) -> None:
    folder = tmp_path / "plug\x1b[31min\u202e"
    folder.mkdir()
    (folder / "mi\x1b[2Jne.py").write_text("raise ValueError('\\x1b]0;title\\x07 \\u202e')")
    path = f"plugins.path=['{folder}']"
    for arguments in (
        ["plugins", path],
        ["explain", path],
        [*QUICK, path, "training.epochs=1", "optimiser=mine", "hydra.run.dir=r\x1b[31m"],
        ["data=idx", "data.train_images=no\x1b[2J"],
        ["check", "no\x1b[2J.py"],
    ):
        ended = main(*arguments)
        assert ended.out + ended.err
        assert is_harmless(ended.out)
        assert is_harmless(ended.err), ended.err


def test_the_name_of_a_report_is_harmless() -> None:
    assert is_harmless(_name(Path(f"/sweeps/{HOSTILE}")))


@pytest.mark.parametrize("name", ["[red]run[/red]", "r\x1b[31m"])
def test_the_run_folder_is_shown_as_it_is_called(tmp_path: Path, main: Main, name: str) -> None:
    ended = main(*QUICK, "training.epochs=1", "plots=false", f"hydra.run.dir='{tmp_path / name}'")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == printable(f"written to {tmp_path / name}")
