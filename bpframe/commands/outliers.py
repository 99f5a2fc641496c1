"""`bpframe outliers`: the examples of a run that pull hardest at its parameters."""

from __future__ import annotations

import io
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bpframe.api.saved import load
from bpframe.commands import subcommands
from bpframe.data import Examples
from bpframe.errors import ConfigError, OutputError
from bpframe.files import check_no_link, write_whole
from bpframe.metrics import SPLITS
from bpframe.training import outliers
from bpframe.training.outliers import Outlier

ACROSS = 10


def show(words: list[str]) -> None:
    """Print them, and draw them where they are images.

    Raises:
        ConfigError: the command line is wrong.
        DataError: the data or the parameters cannot be read.
        OutputError: there is no run, or it cannot be written to.

    """
    args = parser().parse_intermixed_args(words)
    run = load(args.folder, trusted=args.trust)
    examples: Examples = getattr(run.fitted_data, args.split)
    found = outliers.largest(run.experiment, run.params, examples, args.count)
    names = run.task.names
    console = Console()
    console.print(_table(found, args.split, names))
    if _is_image(examples.x.shape[1:]):
        path = run.folder / f"outliers_{args.split}.png"
        try:
            check_no_link(path)
            write_whole(path, _picture(found, examples, names))
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
        console.print(f"written to {path}", highlight=False, soft_wrap=True, markup=False)


def parser() -> ArgumentParser:
    """What reads the words after `bpframe outliers`."""
    made = subcommands.parser(
        "outliers",
        "the examples with the largest gradients at the end of a run: what is unusual, "
        "or mislabelled; images are drawn to outliers_SPLIT.png in its folder",
    )
    made.add_argument("--split", choices=SPLITS, default="train", help="default: train")
    made.add_argument("--count", type=_count, default=20, help="how many; default: 20")
    made.add_argument(
        "--trust",
        action="store_true",
        help="run the plugins that the folder names, though no command of yours has",
    )
    made.add_argument("folder", metavar="RUN", type=Path)
    return made


def _table(found: list[Outlier], split: str, names: Sequence[object]) -> Table:
    table = Table(title=f"largest gradients, {split}", title_justify="left")
    for name in ("example", "|g|", "cost", "target", "answer"):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            f"{one.example}",
            f"{one.norm:.4g}",
            f"{one.cost:.4g}",
            _text(one.target, names),
            _text(one.answer, names),
        )
    return table


def _text(value: np.ndarray, names: Sequence[object]) -> str:
    """A class by its name, or a few numbers."""
    if value.ndim == 0:
        return str(names[int(value)]) if names else str(value)
    return " ".join(f"{number:.3g}" for number in value[:6]) + " ..." * (len(value) > 6)


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[2] in (1, 3)


def _picture(found: list[Outlier], examples: Examples, names: Sequence[object]) -> bytes:
    """The images with what is right and what was answered, as a PNG."""
    # Imported here: matplotlib takes longer to import than a small network to train.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(found) // ACROSS)
    figure = Figure(figsize=(ACROSS, 1.35 * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, ACROSS, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, one in zip(panels, found, strict=False):
        image = np.asarray(examples.x[one.example], float)
        if image.shape[2] == 1:
            axes.imshow(image[:, :, 0], cmap="gray_r")
        else:
            axes.imshow((image - image.min()) / max(float(np.ptp(image)), 1e-30))
        axes.set_title(f"{_text(one.target, names)}, said {_text(one.answer, names)}", fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"--count: {text!r} is no number of examples; give 1 or more")
    return int(text)
