"""Commands and config files that are nearly right: each ends well, or says in one line why not.

Sound command lines and YAML files are changed at random places, from a seed, and each is run in a
fork of this process, in a folder of its own. By hand:

    python tests/commands/mutations.py --count 2000 --seed 0
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

LIMIT_S = 30
"""How long a command may compute; it may take four times as long on a machine with other work."""
LONGEST = 2500
"""The most characters of an error."""

TINY = (
    "data=xor network.hidden=[2] training.batch_size=4 training.epochs=1 plots=false "
    "hydra.run.dir=run"
)
SWEPT = TINY.replace("hydra.run.dir=run", "hydra.sweep.dir=sweep")
DONE, DONE_SWEEP = "done", "done_sweep"
PREPARED = (
    f"{TINY.replace('=run', f'={DONE}')} checkpoint.epochs=1 training.epochs=2",
    f"-m {SWEPT.replace('=sweep', f'={DONE_SWEEP}')} optimiser.eta=1,2",
)
"""What resume and report work on."""

SOUND = (
    "--cfg job",
    "--cfg job data=xor network.hidden=[3,2] network.activation=tanh",
    "--cfg job data=digits data.train_size=100 training.batch_size=null",
    "--cfg job data=mnist data.root=there data.train_size=50",
    "--cfg job optimiser=adam optimiser.beta1=0.8 optimiser.eta=0.01 optimiser.epsilon=1e-7",
    "--cfg job optimiser=momentum optimiser.mu=0.5 regulariser=l2 regulariser.strength=5.0",
    "--cfg job schedule=step schedule.every=3 stopping=no_improvement stopping.patience=5",
    "--cfg job initialiser=he_normal cost=quadratic learning_rule=backprop seed=7",
    "--cfg job checkpoint.seconds=null checkpoint.epochs=2 checkpoint.keep=1 plots=true",
    "--cfg job metrics=[accuracy,{name:delta_norm,over:validation}] sweep.direction=minimise",
    "--cfg job -cd mine -cn study training.epochs=3",
    "--cfg job -cd mine -cn study optimiser=slow",
    "--cfg job +experiment=learning_rates seed=3",
    "--cfg job -p network network.hidden=[4]",
    "--cfg hydra hydra.run.dir=elsewhere hydra.job.name=mine",
    "explain",
    "explain data=xor network.hidden=[3,2] network.activation=tanh",
    "explain --latex cost=quadratic optimiser=adam optimiser.beta2=0.99",
    "explain regulariser=l1 regulariser.strength=0.1 schedule=step schedule.every=3",
    "explain network.activation={name:leaky_relu,slope:0.1} network.output_activation=softmax",
    "explain network.layers=[{n:4,activation:relu},{n:10,activation:sigmoid}]",
    "explain network.modified_neurons=[{layer:2,neuron:3,activation:softplus}]",
    "explain initialiser=constant initialiser.w=0.5 training.dtype=float64",
    "explain -cd mine -cn study network.hidden=[5]",
    f"{TINY}",
    f"{TINY} optimiser=momentum optimiser.mu=0.5 seed=3",
    f"{TINY} hydra.job.name=mine hydra.output_subdir=conf hydra/job_logging=none",
    f"{TINY} checkpoint.epochs=1 checkpoint.keep=2 training.evaluate_train=true",
    f"{TINY} stopping=no_improvement stopping.patience=2 training.evaluate_start=true",
    f"{TINY} hydra/job_logging=stdout hydra.verbose=false seed=1",
    f"-m {SWEPT} optimiser.eta=0.1,0.5",
    f"-m {SWEPT} seed=range(1,3) hydra.sweep.subdir=job${{hydra.job.num}}",
    f"-m {SWEPT} seed=zip(1,2) optimiser.eta=zip(0.1,0.5)",
    f"-m {SWEPT} optimiser=adam,adamw optimiser.beta1=0.8",
    f"-m {SWEPT} hydra/sweeper=search hydra.sweeper.n_trials=2 optimiser.eta=interval(0.1,1)",
    f"-m {SWEPT} seed=1,2 hydra.launcher.lanes=1 sweep.objective=best_validation_cost",
    f"resume {DONE} training.epochs=3",
    f"resume {DONE} training.epochs=3 checkpoint.keep=2 plots=false",
    f"resume {DONE_SWEEP}",
    f"report {DONE_SWEEP} --out out --objective train_cost --direction minimise",
    "plugins",
    "plugins sgd",
)
COSTLY = ("-m", "resume", "data=xor")
"""What begins a line that trains; it is chosen less often."""

STUDY = """\
defaults:
  - config
  - override optimiser: momentum
  - override data: xor
  - _self_

