"""What plugins do to the process while they are loaded."""

from __future__ import annotations

import locale
import os
import random
import signal
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import test_cli
from test_cli import QUICK, Main

from bpframe import PluginError, hookimpl
from bpframe.plugin_host import supervision
from bpframe.plugin_host.host import load_registry
from bpframe.plugin_host.process_state import ProcessState
from bpframe.plugin_host.registry import ACTIVE, DISABLED, Plugin
from bpframe.testing.outcome import CheckFailedError
from bpframe.testing.purity import watched

main = test_cli.main

OFFER = """

class Plain(Regulariser):
    "Nothing."

    def cost(self, w):
        return 0.0 * w.sum()

    def gradient(self, w):
        return 0.0 * w


@hookimpl
def bpframe_regularisers():
    {inside}
    return {{"plain": Plain}}
"""

CHANGES = {
    "the settings of JAX": (
        "import jax; jax.config.update('jax_default_prng_impl', 'rbg')",
        "import jax; jax.config.update('jax_threefry_partitionable', False)",
        "import jax; jax.config.update('jax_numpy_dtype_promotion', 'standard')",
    ),
    "the global generator of NumPy": (
        "import numpy; numpy.random.seed(3)",
        "import numpy; numpy.random.rand()",
    ),
    "the global generator of random": ("import random; random.seed(3)",),
    "the settings of NumPy": (
        "import numpy; numpy.seterr(over='raise')",
        "import numpy; numpy.set_printoptions(precision=2)",
    ),
    "the current folder": ("import os; os.chdir('/')",),
    "the environment": (
        "import os; os.environ['XLA_FLAGS'] = '--xla_cpu_enable_fast_math=true'",
        "import os; os.environ['HOME'] = '/'",
        "import os; del os.environ['HOME']",
    ),
    "the warning filters": (
        "import warnings; warnings.simplefilter('ignore')",
        "import warnings; warnings.resetwarnings()",
    ),
    "the signal handlers": (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)",
    ),
    "the locale": ("import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8')",),
}
ALL = [(name, code) for name, codes in CHANGES.items() for code in codes]


class Guest:
    """A component for the kit to watch."""


def plugin_file(folder: Path, at_import: str = "", inside: str = "pass") -> str:
    path = folder / "guest.py"
    body = OFFER.format(inside=textwrap.indent(inside, "    ").strip())
    path.write_text(
        f"from bpframe import Regulariser, hookimpl\n\n{at_import}\n{body}", encoding="utf-8"
    )
    return str(path)


