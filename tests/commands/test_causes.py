"""What an error names: the place that is wrong, in one line, before anything is trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from forked_cli import Start, finish, start
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from test_cli import Main, main, names

from bpframe.configuration import composition
from bpframe.configuration.schemas import GROUPS

__all__ = ["main", "start"]

TINY = ("data=xor", "network.hidden=[2]", "training.batch_size=4", "training.epochs=1")
RUN = (*TINY, "plots=false", "hydra.run.dir=run")
SWEEP = ("-m", *TINY, "seed=1,2", "hydra.sweep.dir=sweep")

LINES: list[tuple[tuple[str, ...], str]] = [
    (("network=${seed}",), "network: 0 is not a mapping with hidden, activation"),
    (("network=3",), "network: 3 is not a mapping with hidden, activation"),
    (("network=null",), "network: null is not allowed"),
    (("training=[]",), "training: a list stands where a mapping is needed"),
    (("training={}",), "training={}: an empty mapping sets nothing"),
    (("metrics=a",), "metrics: 'a' is not a list"),
    (("~checkpoint.keep",), "checkpoint.keep: cannot be taken away"),
    (("hydra/callbacks=foo",), "hydra/callbacks: unknown 'hydra/callbacks'; did you mean 'hydra/"),
    (("hydra/launcher=[a]",), "hydra/launcher=[a]: is no name; choose one with hydra/launcher="),
    (("-m", "seed=range(5,1)"), "seed=range(5,1): has no value"),
    (("-m", "optimiser=glob(zzz*)"), "optimiser=glob(zzz*): has no value"),
    (("optimiser.eta==1",), "optimiser.eta==1: cannot be read as key=value: unexpected '='"),
    (("training.dtype=é",), "cannot be read as key=value: unexpected 'é'"),
    (("seed=[1",), "seed=[1: cannot be read as key=value: unexpected '[1'"),
    (("hydra.job.env_copy=[NOTHING]",), "hydra.job.env_copy: 'NOTHING' is not in the environment"),
    (("hydra.sweeper.params.seed=1",), "add it with +hydra.sweeper.params.seed=VALUE"),
    ((*RUN, "hydra.run.dir=${nothing}"), "hydra.run.dir: Interpolation key 'nothing' not found"),
    ((*SWEEP, "hydra.sweep.dir=${nothing}"), "hydra.sweep.dir: Interpolation key 'nothing'"),
    ((*RUN, "hydra.output_subdir=../x"), "hydra.output_subdir: '../x' is not strictly inside"),
    ((*RUN, "hydra.verbose=[3]"), "hydra.verbose: [3] is not true, false or names of loggers"),
    ((*RUN, "+hydra.callbacks.x=3"), "hydra.callbacks: "),
    ((*SWEEP, "+hydra.callbacks.x={_target_:a.b}"), "hydra.callbacks: Error locating target 'a.b'"),
    ((*SWEEP, "hydra.sweeper._target_=a.B"), "hydra.sweeper and hydra.launcher: Invalid plugin"),
    (("--experimental-rerun", "x"), "--experimental-rerun: is not for runs of bpframe"),
    (("--config-path", "nothing"), "nothing is not a folder"),
    (("--config-name", ""), "--config-name: '' is no name"),
    (("--cfg", "job", "--info", "all"), "command line: Only one of"),
    (("explain", "seed=${oc.env:X}"), "seed: \"Environment variable 'X' not found\""),
    ((*RUN, "hydra.verbose=${oc.env:X}"), "hydra.verbose: \"Environment variable 'X' not found\""),
    (("network.hidden=[{n:4}]",), "network.hidden[0]: "),
    (("regulariser=${nothing}",), "interpolation '${nothing}'"),
    (("+experiment=null",), "+experiment=null: is no name; choose one with experiment=NAME"),
    (("--cfg", "job", f"optimiser={'x' * 300}"), "optimiser"),
    (("--cfg", "job", f"+experiment={'x' * 9000}"), "xx.yaml: File name too long"),
    (("--cfg", "job", "--package", "nothing"), "--package: 'nothing' is not in the config"),
    (("--cfg", "job", "hydra/callbacks=foo"), "hydra/callbacks: unknown 'hydra/callbacks'"),
    (("explain", "--cfg", "job"), "--cfg does not go with explain"),
    (("explain", "-m", "seed=1,2"), "--multirun does not go with explain"),
    *(
        ((f"{group}={value}",), f"{group}={value}: is no name; choose one with {group}=NAME")
        for group in GROUPS
        for value in ("[[1]]", "[a,b]", "{}", "3", "null")
    ),
]


def files() -> set[Path]:
    """What there is but for the note of which code the user has run."""
    return {path for path in Path().rglob("*") if path.parts[0] != ".local"}


def refused(main: Main, *arguments: str) -> str:
    """The one line of a command that leaves nothing behind."""
    before = files()
    ended = main(*arguments)
    assert ended.status == 1, ended
    assert len(ended.err.splitlines()) == 1, ended.err
    assert files() == before
    return ended.err


@pytest.mark.share(4)
@pytest.mark.parametrize(("arguments", "part"), LINES, ids=lambda case: str(case)[:60])
def test_the_cause_is_named_in_one_line(main: Main, arguments: tuple[str, ...], part: str) -> None:
    assert part in refused(main, *arguments)


HEAD = "defaults: [config, _self_]\n"
FILES = [
    (f"{HEAD}seed: 1\n x: 2\n", "own.yaml, line 3, column 3: mapping values are not allowed here"),
    (f"{HEAD}seed: [1\n", "own.yaml, line 3, column 1: expected ',' or ']'"),
    (f"{HEAD}\tseed: 1\n", "own.yaml, line 2, column 1: found character '\\t'"),
    (f"{HEAD}seed: 1\nseed: 2\n", "own.yaml, line 3, column 1: found duplicate key seed"),
    (f'{HEAD}seed: "1\n', "own.yaml, line 3, column 1: found unexpected end of stream"),
    (f"{HEAD}seed: !!python/x 1\n", "own.yaml, line 2, column 7: could not determine"),
    (f"{HEAD}seed: 1\x07\n", "own.yaml, line 2, column 8: the character U+0007 is not allowed"),
    (f"{HEAD}seed: \udcff\n", "own.yaml, line 2: is not UTF-8"),
    (f"{HEAD}seed: a\n", "config 'own': seed: Value 'a' of type 'str'"),
    (f"{HEAD}optimiser: 3\n", "config 'own': optimiser: 3 is not a mapping; a file chooses a comp"),
    (f"{HEAD}nothing: 3\n", "config 'own': nothing: unknown 'nothing'; known: aggregation,"),
    ("defaults: [own, config, _self_]\n", "config 'own' includes itself: own > own; take it out"),
    ("defaults: [other, _self_]\n", "config 'own' includes itself: own > other > own"),
    ("defaults:\n", "config 'own': its defaults list cannot be read: "),
    ("defaults: 3\n", "config 'own': its defaults list cannot be read: "),
    ("defaults: [config, [a]]\n", "an entry is neither a name nor {group: name}"),
    ("", "checkpoint, cost, data"),
]


@pytest.mark.share(4)
@pytest.mark.parametrize("command", ["explain", "run"])
@pytest.mark.parametrize(("content", "part"), FILES, ids=lambda case: repr(case)[:50])
def test_what_is_wrong_in_a_file_is_named_with_its_place(
    main: Main, content: str, part: str, command: str
) -> None:
    Path("mine").mkdir()
    Path("mine/own.yaml").write_bytes(content.encode("utf-8", "surrogateescape"))
    Path("mine/other.yaml").write_text("defaults: [own, _self_]\n")
    first = ("explain",) if command == "explain" else ()
    assert part in refused(main, *first, "-cd", "mine", "-cn", "own")


def test_a_field_of_components_that_are_swept_is_set_where_it_is_known(main: Main) -> None:
    ended = main("-m", "optimiser=adam,sgd", "optimiser.beta1=0.8", *TINY)
    assert ended.status == 1
    first, job = ended.err.splitlines()
    assert first == "bpframe: 1 of 2 jobs cannot be run, and nothing was trained:"
    assert job.startswith("  job 1 (optimiser=sgd optimiser.beta1=0.8")
    assert "optimiser.beta1: is a setting of " in job


def test_launchers_that_run_one_job_after_another_name_the_job(main: Main) -> None:
    ended = main("-m", "hydra/launcher=basic", "optimiser=adam,sgd", "optimiser.beta1=0.8", *TINY)
    assert ended.status == 1
    assert "job 1 (optimiser=sgd optimiser.beta1=0.8" in ended.err
    assert not files()


JOB_LOGGING = [
    ("hydra.job.name=a/b", "a hydra.job.name without /"),
    (f"hydra.job.name={'x' * 300}", "handlers.file.filename: "),
    ("hydra.job_logging.root.handlers=[nope]", "Unable to add handler 'nope'"),
    ("hydra.job_logging.root=3", "hydra.job_logging.root: 3 is not a mapping"),
    ("hydra.job_logging.root.level=FOO", "Unknown level: 'FOO'"),
    ("+hydra.job_logging.handlers.x=3", "hydra.job_logging.handlers.x: 3 is not a mapping"),
]


@pytest.mark.slow
@pytest.mark.share(3)
@pytest.mark.parametrize("command", [RUN, SWEEP, (*SWEEP, "hydra/launcher=basic")])
@pytest.mark.parametrize(("override", "part"), JOB_LOGGING, ids=lambda case: str(case)[:40])
def test_a_log_that_cannot_be_is_refused_before_training(
    start: Start, tmp_path: Path, command: tuple[str, ...], override: str, part: str
) -> None:
    """Slow: each is a process of its own, whose logging is its own."""
    status, error = finish(start, tmp_path, *command, override)
    assert status == 1
    assert error.startswith("bpframe: hydra.job_logging")
    assert part in error
    assert len(error.splitlines()) == 1
    assert names(tmp_path) == {"stderr"}


def _variants() -> list[str]:
    """Every choice of Hydra's own groups."""
    found = []
    with composition.initialised():
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        loader = hydra.config_loader
        for group in loader.get_group_options("hydra", ObjectType.GROUP):
            names = loader.get_group_options(f"hydra/{group}")
            found += [f"hydra/{group}={name}" for name in names]
    return found


@pytest.mark.slow
@pytest.mark.share(3)
@pytest.mark.parametrize("variant", _variants())
def test_every_variant_that_errors_offer_works(start: Start, tmp_path: Path, variant: str) -> None:
    """Slow: trains, in processes of their own."""
    assert finish(start, tmp_path, *RUN, variant) == (0, "")
    assert (tmp_path / "run" / "summary.json").exists()
    if not re.match("hydra/(sweeper|launcher|job_logging|hydra_logging)", variant):
        return  # what it decides is the same in a sweep
    swept = ("optimiser.eta=0.1,0.5",)
    if variant == "hydra/sweeper=search":
        swept = ("optimiser.eta=interval(0.1,0.5)", "hydra.sweeper.n_trials=2")
    chosen = ("-m", *TINY, "hydra.sweep.dir=sweep", *swept)
    assert finish(start, tmp_path, *chosen, variant) == (0, "")
    assert len([*tmp_path.glob("sweep/*/summary.json")]) == 2
    if "launcher=basic" not in variant:
        assert finish(start, tmp_path, "resume", "sweep") == (0, "")