seed: 3

network:
  hidden: [4, 3]
  activation: tanh
  modified_neurons:
    - {layer: 2, neuron: 1, activation: relu}

optimiser:
  eta: 0.5
  mu: 0.9

training:
  epochs: 2
  batch_size: 4
  dtype: float32

metrics:
  - delta_norm
  - name: accuracy
    over: validation

checkpoint:
  seconds: null
"""
SLOW = "defaults: [momentum]\neta: 0.001\n"
STUDIES = ("--cfg job -cd mine -cn study", "explain -cd mine -cn study")

VALUES = (
    *("nan", "inf", "-inf", "1e400", "-1", "0", "1.5", "''", "", "null", "true", "[[1]]", "[]"),
    *("{a:b}", "{}", "${seed}", "${oc.env:X}", "${nothing}", "${", "${seed", "?", "*", "???"),
    *("é", "日本", "\x01", "\x1b[31m", "a b", "a/b", "../a", "a,b", "a=b", "[a", "{", "'", '"'),
    *("x" * 300, "y" * 20_000, "9" * 40, "1_000", "0x10", "01", "range(5,1)", "range(1,3,0)"),
    *("choice()", "glob(*)", "interval(1,0)", "zip(1,2,3)", "tag(log,1)", "sgd", "${hydra:a}"),
    *("\\", "a\\", "@", "#", "-", "!", "&a", "%", "\u202e", "\ud800", "\ufeff", "~", "name", "\n"),
)
KEYS = (
    *("optimiser.bta", "netwrok.hidden", "seed.a", "network.hidden.0", "training", "optimiser"),
    *("hydra", "hydra/launcher", "hydra/nothing", "hydra.nothing", "hydra.job.nothing", "a/b"),
    *(
        "optimiser@x",
        "",
        ".",
        "..",
        "seed.",
        ".seed",
        "network..hidden",
        "nothing",
        "optimiser.name",
    ),
    *("data.name", "plugins.path", "plugins", "sweep", "checkpoint", "metrics", "network.layers"),
    *("hydra.job_logging", "hydra.sweeper.params", "hydra.callbacks", "hydra.mode", "defaults"),
    *("hydra/help", "hydra/output", "hydra/job_logging", "hydra/sweeper", "hydra.searchpath"),
)
RAW = re.compile(
    r"\w+Error\b|\w+Exception\b|has no attribute|NoneType|Expecting|<class|<object|Traceback|"
    r"HYDRA_FULL_ERROR|DictConfig|ListConfig|AnyNode|object is not|full_key|object_type|"
    r"not subscriptable|unhashable type|positional argument|unexpected keyword"
)
Tokens = list[str]


@dataclasses.dataclass(frozen=True)
class Case:
    """A command line, with the config file that it reads.

    Attributes:
        arguments: what follows `bpframe`.
        study: the content of mine/study.yaml.
        culprits: texts of which an error names one; nothing if any error will do.
        file: whether the file was changed.

    """

    arguments: tuple[str, ...]
    study: bytes = STUDY.encode()
    culprits: tuple[str, ...] = ()
    file: bool = False


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended: its status, or None if it had to be killed, and what it wrote."""

    status: int | None
    out: str
    err: str


