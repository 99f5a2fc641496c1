"""Tab completion: what is offered, that it is quick, and that real shells take it."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import test_cli
from test_cli import Main, environment

from bpframe.commands.completion import cache, catalogue, scripts
from bpframe.commands.completion.candidates import Catalogue, candidates
from bpframe.commands.completion.lines import Line
from bpframe.commands.subcommands import SUBCOMMANDS
from bpframe.configuration import schemas
from bpframe.plugin_host.registry import Registry

main = test_cli.main
QUICK_S = 0.3


@pytest.fixture(scope="module")
def known() -> Catalogue:
    return catalogue.made((), ())[0]


def offered(line: str, known: Catalogue) -> list[str]:
    return candidates(Line.of(f"bpframe {line}"), known)


# The line, and all ways in which it may go on.
EXACTLY = [
    ("opt", ["imiser.", "imiser="]),
    ("exp", ["lain "]),
    ("optimiser=ada", ["grad", "m", "mw"]),
    ("data=f", ["ashion_mnist"]),
    ("explain cost=q", ["uadratic"]),
    ("learning_rule=ko", ["len_pollack"]),
    ("-m optimiser=adam,mom", ["entum"]),
    ("optimiser=adam optimiser.b", ["eta1=", "eta2="]),
    ("optimiser.", ["eta="]),
    ("+experiment=deltas optimiser.m", ["ax_norm=", "ost=", "u="]),
    ("+exp", ["eriment="]),
    ("+experiment=nielsen_chapter_1", []),
    ("+experiment=best", ["_100"]),
    ("++training.ep", ["ochs="]),
    ("network.act", ["ivation="]),
    ("network.activation=soft", ["max", "plus"]),
    ("network.output_activation=soft", ["max", "plus"]),
    ("metrics=[accu", ["racy"]),
    ("metrics=[accuracy,confu", ["sion_matrix"]),
    ("metrics=[accuracy]", []),
    ("metrics=[{name:delta_norm,ov", ["er:"]),
    ("metrics=[{name:delta_norm,over:v", ["alidation"]),
    ("'metrics=[cost, {name: delta_norm, over: v", ["alidation"]),
    ("optimiser.inner=rms", ["prop"]),
    ("'optimiser.inner={name: lio", ["n"]),
    ("optimiser=max_norm 'optimiser.inner={name: adam, beta", ["1:", "2:"]),
    ("optimiser=max_norm optimiser.inner.beta", ["1=", "2="]),
    ("'network.layers=[{name: dropout, rate: 0.5}, {n: 10, activation: softm", ["ax"]),
    ("'network.layers=[{name: dr", ["opout"]),
    ("'network.modified_neurons=[{layer: 2, neuron: 3, activation: softm", ["ax"]),
    ("training.dtype=", ["bfloat16", "float32", "float64"]),
    ("training.shuffle=", ["false", "true"]),
    ("plots=t", ["rue"]),
    ("sweep.direction=", ["maximise", "minimise"]),
    ("learning_rule=direct_feedback_alignment learning_rule.sign=", ["false", "true"]),
    ("hydra/la", ["uncher="]),
    ("hydra.run.d", ["ir="]),
    ("hydra.launcher.backend=s", ["ubmitit"]),
    ("plugins mome", ["ntum "]),
    ("plugins bpframe:cos", ["ts "]),
    ("plugins --j", ["son "]),
    ("plugins plugins.", ["path=", "prefer="]),
    ("plugins opti", []),
    ("check kfa", ["c "]),
    ("check --", ["deep ", "help ", "seed "]),
    ("resume --t", ["rust "]),
    ("resume run training.", ["epochs="]),
    ("report --dir", ["ection "]),
    ("predict --inp", ["ut "]),
    ("evaluate run data=f", ["ashion_mnist"]),
    ("evaluate run da", ["ta.", "ta="]),
    ("rerun run optimiser=adag", ["rad"]),
    ("rerun --tr", ["ust "]),
    ("data=csv data.ta", ["rget=", "sk="]),
    ("report --direction ma", ["ximise"]),
    ("new-plugin x --kind lea", ["rning_rule"]),
    ("outliers --split t", ["est", "rain"]),
    ("help ch", ["eck "]),
    ("--mul", ["tirun "]),
    ("--cfg j", ["ob"]),
    ("explain --lat", ["ex "]),
    ("-cn con", ["fig"]),
    ("xyzzy", []),
    ("xyzzy=", []),
    ("optimiser=adam", ["w"]),
    ("optimiser=sgd", []),
]


@pytest.mark.parametrize(("line", "expected"), EXACTLY)
def test_what_is_offered(line: str, expected: list[str], known: Catalogue) -> None:
    word = Line.of(f"bpframe {line}").word
    assert offered(line, known) == [f"{word}{more}" for more in expected]


def test_nothing_typed_offers_subcommands_and_keys(known: Catalogue) -> None:
    found = offered("", known)
    assert {f"{name} " for name in SUBCOMMANDS} < set(found)
    assert {"optimiser=", "optimiser.", "training.", "seed=", "hydra."} < set(found)
    assert "experiment=" not in found  # there it would be refused
    assert {f"{name} " for name in SUBCOMMANDS}.isdisjoint(offered("seed=1 ", known))


def test_every_component_is_offered_where_it_stands(known: Catalogue, registry: Registry) -> None:
    for kind in schemas.GROUPS:
        expected = [f"{kind}={name}" for name in registry.names(kind)]
        assert offered(f"{kind}=", known) == expected
    for kind, key in (
        ("activation", "network.activation="),
        ("activation", "network.output_activation="),
        ("metric", "metrics=["),
        ("optimiser", "optimiser=max_norm optimiser.inner="),
        ("layer", "network.layers=[{name:"),
    ):
        word = key.split()[-1]
        found = offered(key, known)
        assert [f"{word}{name}" for name in registry.names(kind)] == [
            each for each in found if each[len(word) :] in registry.offers[kind]
        ]


def test_every_option_of_every_subcommand_is_offered(known: Catalogue) -> None:
    for name, subcommand in SUBCOMMANDS.items():
        options = {o for a in subcommand.argument_parser()._actions for o in a.option_strings}
        found = {each.strip() for each in offered(f"{name} -", known)}
        assert found == options - {"--experimental-rerun"}


def test_files_where_files_are_expected(
    known: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "mine.py").write_text("")
    (tmp_path / ".hidden").write_text("")
    monkeypatch.chdir(tmp_path)
    assert offered("resume ru", known) == ["runs/"]
    assert offered("resume runs/", known) == ["runs/first/"]
    assert offered("outliers ", known) == ["mine.py ", "runs/"]
    assert offered("check ./mi", known) == ["./mine.py "]
    assert offered("-cd r", known) == ["runs/"]
    assert offered("report --out r", known) == ["runs/"]
    assert offered("plugins.path=[m", known) == ["plugins.path=[mine.py"]
    assert offered("plugins.path=[mine.py,r", known) == ["plugins.path=[mine.py,runs/"]
    assert offered("data=mnist data.root=r", known) == ["data.root=runs/"]
    assert offered("initialiser=file initialiser.path=runs/f", known) == [
        "initialiser.path=runs/first/"
    ]
    assert offered("hydra.run.dir=r", known) == ["hydra.run.dir=runs/"]
    assert offered("resume .h", known) == [".hidden "]
    assert offered("resume nowhere/", known) == []


@pytest.mark.parametrize(
    ("text", "words", "word", "quote"),
    [
        ("bpframe ", (), "", ""),
        ("bpframe a=1 b", ("a=1",), "b", ""),
        ("X=1 .venv/bin/bpframe a=1 b", ("a=1",), "b", ""),
        ("bpframe 'a b' \"c d", ("a b",), "c d", '"'),
        ("bpframe a\\ b c\\", ("a b",), "c", ""),
        ("bpframe   a=''  'x", ("a=",), "x", "'"),
    ],
)
def test_a_line_is_split_as_the_shell_does(
    text: str, words: tuple[str, ...], word: str, quote: str
) -> None:
    line = Line.of(text)
    assert (line.words, line.word, line.quote) == (words, word, quote)


@pytest.mark.parametrize(
    ("text", "candidate", "replaced", "expected"),
    [
        ("bpframe opt", "optimiser=", None, "optimiser="),
        ("bpframe optimiser=ad", "optimiser=adam", "ad", "adam"),
        ("bpframe 'x={name: co", "x={name: cost", "x={name: co", "x={name: cost"),
        ("bpframe exp", "explain ", "exp", "explain "),
        ("bpframe resume 'a b", "a b c ", "a b", "a b c' "),
        ("bpframe resume a\\ b", "a b c/", "a\\ b", "a\\ b\\ c/"),
    ],
)  # fmt: skip
def test_bash_is_given_what_it_replaces(
    text: str, candidate: str, replaced: str | None, expected: str
) -> None:
    assert Line.of(text).replacing(candidate, "bash", replaced) == expected


@pytest.fixture
def asks(
    main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[test_cli.Callable[[str], list[str]]]:
    """What `bpframe -sc query=bash` prints for a line, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("COMP_LINE", f"{line} and more")
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        ended = main("-sc", "query=bash")
        assert (ended.status, ended.err) == (0, "")
        return ended.out.splitlines()

    return ask  # pyright: ignore[reportReturnType]