def loaded(path: str) -> Plugin:
    return load_registry(paths=[path]).plugins[-1]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process whose state comes back, whatever a test does; HOME is set in it, the locale C."""
    monkeypatch.setenv("HOME", os.getcwd())
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")
    yield
    locale.setlocale(locale.LC_ALL, before)


def seen() -> tuple[Any, ...]:
    """The state, read without the code under test."""
    return (
        dict(jax.config.values),
        np.random.get_state()[1].tolist(),  # pyright: ignore[reportIndexIssue, reportArgumentType]
        random.getstate(),
        np.geterr(),
        np.get_printoptions(),
        os.getcwd(),
        dict(os.environ),
        list(warnings.filters),
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        locale.setlocale(locale.LC_ALL),
    )


@pytest.mark.share(3)
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("place", ["import", "hook"])
@pytest.mark.parametrize(("name", "code"), ALL, ids=[code.split("; ")[1] for _, code in ALL])
def test_what_a_plugin_changes_disables_it_and_is_undone(
    tmp_path: Path, name: str, code: str, place: str
) -> None:
    path = plugin_file(tmp_path, *([code] if place == "import" else ["", code]))
    before = seen()
    for _ in range(2):  # the second time it has been imported before
        found = loaded(path)
        assert found.status == DISABLED
        reason = str(found.reason)
        assert name in reason
        if place == "import":
            assert reason.startswith(f"changes {name} (")
            assert reason.endswith(") when it is imported")
        else:
            assert reason.startswith(f"hook bpframe_regularisers changes {name} (")
        assert len(reason.splitlines()) == 1
        assert seen() == before


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("name", "code"), ALL, ids=[code.split("; ")[1] for _, code in ALL])
def test_the_kit_sees_what_a_component_changes(name: str, code: str) -> None:
    before = ProcessState()
    with pytest.raises(CheckFailedError, match=f"changes {name}"), watched(Guest, Guest()):
        exec(code)
    before.restore(*before.changes(ProcessState()))


@pytest.mark.usefixtures("home")
def test_what_decides_nothing_is_no_fault(tmp_path: Path) -> None:
    """As libraries do when they are imported."""
    harmless = (
        "import os, random, warnings, numpy",
        "os.environ['KMP_INIT_AT_FORK'] = 'FALSE'",
        "warnings.filterwarnings('ignore', message='numpy.ndarray size changed')",
        "warnings.filterwarnings('always', category=DeprecationWarning, module='mylib')",
        "random.Random(3).random(); numpy.random.default_rng(3).random()",
        "[random.random() for _ in range(400)]",
    )
    generator = random.getstate()
    with warnings.catch_warnings():
        found = loaded(plugin_file(tmp_path, "\n".join(harmless)))
    assert (found.status, found.reason) == (ACTIVE, None)
    assert random.getstate() == generator  # it is brought back all the same
    del os.environ["KMP_INIT_AT_FORK"]


def test_a_plugin_that_fails_after_a_change_leaves_none(tmp_path: Path) -> None:
    before = seen()
    code = "import random; random.seed(3); raise RuntimeError('no')"
    assert "RuntimeError: no" in str(loaded(plugin_file(tmp_path, code)).reason)
    assert seen() == before


def test_a_given_plugin_that_changes_something_is_an_error() -> None:
    class Given:
        @hookimpl
        def bpframe_regularisers(self) -> dict[str, Any]:
            random.seed(3)
            return {}

    before = random.getstate()
    with pytest.raises(PluginError, match="Given: hook bpframe_regularisers changes the global"):
        load_registry([Given()])
    assert random.getstate() == before


def test_nothing_is_imported_to_look_at_the_state() -> None:
    before = {name for name in ("jax", "numpy", "numpy.random") if name in sys.modules}
    hidden = {name: sys.modules.pop(name) for name in before}
    try:
        assert ProcessState().changes(ProcessState()) == {}
        assert not before & sys.modules.keys()
    finally:
        sys.modules.update(hidden)


@pytest.mark.parametrize(
    "error", ["SystemExit(0)", "KeyboardInterrupt", "GeneratorExit", "BaseException('odd')"]
)
@pytest.mark.parametrize("place", ["import", "hook"])
def test_no_error_of_a_plugin_is_a_traceback(
    tmp_path: Path, main: Main, error: str, place: str
) -> None:
    code = f"raise {error}"
    path = plugin_file(tmp_path, *([code] if place == "import" else ["", code]))
    ended = main("plugins", "bpframe:costs", f"plugins.path=[{path}]")
    assert ended.status == 0
    found = loaded(path)
    name = error.partition("(")[0]
    told = "cannot be imported: " if place == "import" else "hook bpframe_regularisers raised "
    assert str(found.reason).startswith(f"{told}{name}: ")
    ended = main("regulariser=plain", f"plugins.path=[{path}]")
    assert ended.status == 1
    assert len([line for line in ended.err.splitlines() if "Traceback" in line]) == 0
    assert f"guest ({path})" in ended.err


@pytest.mark.parametrize("error", ["SystemExit(0)", "GeneratorExit", "BaseException('odd')"])
@pytest.mark.parametrize("at", ["load", "cost"])
def test_no_component_ends_the_program_without_a_word(
    tmp_path: Path, main: Main, error: str, at: str
) -> None:
    """While data are loaded, and while a program is traced."""
    path = tmp_path / "guest.py"
    path.write_text(
        "from bpframe import Dataset, Regulariser, hookimpl\n"
        "class Own(Dataset):\n    'None.'\n    shape = (2,)\n    n_out = 1\n"
        f"    def load(self):\n        raise {error}\n"
        "class Ending(Regulariser):\n    'None.'\n"
        f"    def cost(self, params):\n        raise {error}\n"
        f"    def gradient(self, params):\n        raise {error}\n"
        "@hookimpl\ndef bpframe_datasets():\n    return {'own': Own}\n"
        "@hookimpl\ndef bpframe_regularisers():\n    return {'ending': Ending}\n"
    )
    chosen = ["data=own"] if at == "load" else ["regulariser=ending", *QUICK]
    ended = main(*chosen, f"plugins.path=[{path}]", "training.batch_size=2")
    assert ended.status == 1
    (line,) = ended.err.splitlines()
    assert error.partition("(")[0] in line
    assert "Traceback" not in line


@pytest.mark.parametrize("place", ["import", "hook"])
def test_a_ctrl_c_of_the_user_ends_the_loading(tmp_path: Path, place: str) -> None:
    code = "import signal; signal.raise_signal(signal.SIGINT)"
    path = plugin_file(tmp_path, *([code] if place == "import" else ["", code]))
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loaded(path)
    assert signal.getsignal(signal.SIGINT) is handler


def test_what_a_plugin_prints_does_not_mix_with_json(tmp_path: Path, main: Main) -> None:
    path = plugin_file(tmp_path, "print('at import')", "print('in a hook')")
    ended = main("plugins", "--json", f"plugins.path=[{path}]")
    assert ended.out.startswith("{")
    assert "at import" not in ended.out
    assert "in a hook" not in ended.out
    assert "at import\nin a hook\n" in ended.err


def test_a_plugin_that_takes_long_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "PATIENCE_S", 0.1)
    path = plugin_file(tmp_path, "import time; time.sleep(0.5)", "import time; time.sleep(0.5)")
    loaded(path)
    told = [line for line in capsys.readouterr().err.splitlines() if f"guest ({path})" in line]
    assert told == [
        f"bpframe: still {doing} plugin guest ({path}); ctrl-C ends it"
        for doing in ("importing", "calling hook bpframe_regularisers of")
    ]