def _is_setting(token: str) -> bool:
    return "=" in token and not token.startswith("-") and not token.startswith("hydra.run.dir=")


def _settings(tokens: Sequence[str]) -> list[int]:
    return [place for place, token in enumerate(tokens) if _is_setting(token)]


def _edited(rng: random.Random, text: str, alphabet: str) -> str:
    place = rng.randrange(len(text) + 1)
    match rng.randrange(4):
        case 0:
            return text[:place] + text[place + 1 :]
        case 1:
            return text[:place] + text[place : place + 1] + text[place:]
        case 2:
            return text[:place] + rng.choice(alphabet) + text[place:]
        case _:
            other = min(place + 1, len(text))
            return text[:place] + text[other : other + 1] + text[place:other] + text[other + 1 :]


def _mutated_line(rng: random.Random, lines: Sequence[Tokens]) -> Case:
    """A command line with one change, or with a few."""
    before = rng.choice(lines)
    tokens = list(before)
    for _ in range(rng.choice((1, 1, 1, 2))):
        places = _settings(tokens)
        if not places:
            tokens.append(rng.choice(KEYS) + "=" + rng.choice(VALUES))
            continue
        place = rng.choice(places)
        key, _, value = tokens[place].partition("=")
        other = rng.choice(rng.choice([line for line in lines if _settings(line)]))
        other_key, _, other_value = other.partition("=")
        match rng.randrange(9):
            case 0:
                tokens[place] = f"{key}={rng.choice(VALUES)}"
            case 1:
                tokens[place] = f"{key}={other_value}"
            case 2:
                tokens[place] = f"{other_key if _is_setting(other) else 'seed'}={value}"
            case 3 if not key.endswith(".dir"):
                tokens[place] = _edited(rng, tokens[place], "=.,[]{}()'\" ${}+~@:/\\\té0a\x07")
            case 4:
                tokens[place] = f"{rng.choice(KEYS)}={value}"
            case 5:
                tokens[place] = rng.choice(("+", "++", "~")) + tokens[place]
            case 6:
                tokens.append(f"{key}={rng.choice(VALUES)}")
            case 7 if _is_setting(other):
                tokens.append(other)
            case _:
                del tokens[place]
    left = Counter(before)
    left.subtract(tokens)
    changed = [token for token, count in left.items() if count]
    return Case(tuple(tokens), culprits=_parts(changed))


def _parts(texts: Sequence[str]) -> tuple[str, ...]:
    """What an error may name of settings: the whole key, its parts, the value."""
    found: list[str] = []
    for text in texts:
        key, _, value = text.lstrip("+~").partition("=")
        found += [text, key, value.strip("'\""), *re.split(r"[.@/:\s]", key)]
        found += re.findall(r"\w+", value)
    return tuple(dict.fromkeys(part for part in found if part.strip()))


def _mutated_file(rng: random.Random) -> Case:
    """A config file with one change."""
    lines = [str(line) for line in STUDY.splitlines(keepends=True)]
    place = rng.choice([number for number, line in enumerate(lines) if line.strip()])
    line = lines[place]
    head, colon, tail = line.rstrip("\n").partition(":")
    match rng.randrange(12):
        case 0:
            lines[place] = f"{head}{colon} {rng.choice(VALUES)}\n"
        case 1:
            lines[place] = " " * rng.randrange(1, 4) + line
        case 2:
            lines[place] = "\t" + line
        case 3:
            lines.insert(rng.randrange(len(lines)), line)
        case 4:
            lines[place] = head + tail + "\n"
        case 5:
            del lines[place]
        case 6:
            lines[place] = _edited(rng, line, ":-[]{}&*!|>'\"%@`#,? \t\x00\x07é")
        case 7:
            lines[place] = line.lstrip()
        case 8:
            name = rng.choice(("study", "slow", "optimiser/slow", "/study", "nothing", "3", "[a]"))
            lines.insert(1, f"  - {name}\n")
        case 9:
            lines.insert(rng.randrange(len(lines)), f"{rng.choice(KEYS)}: {rng.choice(VALUES)}\n")
        case 10:
            lines = lines[:place]
        case _:
            data = bytearray("".join(lines).encode())
            data[rng.randrange(len(data))] = rng.randrange(256)
            return Case(_study_line(rng), bytes(data), file=True)
    text = "".join(lines).encode("utf-8", "surrogatepass")
    return Case(_study_line(rng), text, file=True)


