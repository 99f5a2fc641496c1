"""The command line: as a process where that matters, else `main` in this one."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from bpframe import cli
from bpframe.commands.subcommands import SUBCOMMANDS

RUN_FILES = {
    ".hydra",
    ".lock",
    "best.safetensors",
    "bpframe.log",
    "learning_curves.png",
    "metrics.jsonl",
    "params.safetensors",
    "summary.json",
}
ANSI = "\x1b["
LINE = re.compile(
    r"epoch \d/\d  cost \d\.\d{4}  accuracy \d+\.\d\d%  validation cost .* accuracy .*%"
)
QUICK = ("data=xor", "network.hidden=[3]", "training.batch_size=4")


def environment(home: Path, **more: str) -> dict[str, str]:
    """As little as a program can expect."""
    base = {"PATH": os.environ["PATH"], "HOME": str(home), "JAX_PLATFORMS": "cpu"}
    # The processes of one session share what they compile, which halves their time.
    cache = {
        "JAX_COMPILATION_CACHE_DIR": os.environ["BPFRAME_TEST_COMPILATION_CACHE"],
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return {**base, **cache, **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bpframe", *arguments]


def process(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`python -m bpframe` in `folder`, with its output in pipes."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # A busy machine may take a second for a plugin, of which it tells.
    done.stderr = re.sub("bpframe: still importing .*\n", "", done.stderr)
    return done


class Ended(NamedTuple):
    """What `main` ended with: its status, and what it printed."""

    status: int
    out: str
    err: str


Main = Callable[..., Ended]


@pytest.fixture
def main(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Main]:
    """`bpframe.cli.main` in an empty folder, with arguments."""

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["bpframe", *arguments])
        # Set and unset, so that it is unset again at the end: `main` sets it.
        monkeypatch.setenv(cli.FULL_ERROR, "")
        monkeypatch.delenv(cli.FULL_ERROR)
        status: object = 0
        try:
            cli.main()
        except SystemExit as error:
            status = error.code
        captured = capsys.readouterr()
        return Ended(int(str(status)), captured.out, captured.err)

    # It closes the handlers that there are: absl's then closes the stream that pytest captures.
    monkeypatch.setattr("hydra._internal.logging_config.configure_logging", lambda config: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("BPFRAME_DATA_DIR", raising=False)
    GlobalHydra.instance().clear()
    yield call
    GlobalHydra.instance().clear()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def only(folder: Path, pattern: str) -> Path:
    """The one path that matches."""
    (path,) = folder.glob(pattern)
    return path


def summary(folder: Path) -> dict[str, object]:
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def main_job(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("main_job")
    return process(folder, "training.epochs=3"), folder


@pytest.mark.slow
def test_main_job_prints_plain_lines_and_a_table(
    main_job: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    """Slow: runs whole commands."""
    done, _ = main_job
    assert (done.returncode, done.stderr) == (0, "")
    assert ANSI not in done.stdout
    lines = done.stdout.splitlines()
    assert [line[:9] for line in lines[:3]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all(LINE.fullmatch(line) for line in lines[:3])
    assert "64-30-10, 3 epochs" in done.stdout
    for row in ("training", "validation", "test"):
        assert re.search(rf"{row} .*\d\.\d{{4}} .*\d\d\.\d\d%", done.stdout)
    assert re.search(
        r"best validation accuracy \d\d\.\d\d%, best parameters after epoch \d; compiled in",
        lines[-2],
    )
    assert lines[-1].startswith("written to ")


def test_main_job_writes_its_folder(
    main_job: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, home = main_job
    folder = only(home, "outputs/*/*")
    assert str(folder) in done.stdout.splitlines()[-1]
    assert names(folder) == RUN_FILES
    assert names(folder / ".hydra") == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    config = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert config.optimiser.name == "sgd"
    assert config.training.epochs == 3
    log = (folder / "bpframe.log").read_text()
    assert "training 64-30-10 for 3 epochs" in log
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3
    found = summary(folder)
    assert (found["status"], found["epochs"], found["seed"]) == ("completed", 3, 0)
    assert isinstance(found["test_accuracy"], float)
    assert f"{found['test_accuracy']:.2%}" in done.stdout


def test_main_job_leaves_nothing_else(
    main_job: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    assert {name for name in names(main_job[1]) if not name.startswith(".")} == {"outputs"}


@pytest.mark.slow
def test_programs_are_compiled_once_for_all_processes(tmp_path: Path) -> None:
    """Slow: three processes compile for themselves."""

    def kept(**more: str) -> set[str]:
        env = environment(tmp_path, **more)
        if "JAX_ENABLE_COMPILATION_CACHE" not in more:  # only what a user finds unset
            env = {key: value for key, value in env.items() if not key.startswith("JAX_")}
        else:
            del env["JAX_COMPILATION_CACHE_DIR"]
        arguments = command(*QUICK, "training.epochs=1")
        subprocess.run(arguments, cwd=tmp_path, env=env, capture_output=True, check=True)
        return {path.name for path in (tmp_path / ".cache/bpframe/compiled").glob("jit_*")}

    assert kept(JAX_ENABLE_COMPILATION_CACHE="false") == set()
    first = kept()
    assert {"jit_turn", "jit_evaluate", "jit_draw_state"} <= {name.split("-")[0] for name in first}
    assert kept() == first


def test_version_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv[1:] = ['--version']; from bpframe.cli import main; main(); "
        "print([m for m in ('jax', 'numpy', 'hydra', 'optax', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    packages = ("bpframe", "hydra-core", "jax")
    versions = [f"{package} {version(package)}" for package in packages]
    assert done.stdout.splitlines() == [*versions, "[]"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), "delta^3 = a^3 - y  (BP1)"),
        (
            ("network.activation=linear",),
            "Layer 2 is linear: sigma' = 1, so the factor sigma'(z) drops out.",
        ),
        (
            ("network.modified_neurons=[{layer: 2, neuron: 3, activation: softplus}]",),
            "entry 3 of sigma_2'(z^2) is f'(z^2_3)",
        ),
        (("--latex",), r"\delta^{3} = a^3 - y \tag{BP1}"),
        (("cost=quadratic", "--latex"), r"\nabla_a C = a - y"),
    ],
)
def test_explain(main: Main, tmp_path: Path, overrides: tuple[str, ...], expected: str) -> None:
    ended = main("explain", *overrides)
    assert (ended.status, ended.err) == (0, "")
    assert expected in ended.out
    assert not list(tmp_path.iterdir())


def test_cfg_job_prints_the_config_with_the_defaults_of_the_classes(
    main: Main, tmp_path: Path
) -> None:
    ended = main("--cfg", "job", "optimiser=momentum", "optimiser.eta=3")
    assert ended.status == 0
    config = OmegaConf.create(ended.out)
    assert dict(config.optimiser) == {"name": "momentum", "eta": 3.0, "mu": 0.9}
    assert config.data == {"name": "digits", "train_size": None, "standardise": False}
    assert config.network.hidden == [30]
    assert "hydra" not in config
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_groups_names_and_config(main: Main, tmp_path: Path, flag: str) -> None:
    ended = main(flag)
    assert ended.status == 0
    for text in (
        "  bpframe -m optimiser.eta=",
        "-m, --multirun",
        "optimiser      adagrad, adam, adamw, clip_by_global_norm, diagonal_ggn, kfac,",
        "data           csv, digits, fashion_mnist, inline, mnist, ",
        "+experiment         best_100, ",
        "batch_size: 10",
    ):
        assert text in ended.out
    for name, subcommand in SUBCOMMANDS.items():
        assert f"  {name} {subcommand.arguments} " in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_a_help(main: Main, tmp_path: Path, name: str) -> None:
    helps = [main(name, "--help"), main(name, "-h"), main("help", name)]
    assert len({each.out for each in helps}) == 1
    assert (helps[0].status, helps[0].err) == (0, "")
    assert helps[0].out.startswith(f"usage: bpframe {name} ")
    assert max(map(len, helps[0].out.splitlines())) <= 80
    assert not list(tmp_path.iterdir())


def test_help_of_nothing_and_of_what_there_is_not(main: Main) -> None:
    assert main("help").out == main("--help").out
    ended = main("help", "explian")
    assert ended.status == 1
    assert "did you mean explain?" in ended.err


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A folder with configs of a user's own: a primary one, and one of a group."""
    folder = tmp_path / "mine"
    (folder / "optimiser").mkdir(parents=True)
    (folder / "study.yaml").write_text(
        "defaults:\n  - config\n  - override optimiser: slow\n  - _self_\n"
        "network: {hidden: [7]}\ntraining: {epochs: 2}\n"
    )
    (folder / "optimiser" / "slow.yaml").write_text("defaults: [momentum]\neta: 0.001\n")
    return folder


