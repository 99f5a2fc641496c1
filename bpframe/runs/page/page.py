"""report.html of a run: one page that needs no network, no server and no other file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from bpframe.errors import OutputWarning, described
from bpframe.files import write_whole
from bpframe.pages import shell
from bpframe.pages.text import escaped, shown
from bpframe.runs.layout import PAGE
from bpframe.runs.network_over_time.network import NetworkOverTime
from bpframe.runs.page import columns, network_view, parts, thinning, words
from bpframe.runs.page.columns import Curves, Figure, Matrix, Values
from bpframe.runs.page.reading import Written, read

MOST_FIGURES = 30
_STATUSES = ("completed", "diverged", "failed", "interrupted", "pruned")
_NETWORK_SCRIPTS = (
    *("network_tracks.js", "network_drawing.js", "network_controls.js"),
    "network_view.js",  # which needs those before it
)
_DEPTH = 3
"""How far above a run the folder of its sweep is sought."""


def write(folder: Path) -> Path:
    """Write the page of a run into its folder.

    Raises:
        OSError: it cannot be written.
        OutputError: there is no run.

    """
    text = page(read(folder.absolute()))
    write_whole(folder / PAGE, text.encode("utf-8", "replace"), durable=False)
    return folder / PAGE


def wanted(folder: Path) -> None:
    """Write the page of a run that has asked for it, or warn: it does not depend on its page."""
    try:
        write(folder)
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else None
        text = f"{folder / PAGE}: not written: {reason or described(error)}"
        warnings.warn(text, OutputWarning, stacklevel=2)


def page(written: Written) -> str:
    """The page of a run as HTML, to be written in UTF-8."""
    status = str(written.summary.get("status", "not ended"))
    figures = columns.figures(written.records)
    drawn = [each for each in figures if isinstance(each, Curves | Values)]
    matrices = [each for each in figures if isinstance(each, Matrix)]
    error = written.summary.get("error")
    lost = list(written.missing)
    network = network_view.read(written, lost)
    missing = "".join(f"<li>{escaped(text, 500)}</li>" for text in lost)
    title = shown(written.folder.name or str(written.folder), 100)
    body = {
        "sweep": _sweep(written.folder),
        "title": escaped(title),
        "trained": escaped(words.trained(written), 1000),
        "status": escaped(status, 40),
        "status_class": status if status in _STATUSES else "interrupted",
        "ended": escaped(words.ended(written), 600),
        "error": f'<p class="error" role="alert">{escaped(error, 1000)}</p>' if error else "",
        "missing": f'<div class="missing">Missing:<ul>{missing}</ul></div>' if missing else "",
        "again": "".join(
            f"<dt>{escaped(what)}</dt><dd><code>{escaped(text, 2000)}</code></dd>"
            for what, text in words.again(written).items()
        ),
        "facts": "; ".join(
            f"{escaped(name)}: {escaped(value, 800)}" for name, value in words.facts(written)
        ),
        "sections": "\n".join(_sections(written, drawn, matrices, network)),
    }
    return shell.page(
        title,
        Template(_part("page.html")).substitute(body),
        data=_data(written, drawn[:MOST_FIGURES])
        | ({} if network is None else {"network": network_view.data(network, written)}),
        style=_parts("page.css", *(["network_view.css"] if network else [])),
        script=_parts("page.js", *(_NETWORK_SCRIPTS if network else [])),
    )


def _sections(
    written: Written,
    drawn: Sequence[Figure],
    matrices: Sequence[Matrix],
    network: NetworkOverTime | None,
) -> Iterator[str]:
    n = len(columns.learning(written.records))
    yield parts.figures("Learning curves", drawn[:n], 0, parts.best_note(written))
    if network is not None:
        yield network_view.html(network, written)
    if drawn[n:MOST_FIGURES]:
        left = len(drawn) - MOST_FIGURES
        note = f"{left} more families of columns are in the table only." if left > 0 else ""
        yield parts.figures("What the metrics say", drawn[n:MOST_FIGURES], n, note)
    for matrix in matrices:
        yield parts.matrix(matrix, written.names)
    yield from parts.weights(written)
    yield from parts.examples(written)
    yield parts.algorithm(written)
    yield parts.values(written)


def _sweep(folder: Path) -> str:
    """A link to the page of the sweep that the run is a job of, if there is one."""
    for above in folder.parents[:_DEPTH]:
        if (above / "sweep.jsonl").exists() or (above / "multirun.yaml").exists():
            if not (above / PAGE).exists():
                return ""
            place = quote(Path(os.path.relpath(above / PAGE, folder)).as_posix())
            return f'<p class="note"><a href="{place}">All runs of the sweep</a></p>'
    return ""


def _data(written: Written, drawn: Sequence[Figure]) -> dict[str, Any]:
    epochs = [record["epoch"] for record in written.records]
    best = written.best_epoch
    kept = [epochs.index(best)] if best in epochs else []
    curves = [series for each in drawn if isinstance(each, Curves) for series in _few(each)]
    most = thinning.allowed(sum(3 if series.low else 1 for series in curves))
    return {"best": best, "figures": [_figure(each, epochs, most, kept) for each in drawn]}


def _figure(figure: Figure, epochs: Sequence[int], most: int, kept: Sequence[int]) -> Any:
    if isinstance(figure, Values):
        return {"title": shown(figure.title, 100), "values": figure.values[:1000]}
    assert isinstance(figure, Curves)
    series = []
    for each in _few(figure):
        places = thinning.thinned(each.values, most, kept).places
        drawn = {"y": each.values, "low": each.low, "high": each.high}
        picked = {
            name: [_rounded(values[place]) for place in places]
            for name, values in drawn.items()
            if values
        }
        series.append(
            {"name": shown(each.name, 40), "x": [epochs[place] for place in places], **picked}
        )
    return {"title": shown(figure.title, 100), "unit": figure.unit, "series": series}


def _few(figure: Curves) -> Sequence[columns.Series]:
    """Its curves, or evenly chosen ones where there are too many to tell apart."""
    return thinning.chosen(figure.series, parts.MOST_SERIES)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def _parts(*names: str) -> str:
    return "\n".join(map(_part, names))


def _part(name: str) -> str:
    return (resources.files("bpframe.runs.page") / name).read_text(encoding="utf-8")