PLUGIN = """
import bpframe
class {name}(bpframe.ElementwiseActivation):
    def __call__(self, z): return z
    def prime(self, z): return z
@bpframe.hookimpl
def bpframe_activations(): return {{"{name}": {name}}}
"""


@pytest.mark.slow
def test_an_answer_is_kept_until_something_changes(
    asks: test_cli.Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: makes the catalogue eight times."""
    made: list[object] = []
    monkeypatch.setattr(
        catalogue, "made", lambda *given, real=catalogue.made: made.append(given) or real(*given)
    )
    plugins, configs = tmp_path / "mine", tmp_path / "configs"
    (configs / "optimiser").mkdir(parents=True)
    plugins.mkdir()
    monkeypatch.setenv("BPFRAME_PLUGINS_PATH", str(plugins))
    line = "bpframe network.activation=zz"
    assert asks(line) == []
    assert asks(line) == []
    assert len(made) == 1
    (plugins / "one.py").write_text(PLUGIN.format(name="zz_one"))
    assert asks(line) == ["network.activation=zz_one"]
    (plugins / "one.py").write_text(PLUGIN.format(name="zz_another"))
    assert asks(line) == asks(line) == ["network.activation=zz_another"]
    assert len(made) == 3
    (plugins / "one.py").unlink()
    assert asks(line) == []
    (configs / "optimiser" / "zz_slow.yaml").write_text("defaults: [momentum]\n")
    named = f"bpframe -cd {configs} optimiser=zz"
    assert asks(named) == ["optimiser=zz_slow"]
    (configs / "optimiser" / "zz_fast.yaml").write_text("defaults: [momentum]\n")
    assert asks(named) == asks(named) == ["optimiser=zz_fast", "optimiser=zz_slow"]
    (tmp_path / "two.py").write_text(PLUGIN.format(name="zz_two"))
    assert asks(f"bpframe plugins.path=[two.py] {line[8:]}") == ["network.activation=zz_two"]
    for file in (tmp_path / "cache").rglob("*.json"):
        file.write_text("{" * 9)
    assert asks(line) == []
    assert len(made) == 8


def test_it_answers_where_nothing_can_be_kept(
    asks: test_cli.Callable[[str], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert asks("bpframe cost=qu") == ["cost=quadratic"]


def test_old_catalogues_are_removed(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.json").write_text("{}")
        os.utime(tmp_path / f"{number}.json", (number, number))
    cache._clear(tmp_path)  # pyright: ignore[reportPrivateUsage]
    kept = {int(file.stem) for file in tmp_path.iterdir()}
    assert len(kept) == 19
    assert min(kept) == 11


@pytest.mark.parametrize("shell", scripts.SHELLS)
@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_scripts_are_printed(main: Main, tmp_path: Path, shell: str, action: str) -> None:
    ended = main("-sc", f"{action}={shell}")
    assert (ended.status, ended.err) == (0, "")
    assert "bpframe_complete" in ended.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-sc", "install=bsh"), "--shell-completion: unknown 'bsh'; did you mean 'bash'? known: "),
        (("-sc",), "--shell-completion goes with install=SHELL"),
        (("--shell-completion", "optimiser=adam"), "--shell-completion goes with install=SHELL"),
        (("-sc", "install=bash", "seed=1"), "--shell-completion goes with install=SHELL"),
    ],
)
def test_what_is_no_completion_is_refused(main: Main, words: tuple[str, ...], said: str) -> None:
    ended = main(*words)
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (1, "", 1)
    assert said in ended.err


HEAVY = ("jax", "numpy", "hydra", "omegaconf", "rich", "matplotlib", "pluggy")


@pytest.mark.slow
def test_a_tab_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    """Slow: processes of their own, the first of which makes the catalogue."""
    program = (
        "import sys; sys.argv[1:] = ['-sc', 'query=bash']; from bpframe.cli import main; main(); "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )

    def tab() -> tuple[float, list[str]]:
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment(tmp_path, COMP_LINE="bpframe network.activation=sil", **PATHS),
            capture_output=True,
            text=True,
            check=True,
        )
        return time.perf_counter() - begun, done.stdout.splitlines()

    assert tab()[1][0] == "network.activation=silu"
    again = [tab() for _ in range(7)]
    assert all(lines == ["network.activation=silu", "[]"] for _, lines in again)
    assert min(seconds for seconds, _ in again) < QUICK_S


PATHS = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
ON = {
    "bash": 'eval "$(bpframe -sc install=bash)"',
    "zsh": 'eval "$(bpframe -sc install=zsh)"',
    "fish": "bpframe -sc install=fish | source",
}
BEGUN = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "-i"],
}
CLEAR = "\x15"
"""The line is taken away again, in all of these shells."""

# What is typed before a tab, and how the line then goes on.
TYPED = [
    ("bpframe expl", "ain"),
    ("bpframe optimiser=adag", "rad"),
    ("bpframe network.act", "ivation="),
    ("bpframe network.activation=sil", "u"),
    ("bpframe 'metrics=[{name: delta_norm, over: val", "idation"),
    ("bpframe plugins bpframe:cos", "ts"),
    ("true && bpframe training.shuffle=tr", "ue"),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # other tests have used JAX
@pytest.mark.parametrize("shell", scripts.SHELLS)
def test_a_real_shell_completes(shell: str, tmp_path: Path) -> None:
    """Slow: an interactive shell, which runs the command at every tab."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    own = tmp_path / "bin"
    own.mkdir()
    command = own / "bpframe"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m bpframe "$@"\n')
    command.chmod(0o755)
    env = environment(tmp_path, TERM="xterm", PS1="$ ", COLUMNS="200", LINES="50", **PATHS)
    env["PATH"] = f"{own}:{env['PATH']}"
    subprocess.run(
        [command, "-sc", "query=bash"], env={**env, "COMP_LINE": "bpframe "}, cwd=tmp_path,
        check=True, capture_output=True,
    )  # fmt: skip
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execve(program, [shell, *BEGUN[shell]], env)
    try:
        assert _type(terminal, f"{ON[shell]}; echo rea''dy\r", r"ready\r") is not None
        for typed, more in TYPED:
            pattern = re.escape(more)
            assert _type(terminal, f"{typed}\t", pattern, after=typed) is not None, typed
            _type(terminal, CLEAR, None)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def _type(terminal: int, keys: str, pattern: str | None, after: str = "") -> str | None:
    """What the terminal shows after some keys, once it shows a pattern; None: it does not."""
    os.write(terminal, keys.encode())
    shown, end = "", time.monotonic() + (20 if pattern else 0.5)
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            shown += os.read(terminal, 65536).decode(errors="replace")
        plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]|\x07", "", shown)
        rest = plain.rpartition(after)[2] if after else plain
        if pattern and re.search(pattern, rest):
            return plain
    return None