@pytest.mark.parametrize("where", ["mine", "absolute"])
def test_config_folder_and_name_of_the_user(main: Main, configs: Path, where: str) -> None:
    folder = str(configs) if where == "absolute" else where
    ended = main("--cfg", "job", "-cd", folder, "-cn", "study", "training.batch_size=3")
    assert (ended.status, ended.err) == (0, "")
    config = OmegaConf.create(ended.out)
    assert dict(config.optimiser) == {"name": "momentum", "eta": 0.001, "mu": 0.9}
    assert config.network.hidden == [7]
    assert (config.training.epochs, config.training.batch_size) == (2, 3)


def test_explain_takes_a_users_config(main: Main, configs: Path) -> None:
    ended = main("explain", "--config-dir", "mine", "--config-name", "study")
    assert (ended.status, ended.err) == (0, "")
    assert "Network 64-7-10" in ended.out
    assert "Momentum(eta=0.001, mu=0.9)" in ended.out


@pytest.mark.slow
def test_run_with_a_users_config(configs: Path) -> None:
    """Slow: thirty epochs in a process of its own."""
    home = configs.parent
    done = process(home, "-cd", "mine", "-cn", "study", "hydra.run.dir=here")
    assert (done.returncode, done.stderr) == (0, "")
    assert summary(home / "here")["sizes"] == [64, 7, 10]