def _study_line(rng: random.Random) -> tuple[str, ...]:
    return tuple(rng.choice(STUDIES).split())


def cases(count: int, seed: int) -> Iterator[Case]:
    """So many changed commands: the same ones for the same seed."""
    lines = [shlex.split(line) for line in SOUND]
    cheap = [line for line in lines if not line[0].startswith(COSTLY)]
    costly = [line for line in lines if line not in cheap]
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        match rng.randrange(10):
            case 0 | 1 | 2:
                yield _mutated_file(rng)
            case 3 | 4:
                yield _mutated_line(rng, costly)
            case _:
                yield _mutated_line(rng, cheap)


def prepare(home: Path) -> None:
    """Write the config files, and the run and the sweep that `resume` takes."""
    (home / "mine" / "optimiser").mkdir(parents=True)
    (home / "mine" / "optimiser" / "slow.yaml").write_text(SLOW)
    (home / "mine" / "study.yaml").write_text(STUDY)
    for line in PREPARED:
        ended = run(shlex.split(line), home, 300)
        assert ended.status == 0, ended


def run(arguments: Sequence[str], home: Path, limit_s: int = LIMIT_S) -> Ended:
    """What `python -m bpframe` does with the arguments, in a fork of this process."""
    out, err = (home.with_name(f"{home.name}.{name}") for name in ("out", "err"))
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
        _become(arguments, home, out, err)
    end = time.monotonic() + 4 * limit_s
    found, status = os.waitpid(child, os.WNOHANG)
    while not found and time.monotonic() < end:
        time.sleep(0.004)
        found, status = os.waitpid(child, os.WNOHANG)
    if not found:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, err)]
    return Ended(os.waitstatus_to_exitcode(status) if found else None, *texts)


def _become(arguments: Sequence[str], home: Path, out: Path, err: Path) -> None:
    """Be the command, and end with its status."""
    from bpframe import cli

    status: Any = 1
    try:
        os.chdir(home)
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        given = [os.fsdecode(text.encode("utf-8", "surrogatepass")) for text in arguments]
        sys.argv = ["bpframe", *given]
        try:
            cli.main()
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def judge(case: Case, ended: Ended, home: Path) -> list[str]:
    """What is wrong with how a command ended; nothing if it is as promised."""
    if ended.status is None:
        return ["hangs"]
    faults = []
    if ended.status in (-signal.SIGXCPU, -signal.SIGKILL):
        return ["hangs"]
    if ended.status not in (0, 1):
        faults.append(f"ends with status {ended.status}")
    lines = [line for line in ended.err.splitlines() if not line.startswith("bpframe: warning: ")]
    if "Traceback" in ended.err + ended.out:
        faults.append("shows a traceback")
    if half := _half_written(home):
        faults.append(f"leaves {half} half-written")
    if ended.status == 0:
        return faults + ([f"writes to stderr: {lines[0]}"] if lines else _unseen(case, ended, home))
    return faults + _faults_of_error(case, lines)


