"""The sections of the page of a run, as HTML."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bpframe.pages.text import escaped, short
from bpframe.runs.page import columns, pictures, typeset
from bpframe.runs.page.columns import Curves, Figure, Matrix, Values
from bpframe.runs.page.reading import Written, mapping, number
from bpframe.runs.page.words import class_name

MOST_SERIES = 16
MOST_CLASSES = 30
MOST_ROWS = 300


def section(title: str, content: str, note: str = "", kind: str = "") -> str:
    """A part of the page under a heading."""
    said = f'<p class="note">{escaped(note, 600)}</p>' if note else ""
    return f'<section class="{kind}"><h2>{escaped(title)}</h2>{said}{content}</section>'


def best_note(written: Written) -> str:
    """What is marked in the curves."""
    if not written.records:
        return "No epoch is recorded."
    best = written.best_epoch
    return "" if best is None else f"The star and the dotted line mark the best epoch, {best}."


def figures(title: str, drawn: Sequence[Figure], first: int, note: str) -> str:
    """Places for the script to draw in; `first` is the number of the first figure."""
    made = "".join(_figure(each, place) for place, each in enumerate(drawn, start=first))
    content = f'<div class="figures scripted">{made}</div>' if made else ""
    return section(title, content, note)


def _figure(figure: Figure, place: int) -> str:
    assert isinstance(figure, Curves | Values)
    notes = [figure.note] if isinstance(figure, Curves) and figure.note else []
    if isinstance(figure, Values):
        notes.append("At the end.")
        some = [value for value in figure.values if value is not None]
        if len(figure.values) > 1000:
            notes.append(f"The first 1000 of {len(figure.values)}.")
    else:
        some = [value for each in figure.series for value in each.values if value is not None]
        if len(figure.series) > MOST_SERIES:
            notes.append(f"{MOST_SERIES} of {len(figure.series)} curves, evenly chosen.")
    can_be_log = bool(some) and min(some) >= 0 and max(some) > 0
    if can_be_log and min(some) == 0:
        notes.append("A logarithmic axis leaves out zeros.")
    checked = " checked" if figure.is_log else ""
    box = f'<label><input type="checkbox"{checked}> logarithmic</label>' if can_be_log else ""
    said = f'<span class="note"><br>{escaped(" ".join(notes))}</span>' if notes else ""
    label = escaped(figure.title, 100)
    return (
        f"<figure><figcaption>{label}{said}</figcaption>{box}"
        f'<div class="plot" data-figure="{place}" role="img" '
        f'aria-label="{label}; the values are in the table below"></div></figure>'
    )


def matrix(figure: Matrix, names: Sequence[str]) -> str:
    """A table of numbers whose shades say their share of the row.

    Of confusions between many classes the largest are listed instead.
    """
    values, n = figure.values, len(figure.values)
    across = len(values[0])
    title = figure.title[:1].upper() + figure.title[1:]
    is_confusion = figure.title.startswith("confusion matrix") and n == across
    if max(n, across) > MOST_CLASSES and not is_confusion:
        return section(title, "", f"{n} x {across} numbers; they stand in metrics.jsonl.")
    labels = [class_name(names if is_confusion else (), at) for at in range(max(n, across))]
    if n > MOST_CLASSES:
        return section(title, _largest(values, labels), f"The largest confusions of {n} classes.")
    head = "".join(f'<th scope="col">{escaped(label, 24)}</th>' for label in labels[:across])
    rows = "".join(
        f'<tr><th scope="row">{escaped(labels[at], 24)}</th>'
        f"{_cells(row, at if is_confusion else None)}</tr>"
        for at, row in enumerate(values)
    )
    corner, note = "", "At the end."
    if is_confusion:
        corner, note = (
            "right \\ answer",
            "What is right down, what was answered across, at the end.",
        )
    table = (
        f'<div class="scroller tall" tabindex="0" role="region" aria-label="{escaped(title)}">'
        f'<table class="matrix"><thead><tr><th scope="col">{corner}</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    return section(title, table, note)


def _cells(row: Sequence[float | None], right: int | None) -> str:
    total = sum(abs(value) for value in row if value is not None) or 1
    cells = []
    for place, value in enumerate(row):
        share = 0 if value is None else abs(value) / total
        kind = ' class="right"' if place == right else ""
        text = short(int(value) if value == int(value) else value) if value else ""
        cells.append(f'<td{kind} style="--share:{share:.3f}">{escaped(text, 12)}</td>')
    return "".join(cells)


def _largest(counts: Sequence[Sequence[float | None]], labels: Sequence[str]) -> str:
    pairs = [
        (value, right, answer)
        for right, row in enumerate(counts)
        for answer, value in enumerate(row)
        if value and right != answer
    ]
    rows = [
        (labels[right], labels[answer], short(value))
        for value, right, answer in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))[:30]
    ]
    return _table(("right", "answer", "examples"), rows)


def weights(written: Written) -> Iterator[str]:
    """The weights of the first layer, where they can be drawn."""
    shape = written.data.get("shape")
    found = pictures.first_layer(written.params, shape if isinstance(shape, list) else ())
    if found is None:
        return
    drawn = "".join(
        f'<figure><img src="{url}" alt="weights of {text}"><figcaption>{text}</figcaption></figure>'
        for url, text in found.pictures
    )
    yield section(found.title, f'<div class="pictures">{drawn}</div>', found.note)


def examples(written: Written) -> Iterator[str]:
    """Those with the largest cost and gradient, if they were looked for."""
    found = mapping(written.found.get("examples"))
    split = escaped(found.get("split", ""), 20)
    shape = written.data.get("shape")
    shape = shape if isinstance(shape, list) else []
    for key, title in (("cost", "largest cost"), ("gradient", "largest gradient")):
        listed = found.get(key)
        ones = [mapping(each) for each in listed] if isinstance(listed, list) else []
        if ones:
            drawn = "".join(_example(one, shape, written.names) for one in ones)
            kind = f'<div class="pictures wide">{drawn}</div>'
            yield section(
                f"Examples with the {title}", kind, f"Of the {split} set, at the end of the run."
            )
    if not found:
        yield from _largest_gradients(written)


def _example(one: Mapping[str, Any], shape: Sequence[Any], names: Sequence[str]) -> str:
    url = pictures.grey(one.get("x") or (), shape)
    right, answer = one.get("target"), one.get("answer")
    said = f"{_said(names, right)}, answered {_said(names, answer)}"
    kind = ' class="wrong"' if right != answer and isinstance(right, int) else ""
    numbers = ", ".join(
        f"{name}&nbsp;{short(one[key])}"
        for name, key in (("cost", "cost"), ("|g|", "norm"))
        if number(one.get(key))
    )
    image = f'<img src="{url}" alt="example {escaped(one.get("example"), 20)}">' if url else ""
    return (
        f"<figure>{image}<figcaption><span{kind}>{said}</span><br>"
        f"no. {escaped(one.get('example'), 20)}<br>{numbers}</figcaption></figure>"
    )


def _said(names: Sequence[str], value: Any) -> str:
    if isinstance(value, list):
        texts = [short(each) if number(each) else "?" for each in value[:6]]
        return escaped(" ".join(texts) + " ..." * (len(value) > 6), 80)
    return escaped(class_name(names, value), 40)


def _largest_gradients(written: Written) -> Iterator[str]:
    """The table of the metric largest_gradients, by the numbers of the examples."""
    last = written.records[-1] if written.records else {}
    for name, numbers in last.items():
        metric, over, _, rest = columns.parts(name)
        norms = last.get(name.removesuffix("example") + "norm")
        if metric != "largest_gradients" or rest != "example" or not isinstance(norms, list):
            continue
        rows = [
            (short(n), short(norm))
            for n, norm in zip(numbers if isinstance(numbers, list) else (), norms, strict=False)
            if number(n) and number(norm)
        ]
        note = f"Their numbers, and |g|, at the end. {_more(written)} shows them."
        yield section(columns.titled(metric, over), _table(("example", "|g|"), rows[:50]), note)


def _more(written: Written) -> str:
    return f"bpframe show {shlex.quote(str(written.folder))} --examples"


def algorithm(written: Written) -> str:
    """What `bpframe explain` says of the run."""
    items = written.algorithm
    if not items:
        note = f"It was not kept with this run; {_more(written)} adds it."
        return section("The algorithm", "", note)
    return (
        '<section class="algorithm"><details open><summary><h2>The algorithm</h2></summary>'
        f"{typeset.algorithm(items)}</details></section>"
    )


def values(written: Written) -> str:
    """All columns that are numbers: at the first record, in the best epoch, and at the end."""
    records = written.records
    if not records:
        return ""
    best = next((r for r in records if r["epoch"] == written.best_epoch), None)
    shown = [records[0], *([best] if best is not None else []), records[-1]]
    names = dict.fromkeys(name for record in shown for name in record)
    lines = [
        (name, *(short(record[name]) if number(record.get(name)) else "" for record in shown))
        for name in names
        if name != "epoch" and any(number(record.get(name)) for record in shown)
    ]
    head = ["column", f"epoch {records[0]['epoch']}"]
    head += [f"best, {written.best_epoch}"] * (best is not None)
    head.append(f"last, {records[-1]['epoch']}")
    left = len(lines) - MOST_ROWS
    note = f"The first {MOST_ROWS} of {len(lines)} columns of metrics.jsonl." if left > 0 else ""
    if absent := columns.undrawn(records):
        note += f" Not drawn, but in metrics.jsonl: {', '.join(absent)}."
    return section("Values", _table(head, lines[:MOST_ROWS]), note)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first, *others = (escaped(text) for text in head)
    cells = f'<th scope="col">{first}</th>' + "".join(
        f'<th scope="col" class="number">{text}</th>' for text in others
    )
    body = "".join(
        f'<tr><th scope="row">{escaped(row[0], 120)}</th>'
        + "".join(f'<td class="number">{escaped(text, 60)}</td>' for text in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        '<div class="scroller" tabindex="0" role="region" aria-label="values"><table>'
        f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )
