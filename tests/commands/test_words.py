"""Words that the shell has split or that lack an =, and options that are none."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import test_cli
from test_cli import Main

from bpframe.commands import words
from bpframe.errors import ConfigError

main = test_cli.main
SUBCOMMANDS = ("explain", "plugins", "resume", "report")


def places(name: str) -> list[str]:
    return {"epochs": ["training.epochs"], "l2": ["regulariser=l2"], "cost": ["cost"]}.get(name, [])


def refused(given: str) -> str:
    with pytest.raises(ConfigError) as caught:
        words.check(shlex.split(given), SUBCOMMANDS, places)
    return str(caught.value)


# What is typed, and what the message ends with.
SPLIT = [
    (
        "network.hidden=[30, 20]",
        "write no spaces: network.hidden=[30,20], or put it in quotes: 'network.hidden=[30, 20]'",
    ),
    (
        "seed=1 lr=0.1, 0.5, -1 cost=hinge",
        ("write no spaces: lr=0.1,0.5,-1, or put it in quotes: 'lr=0.1, 0.5, -1'"),
    ),
    (
        "network.activation={name: sine, omega: 2}",
        "put it in quotes: 'network.activation={name: sine, omega: 2}'",
    ),
    ("x=choice(1, 2)", "write no spaces: x=choice(1,2), or put it in quotes: 'x=choice(1, 2)'"),
    ("training.epochs = 10", "write no spaces: training.epochs=10"),
    ("training.epochs =10", "write no spaces: training.epochs=10"),
    ("training.epochs= 10", "write no spaces: training.epochs=10"),
    (
        "network.activation=name:sine network.activation=omega:2",  # what bash makes of braces
        "put it in quotes: 'network.activation={name:sine, omega:2}'",
    ),
    ("explian", "and is no subcommand; did you mean explain?"),
    ("explian cost=hinge", "did you mean explain?"),
    ("train seed=1", "bpframe trains without one: leave it out"),
    ("rep x", "did you mean report?"),
    ("training.epochs 10", "is it missing? write training.epochs=10"),
    ("epochs 10", "is it missing? write training.epochs=10"),
    ("+epochs", "and is no subcommand; known: explain, plugins, resume, report"),
    ("cost", "is it missing? write cost=VALUE"),
    ("seed=1 cost hinge", "is it missing? write cost=hinge"),
    ("l2", "is it missing? write regulariser=VALUE"),
    ("0.5", "and is no subcommand; known: explain, plugins, resume, report"),
    ("seed=1 trian", "and is no subcommand; known: explain, plugins, resume, report"),
]


@pytest.mark.parametrize(("given", "end"), SPLIT)
def test_what_was_meant_is_said(given: str, end: str) -> None:
    assert refused(given).endswith(end)


@pytest.mark.parametrize("given", [case for case, end in SPLIT if "write no spaces" in end])
def test_what_is_advised_is_accepted(given: str) -> None:
    _, _, advised = refused(given).partition("write no spaces: ")
    compact, _, quoted = advised.partition(", or put it in quotes: ")
    words.check([compact], SUBCOMMANDS, places)
    words.check(shlex.split(quoted), SUBCOMMANDS, places)


@pytest.mark.parametrize(
    "given",
    [
        ("network.hidden=[30, 20]",),
        ("~metrics", "+x=1", "++y=2"),
        ("a=b=c", "data.path='x y'"),
        ("seed=",),
        ("optimiser.eta=0.1,", "seed=3"),
        ("network.hidden=[30", "seed=3"),  # what is not closed is told by the parser
        ("plugins.path=[a:b]", "plugins.path=[c:d]"),
        ("hydra.run.dir=s3://a", "hydra.run.dir=s3://b"),
    ],
)
def test_other_words_pass(given: tuple[str, ...]) -> None:
    words.check(given, SUBCOMMANDS, places)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--epochs", "10"), "without dashes, as training.epochs=10;"),
        (("--epochs", "seed=1"), "without dashes, as training.epochs=VALUE;"),
        (("--lr=0.1",), "without dashes, as optimiser.eta=0.1;"),
        (("--training.epochs=3",), "without dashes, as training.epochs=3;"),
        (("--batch-size", "4"), "without dashes, as training.batch_size=4;"),
        (("--hlep",), "did you mean --help?"),
        (("explain", "--latx"), "did you mean --latex?"),
        (("explain", "--epochs=3"), "as training.epochs=3;"),
        (("resume", "--trsut", "x"), "unrecognized arguments: --trsut; did you mean '--trust'?"),
        (("plugins", "--jsn"), "did you mean '--json'?"),
        (("explain", "epochs", "10"), "write training.epochs=10"),
        (("explian",), "did you mean explain?"),
        (("predcit", "runs", "--input", "x"), "predcit: did you mean bpframe predict?"),
        (("own.csv",), "of data in a file write data=csv data.path=own.csv"),
        (("explain", "/tmp"), "of a run write bpframe show /tmp, or bpframe rerun /tmp"),
        (("resume",), "the following arguments are required: RUN_OR_SWEEP"),
        (("configs/mine.yaml",), "of a config in a file write -cd configs -cn mine"),
        (("-cn", "mine"), "is not in the config path; -cd FOLDER"),
        (("network.hidden=[30,", "20]"), "write no spaces: network.hidden=[30,20]"),
        (("-m", "optimiser.eta=0.1,", "0.5"), "write no spaces: optimiser.eta=0.1,0.5"),
        (("optimiser", "adam"), "write optimiser=adam"),
    ],
)
def test_the_command_says_so_in_one_line(
    main: Main, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = main(*arguments)
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (1, "", 1)
    assert said in ended.err
    assert not list(tmp_path.iterdir())


def test_a_config_in_the_working_directory_is_told_how_it_is_named(
    main: Main, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [config]\n")
    ended = main("-cn", "mine")
    assert (ended.status, len(ended.err.splitlines())) == (1, 1)
    assert "write -cd . -cn mine, in Python config_dir='.'" in ended.err