def _faults_of_error(case: Case, lines: Sequence[str]) -> list[str]:
    if not lines or not lines[0].startswith("bpframe: "):
        return [f"says something else first: {lines[:1]}"]
    faults = []
    if any(not line.startswith("  ") for line in lines[1:]):
        faults.append("says more than one line")
    if any(len(line) > LONGEST for line in lines):
        faults.append("says a long line")
    text = " ".join(lines)
    given = " ".join(case.arguments) + case.study.decode("utf-8", "replace")
    raw = {found[0] for found in RAW.finditer(text)}
    faults += [f"shows a raw exception: {name}" for name in raw if name not in given]
    names = ("study", "mine") if case.file else case.culprits
    if case.file:
        names += _parts(_changed_lines(case))
    if names and not any(name in text for name in (*names, *(repr(n)[1:-1] for n in names))):
        faults.append("does not name the culprit")
    return faults


def _changed_lines(case: Case) -> list[str]:
    before = set(STUDY.splitlines())
    after = case.study.decode("utf-8", "replace").splitlines()
    changed = [line for line in after if line not in before]
    changed += [line for line in before if line not in after]
    changed += [line for line, count in Counter(after).items() if count > 1]
    changed += [line for line in after if line.strip()][-1:]  # where a file is cut, it has no value
    return [line.strip(" -").replace(":", "=", 1) for line in changed]


def _half_written(home: Path) -> str | None:
    """A file or a run that is there in part."""
    for path in home.rglob("*"):
        if path.name.endswith(".partial"):
            return path.name
        if path.name == "metrics.jsonl" and not (path.parent / "summary.json").exists():
            return str(path.relative_to(home))
    return None


def _unseen(case: Case, ended: Ended, home: Path) -> list[str]:
    """What was given and is in no config."""
    import yaml
    from omegaconf import OmegaConf

    shows = case.arguments[:2] == ("--cfg", "job") and "-p" not in case.arguments
    if shows:
        config = yaml.safe_load(ended.out)
    elif (home / "run" / ".hydra" / "config.yaml").exists():
        config = yaml.safe_load((home / "run" / ".hydra" / "config.yaml").read_text())
    else:
        return []
    if not isinstance(config, dict):
        return [f"shows no config: {ended.out[:80]!r}"]
    wanted: list[tuple[str, Any]] = []
    if case.file:
        loaded = OmegaConf.create(case.study.decode())
        given: Any = OmegaConf.to_container(loaded, resolve=False)
        wanted += [(str(k), v) for k, v in given.items() if k not in ("defaults", "hydra")]
    last = {}
    for override in _overrides(case.arguments):
        last[override.key_or_group] = override
    keys = list(last)
    for place, (key, override) in enumerate(last.items()):
        later = any(
            other.startswith((f"{key}.", key.rpartition(".")[0])) for other in keys[place + 1 :]
        )
        ours = not key.startswith("hydra") and "/" not in key and "@" not in key
        if ours and not override.is_delete() and not later and key != "experiment":
            wanted.append((key, _plain(override.value())))
    return [f"ignores {key}={value!r}" for key, value in wanted if not _is_in(config, key, value)]


