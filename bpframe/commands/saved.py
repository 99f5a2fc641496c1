"""The subcommands that ask a run which has ended: predict, evaluate, rerun."""

from __future__ import annotations

import csv
import io
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table as Shown

from bpframe.api.saved import Run, load
from bpframe.commands import subcommands
from bpframe.configuration import saved_runs, trust
from bpframe.errors import ConfigError, DataError, OutputError, printable
from bpframe.files import check_no_link, write_whole
from bpframe.runs import console
from bpframe.runs.screen import Screen
from bpframe.sweeps import ledger
from bpframe.tables.files import read_csv, read_parquet
from bpframe.tables.parquet import unpack_parquet
from bpframe.tables.table import Table


def predict(words: list[str]) -> None:
    """Write what a run answers to the examples of a file, as CSV.

    Raises:
        ConfigError: the command line is wrong.
        DataError: the file holds no inputs for this network.
        OutputError: there is no run, or the output cannot be written.

    """
    args = predict_parser().parse_intermixed_args(words)
    if args.output is not None and args.output.absolute() == args.input.absolute():
        raise ConfigError("--output: is the input; choose another file")
    if args.output is not None and os.path.lexists(args.output):
        raise OutputError(f"--output: {args.output} is there already; choose another file")
    run = load(args.folder, trusted=args.trust)
    x = _inputs(run, args.input, args.delimiter, args.array)
    whole = None
    if isinstance(x, Table) and run.settings["data"].get("drop_missing"):  # as it was trained
        whole = ~x.gaps(run.feature_names)
        x = x.without_gaps(run.feature_names)
    text = _answers(run, x, best=args.best, whole=whole)
    if args.output is None:
        sys.stdout.write(text)
        return
    try:
        check_no_link(args.output)
        write_whole(args.output, text.encode())
    except OSError as error:
        raise OutputError(f"{args.output}: cannot be written: {error.strerror}") from error
    answers = len(x) if whole is None else np.count_nonzero(whole)
    Screen().print(f"{answers} answers in {args.output}", highlight=False, soft_wrap=True)


def predict_parser() -> ArgumentParser:
    """What reads the words after `bpframe predict`."""
    made = subcommands.parser(
        "predict", "what a run answers to new examples: CSV with an answer and the outputs of each"
    )
    made.add_argument("folder", metavar="RUN", type=Path)
    made.add_argument(
        "--input",
        metavar="FILE",
        type=Path,
        required=True,
        help="a table (.csv, .csv.gz, .parquet) with the columns trained on, or an array (.npy, "
        ".npz)",
    )
    made.add_argument(
        "--array",
        metavar="NAME",
        help="of an .npz, or for a run of arrays what names of .parquet columns begin with; "
        "default: the run's data.x, or x",
    )
    made.add_argument("--output", metavar="FILE", type=Path, help="default: print")
    made.add_argument("--delimiter", help="of a table; default: that of the run's data set")
    made.add_argument("--best", action="store_true", help="by the best parameters, not the last")
    _add_trust(made)
    return made


def evaluate(words: list[str]) -> None:
    """Print cost and accuracy of a run over all splits of its data, or over other data.

    Raises:
        ConfigError: the command line is wrong, or other settings than those of the data change.

    """
    args = evaluate_parser().parse_intermixed_args(words)
    run = load(args.folder, trusted=args.trust)
    x = y = None
    if args.confusion and not run.task.has_classes:
        raise ConfigError(f"--confusion: the answers of {type(run.task).__name__} are no classes")
    if args.confusion and args.overrides:
        raise ConfigError(
            "--confusion: is of the run's own test set, or of a file with --input; leave "
            f"{args.overrides[0]} out"
        )
    if args.input is None:
        found = run.over(args.overrides, best=args.best)
    elif args.overrides:
        raise ConfigError(f"{args.overrides[0]}: does not go with --input; leave one of them out")
    else:
        x, y = _labelled(run, args.input, args.delimiter)
        try:
            found = {args.input.name: (len(y), run.evaluate(x, y, best=args.best))}
        except DataError as error:
            raise DataError(f"{args.input}: {error}") from error
    is_regression = any(each.rmse is not None for _, each in found.values())
    table = Shown(title=f"{args.folder}", title_justify="left")
    for name in ("", "examples", "cost", "rmse" if is_regression else "accuracy"):
        table.add_column(name, justify="right" if name else "left")
    for name, (n, each) in found.items():
        accuracy = "" if each.accuracy is None else f"{each.accuracy:.2%}"
        reached = accuracy if each.rmse is None else f"{each.rmse:.4g}"
        table.add_row(printable(name), f"{n}", f"{each.cost:.4g}", reached)
    screen = Screen()
    screen.print(table)
    if args.confusion:
        counts = run.confusion(x, y, best=args.best)
        names = tuple(map(printable, map(str, run.task.names)))
        of = "the test set" if args.input is None else args.input.name
        console.show_counts(screen, f"{of}: answers across, targets down", names, counts.tolist())
    if any(text.startswith("data.path=") for text in args.overrides):
        hint = "the file was split as a data set is; --input FILE takes all of its examples"
        screen.print(hint, highlight=False, soft_wrap=True)


def evaluate_parser() -> ArgumentParser:
    """What reads the words after `bpframe evaluate`."""
    made = subcommands.parser("evaluate", "how good a run is, over its data or over others")
    made.add_argument("folder", metavar="RUN", type=Path)
    made.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="data.KEY=VALUE",
        help="another data set, with its splits",
    )
    made.add_argument(
        "--input",
        metavar="FILE",
        type=Path,
        help="instead all examples of a file, as predict takes it, with their targets",
    )
    made.add_argument(
        "--confusion",
        action="store_true",
        help="also the confusion matrix of the test set, or of the file",
    )
    made.add_argument("--delimiter", help="of a table; default: that of the run's data set")
    made.add_argument("--best", action="store_true", help="by the best parameters, not the last")
    _add_trust(made)
    return made


def rerun(words: list[str]) -> None:
    """Run the configuration of a run once more, in a folder of its own.

    Raises:
        ConfigError: the command line is wrong, or the configuration cannot be composed.
        OutputError: there is no run.

    """
    from bpframe.commands.train import train  # what predicting does not need

    args = rerun_parser().parse_intermixed_args(words)
    folder, here = args.folder.absolute(), Path.cwd()
    ledger.check_no_sweep(folder)
    saved_runs.check_run(folder)
    with saved_runs.as_primary(folder, args.overrides) as place:
        paths = saved_runs.plugin_paths(place, args.overrides)
        code = trust.code_of(paths, (), args.overrides)
        trust.note(code) if args.trust else trust.check(code, folder)
        overrides = list(args.overrides)
        if not any(text.startswith("hydra.run.dir=") for text in overrides):
            overrides.append("hydra.run.dir=outputs/${now:%Y-%m-%d}/${now:%H-%M-%S-%f}")
        for node in ("hydra.run", "data"):
            overrides = [saved_runs.from_here(text, node, here) for text in overrides]
        train(["--config-dir", place, "--config-name", saved_runs.PRIMARY, *overrides])


def rerun_parser() -> ArgumentParser:
    """What reads the words after `bpframe rerun`."""
    made = subcommands.parser("rerun", "run the configuration of a run once more, in a new folder")
    made.add_argument("folder", metavar="RUN", type=Path)
    made.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="what changes")
    _add_trust(made)
    return made


def _labelled(run: Run, path: Path, delimiter: str | None) -> tuple[Any, Any]:
    """The examples in a file, and their targets: columns of a table, or an array."""
    data = run.settings["data"]
    x = _inputs(run, path, delimiter, None)
    if path.suffix == ".npy":
        raise ConfigError(f"--input: {path} holds no targets; give an .npz with x and y")
    if not isinstance(x, Table) or (_is_parquet(path) and "y" in data):
        return x, _array(path, (data.get("y"), "y"))
    target = data.get("target")
    if target is None:
        raise ConfigError(
            "--input: the data of this run are no table, so that no column is known as its "
            "target; give an .npz with x and y, or run.evaluate(x, y) in Python"
        )
    names = [str(name) for name in (target if isinstance(target, list) else [target])]
    if data.get("drop_missing"):
        x = x.without_gaps([*run.feature_names, *names])
    columns = [x.column(name) for name in names]
    return x, columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def _inputs(run: Run, path: Path, delimiter: str | None, array: str | None) -> Any:
    """The examples in a file: a table, or an array."""
    name, data = path.name.lower(), run.settings["data"]
    if name.endswith((".npy", ".npz")) or (_is_parquet(path) and not run.feature_names):
        return _array(path, (array,) if array else (data.get("x"), "x"))
    if _is_parquet(path):
        return read_parquet(path)
    if name.endswith((".csv", ".csv.gz", ".tsv", ".txt")):
        tab = "\t" if name.endswith(".tsv") else ","
        reads = {"missing": data["missing"]} if "missing" in data else {}
        table = read_csv(path, delimiter=delimiter or data.get("delimiter", tab), **reads)
        if not run.feature_names:  # of arrays: all columns, in their order
            return table.inputs(tuple(table.columns))
        return table
    raise ConfigError(f"--input: {path} is neither .csv, .parquet, .npy nor .npz")


def _array(path: Path, names: tuple[str | None, ...]) -> np.ndarray:
    """The array of a file, the first there is of some names where it holds several.

    Of a Parquet file these are columns, by what their names begin with.
    """
    if _is_parquet(path):
        return unpack_parquet([path], next(filter(None, names))).parts[0]
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            there = next((name for name in names if name in found.files), None)
            if there is None:
                wanted = " or ".join(dict.fromkeys(filter(None, names)))
                raise DataError(
                    f"{path}: holds {', '.join(found.files)}; expected {wanted}; choose one for "
                    "predict with --array NAME"
                )
            return found[there]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: is no NumPy file of numbers: {error}") from error


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


def _answers(run: Run, x: Any, *, best: bool, whole: np.ndarray | None) -> str:
    """A line for each example: the answer, and the outputs where they say more.

    Examples are the rows of a file that are `whole`; the lines of the others are empty.
    """
    outputs, answers = run.outputs(x, best=best), run.predict(x, best=best)
    task, n_out = run.task, outputs.shape[1]
    names = [str(name) for name in task.names or range(n_out)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if task.has_classes:
        columns = names if n_out > 1 else ["output"]
        writer.writerow(["answer", *columns])
        rows = ([answer, *map(_short, row)] for answer, row in zip(answers, outputs, strict=True))
    else:
        writer.writerow(names)
        rows = ([_short(value) for value in np.atleast_1d(row)] for row in answers)
    width = n_out + task.has_classes
    for is_whole in np.ones(len(answers), bool) if whole is None else whole:
        writer.writerow(next(rows) if is_whole else [""] * width)
    return buffer.getvalue()


def _short(value: Any) -> str:
    return f"{value:.7g}"


def _add_trust(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the plugins that the folder names, though no command of yours has",
    )