@pytest.mark.slow
def test_multirun_one_after_another_gives_each_job_its_folder_and_tells_of_failures(
    tmp_path: Path,
) -> None:
    """Slow: each of its jobs is composed, compiled and drawn by itself."""
    done = process(
        *(tmp_path, "-m", *QUICK, "training.epochs=2", "cost=cross_entropy,hinge"),
        *("network.output_activation=sigmoid,linear", "hydra.sweep.dir=sweep"),
        *("hydra/launcher=basic", "plots=true"),
    )
    assert done.returncode == 1
    jobs = [tmp_path / "sweep" / str(number) for number in range(4)]
    failed = [job for job in jobs if not (job / "summary.json").exists()]
    assert len(failed) == 1
    for job in set(jobs) - set(failed):
        assert names(job) == RUN_FILES
        assert summary(job)["status"] == "completed"
    assert done.stderr == "bpframe: 1 of 4 jobs did not complete (1 failed)\n"
    assert "cost: cross_entropy is" in done.stdout


def test_multirun_with_an_unknown_name_is_one_line_a_job(main: Main) -> None:
    ended = main("-m", "optimiser=sdg,sgd")
    assert ended.status == 1
    first, second = ended.err.splitlines()
    assert first == "bpframe: 1 of 2 jobs cannot be run, and nothing was trained:"
    assert second.strip().startswith(
        "job 0 (optimiser=sdg): optimiser: unknown 'sdg'; did you mean 'sgd'?"
    )


@pytest.mark.slow
def test_multirun_of_two_jobs(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    done = process(tmp_path, "-m", *QUICK, "training.epochs=1", "optimiser.eta=0.1,0.5")
    assert (done.returncode, done.stderr) == (0, "")
    folders = sorted(tmp_path.glob("multirun/*/*/[0-9]"))
    assert [folder.name for folder in folders] == ["0", "1"]
    files = RUN_FILES - {".lock", "learning_curves.png"}
    assert all(names(folder) == files for folder in folders)
    overrides = [(folder / ".hydra" / "overrides.yaml").read_text() for folder in folders]
    assert "optimiser.eta=0.1" in overrides[0]
    assert "optimiser.eta=0.5" in overrides[1]


# What is refused in one line, with exit status 1 and no folder: arguments and part of the line.
REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("optimiser=sdg",), "optimiser: unknown 'sdg'; did you mean 'sgd'?"),
    (("network.activation=sigmod",), "did you mean 'sigmoid'?"),
    (("optimiser.eta=0",), "optimiser.eta: 0.0 is out of range; allowed: > 0"),
    (("training.batch_size=1198",), "training.batch_size: 1198 is out of range"),
    (("data.train_size=5000",), "data.train_size: 5000 is out of range; allowed: 1 to 1197"),
    (("optimiser",), "optimiser: cannot be read as key=value"),
    (("--nonsense",), "--nonsense"),
    (("--cfg", "nonsense"), "nonsense"),
    (("--cfg", "job", "optimiser=sdg"), "optimiser: unknown 'sdg'"),
    (("-cn", "nonsense"), "'nonsense'"),
    (("-cd", "nonsense"), "nonsense is not a folder"),
    (("explain", "optimiser=sdg"), "optimiser: unknown 'sdg'"),
    (("explain", "--cfg"), "--cfg"),
    (("data=mnist", "data.root=nowhere"), "train-images-idx3-ubyte.gz is missing"),
    (("-m", "optimiser.eta=range(1"), "cannot be read as key=value"),
    (("hydra.mode=MULTIRUN", "optimiser=sdg"), "optimiser: unknown 'sdg'"),
    (("trian",), "trian: cannot be read as key=value"),
]


@pytest.mark.parametrize(("arguments", "expected"), REFUSED, ids=lambda case: str(case)[:60])
def test_bad_input_is_one_line_and_leaves_nothing(
    main: Main, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    ended = main(*arguments)
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.startswith("bpframe: ")
    assert len(ended.err.splitlines()) == 1
    assert expected in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_traceback_only_for_those_who_ask(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    done = process(tmp_path, "optimiser=sdg", HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "optimiser: unknown 'sdg'" in done.stderr


@pytest.mark.parametrize("held", ["metrics.jsonl", "summary.json", ".hydra"])
def test_used_run_folder_is_refused_and_left_as_it_was(
    main: Main, tmp_path: Path, held: str
) -> None:
    used = tmp_path / "used"
    (used / ".hydra").mkdir(parents=True)
    (used / ".hydra" / "config.yaml").write_text("seed: 1\n")
    if held != ".hydra":
        (used / held).write_text("{}\n")
    before = contents(tmp_path)
    ended = main("hydra.run.dir=used", *QUICK)
    assert ended.status == 1
    assert re.fullmatch(r"bpframe: .*used: holds a run already \(.*\); choose .*\n", ended.err)
    assert contents(tmp_path) == before


def test_used_sweep_folder_is_refused(main: Main, tmp_path: Path) -> None:
    (tmp_path / "used" / "0").mkdir(parents=True)
    ended = main("-m", "hydra.sweep.dir=used", *QUICK, "seed=1,2")
    assert ended.status == 1
    assert "used: is not empty" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert names(tmp_path / "used") == {"0"}


def test_run_folder_that_is_a_file(main: Main, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    ended = main("hydra.run.dir=file", *QUICK)
    assert ended.status == 1
    assert "file: is not a folder" in ended.err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.slow
def test_divergence_ends_with_one_line_and_a_summary(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    done = process(
        *(tmp_path, *QUICK, "cost=quadratic", "network.activation=relu"),
        *("network.output_activation=linear", "optimiser.eta=1e30", "hydra.run.dir=run"),
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"bpframe: training diverged in epoch \d(, mini-batch \d)?: .* in layer \d;.*\n",
        done.stderr,
    )
    assert summary(tmp_path / "run")["status"] == "diverged"


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "interrupted"),
        pytest.param(signal.SIGTERM, 143, "interrupted by SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, "interrupted by SIGHUP", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_is_written(
    number: signal.Signals, status: int, said: str, tmp_path: Path
) -> None:
    metrics = tmp_path / "run" / "metrics.jsonl"
    running = subprocess.Popen(
        command("training.epochs=100000", "hydra.run.dir=run"),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        wait_for(lambda: metrics.exists() and metrics.stat().st_size > 500)
        running.send_signal(number)
        _, err = running.communicate(timeout=60)
    assert running.returncode == status
    assert err == f"bpframe: {said}\n"
    found = summary(tmp_path / "run")
    assert found["status"] == "interrupted"
    assert found["epochs"] == len(metrics.read_text().splitlines())
    checkpoint = f"checkpoint-{found['epochs']:08d}.npz"
    assert names(tmp_path / "run") == RUN_FILES | {checkpoint}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "status", "said"),
    [
        ("{bpframe} | head -1; exit ${{PIPESTATUS[0]}}", 0, ""),
        ("{bpframe} > /dev/full", 1, "bpframe: standard output: No space left on device; the "),
        ("MPLBACKEND=nonsense {bpframe} > /dev/null", 0, "bpframe: warning: {run}/learning_cur"),
    ],
)
def test_what_is_shown_decides_nothing_that_is_kept(
    shell: str, status: int, said: str, tmp_path: Path
) -> None:
    """Slow: each is a process of its own."""
    run = tmp_path / "run"
    words = shlex.join(command("training.epochs=3", f"hydra.run.dir={run}"))
    ended = subprocess.run(
        ["bash", "-c", shell.format(bpframe=words)],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == status
    assert ended.stderr.startswith(said.format(run=run))
    assert len(ended.stderr.splitlines()) == bool(said)
    assert summary(run)["status"] == "completed"
    assert summary(run)["epochs"] == 3
    drawn = set() if "MPLBACKEND" in shell else {"learning_curves.png"}
    assert names(run) == RUN_FILES - {"learning_curves.png"} | drawn


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-cd", "run/.hydra", "-cn", "config"), "{run}/.hydra: holds the configuration of a run"),
        (("--config-path", "run/.hydra"), "{run}/.hydra: holds the configuration of a run"),
        (("explain", "-cd", "run/.hydra"), "{run}/.hydra: holds the configuration of a run"),
        (("--cfg", "job", "-cp", "kept"), "{kept}: holds the configuration of a run"),
        (("-cp", "run", "-cn", ".hydra/config"), "--config-name: '.hydra/config' is the config"),
    ],
)
def test_the_config_of_a_run_is_no_primary_config(
    main: Main, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    for folder in (tmp_path / "run" / ".hydra", tmp_path / "kept"):
        folder.mkdir(parents=True)
        for name in ("config", "hydra", "overrides"):
            (folder / f"{name}.yaml").write_text("seed: 1\n")
    ended = main(*arguments)
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (1, "", 1)
    expected = said.format(run=tmp_path / "run", kept=tmp_path / "kept")
    assert ended.err.startswith(f"bpframe: {expected}")
    assert "bpframe rerun" in ended.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs=1.5", "training.epochs: Value '1.5' of type 'float'"),
        ("seed=a", "seed: 'a' is not an integer"),
        ("seed=true", "seed: True is not an integer"),
        ("plots=3", "plots: 3 is not true, false or null"),
        ("show=3", "show: 3 is not true or false"),
        ("metrics=1", "metrics: 1 is not a list"),
        ("network.hidden=x", "network.hidden: "),
        ("+network.dropout=1", "network.dropout: unknown 'dropout'"),
        ("checkpoint.keep=0", "checkpoint.keep: 0 is out of range"),
    ],
)
def test_a_config_without_a_schema_is_checked_as_well(
    main: Main, tmp_path: Path, override: str, message: str
) -> None:
    tiny = ("data=xor", "training.batch_size=4", "training.epochs=1", "network.hidden=[2]")
    cfg = main("--cfg", "job", *tiny).out
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text(cfg)
    ended = main("--config-path", "mine", override, "hydra.run.dir=run")
    assert (ended.status, len(ended.err.splitlines())) == (1, 1), ended
    assert ended.err.startswith(f"bpframe: {message}")
    assert not (tmp_path / "run").exists()


def read_all(descriptor: int, running: subprocess.Popen[bytes]) -> str:
    """What a process writes to a terminal until it ends."""
    chunks: list[bytes] = []
    end = time.monotonic() + 120
    while time.monotonic() < end:
        ready, _, _ = select.select([descriptor], [], [], 0.2)
        try:
            chunk = os.read(descriptor, 65536) if ready else b""
        except OSError:  # Linux says so when the other side is closed
            break
        chunks.append(chunk)
        if not chunk and running.poll() is not None:
            break
    return b"".join(chunks).decode()


@pytest.mark.slow
def test_progress_is_live_on_a_terminal(tmp_path: Path) -> None:
    """Slow: a process of its own, read to its end."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        command("training.epochs=20", "hydra.run.dir=run"),
        cwd=tmp_path,
        env=environment(tmp_path, TERM="xterm-256color", COLUMNS="100", LINES="40"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    with running:
        output = read_all(ours, running)
    os.close(ours)
    assert running.returncode == 0, output
    assert ANSI + "2K" in output  # a line is drawn again
    assert "━" in output
    assert "20/20" in output
    assert re.search(r"cost \d\.\d{4}", output)
    assert "64-30-10, 20 epochs" in output
    assert not re.search(r"epoch +\d+/20  cost", output)  # the plain lines


@pytest.mark.slow
def test_an_unknown_objective_is_told_before_anything_is_trained(
    main: Main, tmp_path: Path
) -> None:
    """With a launcher that runs one job after another too. Slow: runs whole commands."""
    chosen = ("-m", "hydra/launcher=basic", *QUICK, "seed=0,1", "hydra.sweep.dir=sweep")
    done = main(*chosen, "sweep.objective=nothing")
    assert done.status == 1
    assert "sweep.objective" in done.out
    assert not list(tmp_path.rglob("metrics.jsonl"))


def test_a_log_that_is_a_link_ends_a_run_in_one_line(tmp_path: Path, main: Main) -> None:
    target, run = tmp_path / "precious", tmp_path / "run"
    run.mkdir()
    target.write_text("precious")
    (run / "bpframe.log").symlink_to(target)
    ended = main(*QUICK, "training.epochs=1", f"hydra.run.dir={run}")
    assert ended.status == 1
    assert re.fullmatch(rf"bpframe: {run}/bpframe.log: is a symbolic link, .*\n", ended.err)
    assert target.read_text() == "precious"
    assert [path.name for path in run.iterdir()] == ["bpframe.log"]