def _overrides(arguments: Sequence[str]) -> list[Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    args = argparse.ArgumentParser(add_help=False)
    for names in (("--cfg",), ("-cd",), ("-cn",), ("-p",)):
        args.add_argument(*names)
    return OverridesParser.create().parse_overrides(args.parse_known_args(arguments)[1])


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    return getattr(value, "text", value)


def _is_in(config: Any, key: str, value: Any) -> bool:
    from bpframe.configuration.schemas import GROUPS

    for part in re.split(r"[.\[\]]+", key.strip("]")):
        if isinstance(config, list) and part.isdigit() and int(part) < len(config):
            config = config[int(part)]
        elif isinstance(config, dict) and part in config:
            config = config[part]
        else:
            return False
    if key in GROUPS and isinstance(value, str):
        return config["name"] == {"slow": "momentum"}.get(value, value)
    return _holds(config, value)


def _holds(config: Any, value: Any) -> bool:
    """Whether a config says what was given; a mapping may say more."""
    if value == "???" or (isinstance(config, str) and "${" in config):  # nothing, or resolved later
        return True
    if isinstance(value, dict):
        return isinstance(config, dict) and all(
            str(key) in map(str, config) and _holds(config.get(key), part)
            for key, part in value.items()
        )
    if isinstance(value, list):
        return (
            isinstance(config, list)
            and len(config) == len(value)
            and all(map(_holds, config, value))
        )
    with contextlib.suppress(TypeError, ValueError):
        return (
            config == value
            or str(config) == str(value)
            or float(config) == float(value)
            or (config != config and float(value) != float(value))
        )
    return False


def _worker(part: Sequence[tuple[int, Case]], template: Path, results: Path) -> None:
    """Run and judge cases, and write what is wrong with them."""
    with results.open("w", encoding="utf-8") as file:
        for number, case in part:
            home = template.with_name(f"case{number}")
            shutil.copytree(template, home)
            (home / "mine" / "study.yaml").write_bytes(case.study)
            begun = time.monotonic()
            ended = run(case.arguments, home)
            faults = judge(case, ended, home)
            entry = {
                "number": number,
                "line": case.arguments,
                "study": case.study.decode("utf-8", "replace") if case.file else None,
                "status": ended.status,
                "err": ended.err,
                "faults": faults,
                "seconds": time.monotonic() - begun,
            }
            file.write(json.dumps(entry) + "\n")
            file.flush()
            shutil.rmtree(home)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; 1 if something is wrong with one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of a case, to see it alone")
    parser.add_argument(
        "--sound", action="store_true", help="the lines that are changed, as they are"
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--show", action="store_true", help="show all, sound ones too")
    args = parser.parse_args(arguments)
    numbered = list(enumerate(cases(args.count, args.seed)))
    if args.sound:
        numbered = [(-1 - n, Case(tuple(shlex.split(line)))) for n, line in enumerate(SOUND)]
    if args.only is not None:
        numbered = [list(enumerate(cases(args.only + 1, args.seed)))[-1]]
    with tempfile.TemporaryDirectory(prefix="mutations-") as place:
        entries = _all_run(numbered, Path(place), args.workers)
    bad = 0
    for entry in entries:
        faults = entry["faults"]
        if entry["number"] < 0 and entry["status"] != 0:
            faults.append("is a sound line")
        bad += bool(faults)
        if faults or args.show:
            print(f"{entry['number']}: {faults} {entry['status']} {entry['seconds']:.1f} s")
            print(f"    bpframe {shlex.join(entry['line'])[:300]!r}")
            if entry["study"]:
                print("    " + repr("\n".join(_changed(entry["study"])))[:300])
            print("    " + entry["err"].strip()[:400].encode("ascii", "backslashreplace").decode())
    statuses = Counter(entry["status"] for entry in entries)
    print(f"{len(entries)} commands, {bad} with faults; by status {dict(statuses)}")
    return int(bad > 0)


def _changed(study: str) -> list[str]:
    return _changed_lines(Case((), study.encode("utf-8", "replace")))


def _all_run(numbered: Sequence[tuple[int, Case]], place: Path, n: int) -> list[dict[str, Any]]:
    """Run all cases in `n` processes of their own, each of which forks a command at a time."""
    os.environ.pop("BPFRAME_DATA_DIR", None)
    os.environ.pop("X", None)
    os.environ["HOME"] = str(place)
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(place / "compiled"))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    from bpframe.commands import train

    with contextlib.redirect_stdout(io.StringIO()):  # what it imports is imported once
        train.train(["--cfg", "job"])
    template = place / "template"
    template.mkdir()
    prepare(template)
    children = []
    for worker in range(n):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _worker(numbered[worker::n], template, place / f"results{worker}")
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    for child in children:
        _, status = os.waitpid(child, 0)
        assert status == 0, "a worker has failed"
    lines = [line for w in range(n) for line in (place / f"results{w}").open(encoding="utf-8")]
    return sorted(map(json.loads, lines), key=lambda entry: entry["number"])


if __name__ == "__main__":
    sys.exit(main())
