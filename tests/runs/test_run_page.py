"""The page of a run, and the run on the terminal; the page also in a real browser."""
# pyright: reportPrivateUsage=false

import dataclasses
import io
import math
import os
import random
import warnings
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import written_runs
from hostile import COMMANDS, HOSTILE
from written_runs import record, summary

from bpframe.errors import OutputError, OutputWarning
from bpframe.runs.page import columns, page, pictures, terminal, thinning, typeset, words
from bpframe.runs.page.columns import Curves, Matrix, Values
from bpframe.runs.page.reading import Written, read
from bpframe.runs.screen import Screen

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LIMIT = 1_500_000


class Elements(HTMLParser):
    """The tags, the attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._is_text = True
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._is_text = tag not in ("script", "style")

    def handle_data(self, data: str) -> None:
        if self._is_text:
            self.text += data


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return written_runs.write(tmp_path / "run", found=written_runs.examples())


@pytest.fixture
def written(run: Path) -> Written:
    return read(run)


def printed(written: Written, **console: Any) -> str:
    out = io.StringIO()
    terminal.show(written, Screen(file=out, **console))
    return out.getvalue()


# ---- what it says


def test_what_was_trained_is_a_line_a_person_would_write(written: Written) -> None:
    assert words.trained(written) == (
        "A 16-4-3 network of tanh neurons with sigmoid outputs on animals, trained by sgd with "
        "eta 0.25, cost cross entropy and l2 regularisation of 0.1, mini-batches of 10, seed 7."
    )
    assert words.ended(written) == (
        "5 epochs, 87.50% right on the test set, test cost 0.5, best epoch 4 (up to 88.00% right "
        "on the validation set)."
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learning_rule": {"name": "feedback_alignment"}}, "learning by feedback alignment"),
        ({"network": {"layers": [{"name": "convolution"}, {"n": 3}]}}, "of convolution, dense lay"),
        ({"network": {"hidden": [], "output_activation": "softmax"}}, "without hidden layers"),
        ({"training": {"batch_size": None}}, "full batches"),
    ],
)
def test_what_is_unusual_is_said(written: Written, change: dict[str, Any], said: str) -> None:
    changed = dataclasses.replace(written, config={**written_runs.CONFIG, **change})
    assert said in words.trained(changed)


def test_the_page_has_all_of_it(run: Path) -> None:
    found = Elements(page.page(read(run)))
    for said in (
        *("A 16-4-3 network of tanh neurons", "completed", "87.50% right", f"bpframe rerun {run}"),
        *("bpframe optimiser.eta=0.25", "bpframe 0.1.0", "jax 0.10.2", "compiling: 1.50 s"),
        *("best epoch, 4", "delta norm, over the steps", "saturation", "Weights into layer 2"),
        *("All 4 neurons", "catdogowl", "owl, answered cat", "(BP1)", "Examples with the largest"),
        *("Values", "delta_norm.steps.layer_3"),
    ):
        assert said in found.text, said
    assert found.tags.count("math") == 2
    assert sum(value.startswith("data:image/png") for _, value in found.attributes) == 5


def test_the_page_needs_no_network_and_is_small(run: Path) -> None:
    text = page.page(read(run))
    found = Elements(text)
    assert len(text.encode()) < LIMIT
    assert not {"link", "iframe", "object"} & set(found.tags)
    assert all(value.startswith("data:") for name, value in found.attributes if name == "src")
    (policy,) = [value for _, value in found.attributes if "default-src" in value]
    assert policy.startswith("default-src 'none';")


def test_a_run_without_accuracy_has_none(tmp_path: Path) -> None:
    records = [{k: v for k, v in record(epoch).items() if "accuracy" not in k} for epoch in (1, 2)]
    run = written_runs.write(tmp_path / "r", records=records, test_accuracy=None)
    assert "Accuracy" not in Elements(page.page(read(run))).text


def test_the_link_to_the_sweep_is_there_if_its_page_is(tmp_path: Path) -> None:
    run = written_runs.write(tmp_path / "sweep 1" / "3")
    assert "All runs of the sweep" not in page.page(read(run))
    (tmp_path / "sweep 1" / "sweep.jsonl").touch()
    assert "All runs of the sweep" not in page.page(read(run))
    (tmp_path / "sweep 1" / "report.html").touch()
    assert ("href", "../report.html") in Elements(page.page(read(run))).attributes


# ---- columns


def drawn(records: Sequence[dict[str, Any]]) -> dict[str, columns.Figure]:
    return {figure.title: figure for figure in columns.figures(records)}


def test_each_family_is_drawn_as_suits_it() -> None:
    figures = drawn([record(epoch) for epoch in range(1, 6)])
    cost, accuracy = (figures[name] for name in ("Cost, mean per example", "Accuracy"))
    assert isinstance(cost, Curves)
    assert isinstance(accuracy, Curves)
    assert (cost.unit, accuracy.unit) == ("", "%")
    assert accuracy.series[0].values[0] == 50
    deltas = figures["delta norm, over the steps"]
    assert isinstance(deltas, Curves)
    assert deltas.is_log
    assert [each.name for each in deltas.series] == ["layer 2", "layer 3"]
    shares, angles = (figures[f"{name}, over the steps"] for name in ("saturation", "alignment"))
    assert isinstance(shares, Curves)
    assert isinstance(angles, Curves)
    assert (shares.unit, angles.unit) == ("%", "degrees")
    assert not shares.is_log
    assert not angles.is_log
    assert shares.series[0].values == [10] * 5
    norms = figures["gradient norms, over the steps"]
    assert isinstance(norms, Curves)
    assert [each.name for each in norms.series] == ["layer 2"]
    assert (norms.series[0].low[0], norms.series[0].high[0]) == (0.1, 0.9)
    repeated = figures["delta norm, over the steps, layer 3.0"]
    assert isinstance(repeated, Values)
    assert repeated.is_log
    assert isinstance(figures["confusion matrix, over the validation set"], Matrix)
    assert len(figures) == 8


def test_a_column_may_begin_late_and_hold_nothing_finite() -> None:
    records = [{"epoch": 0, "a.steps": None}, {"epoch": 1, "a.steps": 2.0, "b": None}]
    (figure,) = columns.figures(records)
    assert isinstance(figure, Curves)
    assert figure.series[0].values == [None, 2.0]


def test_matrices_that_are_not_of_classes_have_no_names(tmp_path: Path) -> None:
    gram = {"gram.steps": [[1.5, 0.5], [0.5, 1.0]], "deep.steps": [[[1.0]]], "row.train": [[1, 2]]}
    large = {"gram.train": np.ones((40, 40)).tolist(), "confusion_matrix.test": np.eye(40).tolist()}
    large["confusion_matrix.test"][3][7] = 5.0
    records = [{**record(1), **gram, **large}]
    found = Elements(page.page(read(written_runs.write(tmp_path / "run", records=records))))
    assert found.tags.count("td") > 4
    for said in (
        *("Gram, over the steps", "40 x 40 numbers; they stand in metrics.jsonl"),
        *("The largest confusions of 40 classes.", "375", "but in metrics.jsonl: deep.steps."),
    ):
        assert said in found.text, said
    assert "cat1.50.5" not in found.text


@pytest.mark.parametrize("n", [1, 10, 999, 10_000])
@pytest.mark.parametrize("most", [16, 100, 2000])
def test_thinning_keeps_the_peaks_the_ends_and_the_best(n: int, most: int) -> None:
    values: list[float | None] = np.random.default_rng(n).normal(size=n).tolist()
    places = thinning.thinned(values, most, [n // 3]).places
    assert places == sorted(set(places))
    assert len(places) <= max(most, 16) + 3
    assert {0, n // 3, n - 1} <= set(places) or n <= most
    kept = [values[place] for place in places]
    assert min(kept) == min(values)  # pyright: ignore[reportArgumentType]
    assert max(kept) == max(values)  # pyright: ignore[reportArgumentType]


def test_thinning_keeps_gaps() -> None:
    values = [None if 400 <= n < 500 else float(n) for n in range(1000)]
    kept = [values[place] for place in thinning.thinned(values, 60).places]
    assert None in kept


# ---- pictures and formulas


def test_weights_of_no_image_are_not_drawn() -> None:
    w = np.ones((3, 16))
    assert pictures.first_layer({"layer_2.w": w}, [4, 4, 1]) is not None
    for shape, array in (([16], w), ([4, 5, 1], w), ([1, 16, 1], w), ([4, 4, 1], w * math.nan)):
        assert pictures.first_layer({"layer_2.w": array}, shape) is None
    assert pictures.first_layer({}, [4, 4, 1]) is None


def test_kernels_and_the_largest_of_many_neurons_are_drawn() -> None:
    kernels = pictures.first_layer({"layer_2.w": np.ones((3, 5, 5, 1))}, [28, 28, 1])
    assert kernels is not None
    assert [each.text for each in kernels.pictures] == ["map 0", "map 1", "map 2"]
    w = np.ones((100, 16)) * np.arange(100)[:, None]
    many = pictures.first_layer({"layer_2.w": w}, [4, 4, 1])
    assert many is not None
    assert [each.text for each in many.pictures] == [f"neuron {n}" for n in range(52, 100)]
    assert "48 of 100 neurons, those with the largest norms" in many.note


def test_signs_have_their_colours() -> None:
    from base64 import b64decode

    from PIL import Image

    url = pictures._signed(np.array([[-1.0, 0.0, 1.0]]))
    pixels = np.asarray(Image.open(io.BytesIO(b64decode(url.partition(",")[2]))))
    assert pixels[0].tolist() == [[5, 113, 176], [255, 255, 255], [202, 82, 0]]


def test_a_formula_that_is_none_stays_text() -> None:
    assert "<mi>δ</mi>" in typeset.formula(r"\delta", "delta")
    assert typeset.formula(r"\nonesuch", "1/2 <") == "<code>1/2 &lt;</code>"
    assert typeset.formula("x" * 5000, "long") == "<code>long</code>"


# ---- what is missing


FILES = ("summary.json", "metrics.jsonl", "params.safetensors", ".hydra/config.yaml")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    text = Elements(page.page(read(run))).text
    assert f"{Path(name).name} is missing" in text
    assert f"{Path(name).name} is missing" in " ".join(printed(read(run)).split())


@pytest.mark.parametrize("name", [*FILES, "page.json"])
@pytest.mark.parametrize("damage", ["cut", "bytes", "flipped"])
def test_a_file_that_is_damaged_is_named(run: Path, name: str, damage: str) -> None:
    content = (run / name).read_bytes()
    changed = {
        "cut": content[: len(content) // 2],
        "bytes": b"\xff\x00{[",
        "flipped": content[:40] + bytes([content[40] ^ 8]) + content[41:],
    }[damage]
    (run / name).write_bytes(changed)
    found = read(run)
    assert page.page(found)
    assert printed(found)
    config_still_reads = name.endswith("config.yaml") and damage != "bytes"
    assert config_still_reads or any(Path(name).name in text for text in found.missing)


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_place_of_a_file_is_not_waited_for(run: Path, name: str) -> None:
    (run / name).unlink()
    os.mkfifo(run / name)
    assert any("is no ordinary file" in text for text in read(run).missing)


def test_a_run_that_has_not_ended_says_so(run: Path) -> None:
    (run / "summary.json").unlink()
    (run / "params.safetensors").unlink()
    found = read(run)
    assert "has not ended, or was killed; 5 epochs are recorded" in words.ended(found)
    assert "delta norm, over the steps" in page.page(found)


def test_a_half_line_ends_what_is_drawn(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 6, "train')
    found = read(run)
    assert len(found.records) == 5
    assert any("line 6 is damaged" in text for text in found.missing)


@pytest.mark.parametrize("name", ["sweep.jsonl", "notes.txt"])
def test_what_is_no_run_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="is not a folder"):
        read(tmp_path / "none")
    (tmp_path / name).touch()
    with pytest.raises(OutputError, match="bpframe report" if "sweep" in name else "holds no run"):
        read(tmp_path)


def places_in(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    parts = tree.items() if isinstance(tree, dict) else ()
    for key, value in enumerate(tree) if isinstance(tree, list) else parts:
        yield from places_in(value, (*path, key))


def changed(tree: Any, path: Sequence[Any], value: Any) -> Any:
    if not path:
        return value
    first, *rest = path
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[first] = changed(tree[first], rest, value)
    return copy


OTHERS = (None, True, -1, 10**400, 1e308, "text", [], {}, [[]], {"a": 1}, [None, "x", [1]])


@pytest.mark.slow
@pytest.mark.parametrize("what", ["summary", "config", "record", "found"])
def test_values_of_other_types_break_nothing(tmp_path: Path, what: str) -> None:
    """Slow: writes some hundred pages."""
    whole = {
        "summary": summary(),
        "config": written_runs.CONFIG,
        "record": record(5),
        "found": written_runs.examples(),
    }[what]
    paths = [path for path in places_in(whole) if path]
    choose = random.Random(0)
    cases = [(path, other) for path in paths for other in OTHERS]
    for at, (path, other) in enumerate(choose.sample(cases, min(len(cases), 150))):
        one = changed(whole, path, other)
        changes: dict[str, Any] = (
            one
            if what == "summary"
            else {"records": [record(1), one]}
            if what == "record"
            else {what: one}
        )
        found = read(written_runs.write(tmp_path / str(at), **changes))
        assert len(page.page(found)) < LIMIT, (path, other)
        assert printed(found)


# ---- texts of others


def hostile(folder: Path, texts: Sequence[str]) -> Path:
    """A run in which everything that has a name has a hostile one."""
    first, *_ = texts
    n = min(len(texts), 25)
    column = {f"{text[:3000]}.steps.layer_2": float(at) for at, text in enumerate(texts)}
    matrix = {"confusion_matrix.validation": np.eye(n, dtype=int).tolist(), **column}
    algorithm = [
        *({"heading": text, "x": text} for text in texts),
        *({"prose": text} for text in texts),
        *({"equation": text, "latex": text, "tag": text} for text in texts),
    ]
    ones = [
        {"example": text, "cost": 1.0, "norm": 1.0, "target": text, "answer": at, "x": [text]}
        for at, text in enumerate(texts)
    ]
    named = {name: {"name": first} for name in ("data", "cost", "optimiser", "regulariser")}
    return written_runs.write(
        folder,
        records=[{**record(1), **matrix}, {**record(2), **matrix}],
        config={**written_runs.CONFIG, **named, "network": {"activation": first}, "seed": first},
        command=["bpframe", *(f"a={text}" for text in texts)],
        found={"examples": {"split": first, "cost": ones, "gradient": ones}},
        **{
            **dict.fromkeys(("error", "device", "changed", "stopped", "status"), first),
            "versions": {text: text for text in texts},
            "data": {"shape": [4, 4, 1], "task": {"names": list(texts)}},
            "algorithm": algorithm,
            "privacy": {"text": first},
        },
    )


def encodable(text: str) -> str:
    """Without what no file of JSON or YAML can hold."""
    return text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("at", range(len(HOSTILE)))
def test_nothing_of_a_text_becomes_markup(tmp_path: Path, at: int) -> None:
    text = page.page(read(hostile(tmp_path / "run", [encodable(HOSTILE[at])])))
    found = Elements(text)
    assert found.tags.count("script") == 3
    allowed = {"html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p"}
    allowed |= {"span", "dl", "dt", "dd", "code", "noscript", "main", "section", "div", "figure"}
    allowed |= {"figcaption", "label", "input", "br", "table", "thead", "tbody", "tr", "th", "td"}
    allowed |= {"details", "summary", "script", "ul", "li", "img", "math", "mrow", "mi", "mo"}
    allowed |= {"mn", "mtext", "msub", "msup", "mfrac", "mspace", "mover", "munder", "mtable"}
    assert set(found.tags) <= allowed | {"mtr", "mtd", "mstyle", "msubsup", "a"}
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert not [value for name, value in found.attributes if name in ("href", "action")]
    body = text[text.index("<body>") : text.index('<script type="application/json"')]
    assert not COMMANDS & set(body)
    assert len(text) < LIMIT


@pytest.mark.share(4)
@pytest.mark.parametrize("at", range(len(HOSTILE)))
def test_no_text_commands_the_terminal(tmp_path: Path, at: int) -> None:
    out = printed(read(hostile(tmp_path / "run", [encodable(HOSTILE[at])])), width=80)
    assert not COMMANDS & set(out)
    assert len(out) < 60_000


@pytest.mark.slow
@pytest.mark.parametrize("part", range(13))
def test_a_picture_takes_any_text(part: int) -> None:
    """Slow: draws a picture of ten panels."""
    from bpframe.runs.curves import learning_curves
    from bpframe.runs.records import EpochRecord, History

    texts = HOSTILE[part::13]
    metrics = {f"{text}.steps": 1.0 for text in texts}
    history = History.of([EpochRecord(1, 1.0, 1.0, 0.5, 0.5, 0.1, metrics)])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        for title in texts[:2]:
            assert learning_curves(history, title).startswith(b"\x89PNG\r\n")


@pytest.mark.slow
def test_a_picture_has_a_panel_a_family_a_title_and_the_best_epoch() -> None:
    """Slow: imports matplotlib."""
    from bpframe.runs.curves import curves
    from bpframe.runs.records import EpochRecord, History

    history = History.of([EpochRecord.read(record(epoch)) for epoch in range(1, 6)])
    figure = curves(history, "16-4-3 on $animals$", 4)
    assert figure.get_suptitle() == r"16-4-3 on \$animals\$"
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in panels] == [
        *("Cost, mean per example", "Accuracy: 85.00 % in the best epoch, 4"),
        *(f"{name}, over the steps" for name in ("delta norm", "saturation", "alignment")),
        "gradient norms, over the steps",
        "confusion matrix, over the validation set, last epoch",
    ]
    for axes in panels[:-1]:
        marked = [line for line in axes.lines if list(line.get_xdata()) == [4, 4]]
        assert marked, axes.get_title()
        assert any(line.get_marker() == "*" for line in axes.lines)
    assert [axes.get_yscale() for axes in panels][2:4] == ["log", "linear"]
    regression = [EpochRecord(1, 1.0, 1.0, None, None, 0.1)]
    (only,) = [axes for axes in curves(History.of(regression)).axes if axes.axison]
    assert only.get_title() == "Cost, mean per example"


# ---- the terminal


def test_the_terminal_is_80_columns_wide(written: Written) -> None:
    out = printed(written, width=200)
    assert max(map(len, out.splitlines())) <= 80
    for said in ("A 16-4-3 network", "Cost, mean per example", "training", "delta_norm", "cat"):
        assert said in out
    assert "bpframe rerun" in out


def test_the_terminal_draws_nothing_where_nothing_is(tmp_path: Path) -> None:
    found = read(written_runs.write(tmp_path / "run", records=[]))
    assert "epoch |" not in printed(found)
    records = [{"epoch": 1, "train_cost": None, "validation_cost": 0.0, "a": 0.0}]
    assert printed(read(written_runs.write(tmp_path / "other", records=records)))


def test_a_colour_is_sent_to_a_terminal_alone(written: Written) -> None:
    assert "\x1b[" in printed(written, force_terminal=True, color_system="standard")
    assert "\x1b" not in printed(written)


# ---- warnings of a run that asks for its page


def test_a_page_that_cannot_be_written_is_a_warning(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "write_whole", full)
    with pytest.warns(OutputWarning, match="report.html: not written: No space left"):
        page.wanted(run)


# ---- in the browser


class Opened:
    """A page in the browser, with what must not happen recorded: requests, errors, dialogues."""

    def __init__(self, browser: "Browser", run: Path, **context: Any) -> None:
        file = page.write(run)
        context = {"viewport": {"width": 1200, "height": 900}, **context}
        self.page: Page = browser.new_page(**context)
        self.incidents: list[str] = []
        self.page.on("console", lambda message: self.incidents.append(message.text))
        self.page.on("pageerror", lambda error: self.incidents.append(str(error)))
        self.page.on("dialog", lambda dialog: self.incidents.append(dialog.message))
        self.page.on("request", lambda request: self.note(request.url, file.as_uri()))
        self.page.route("http*://**/*", lambda route: route.abort())
        self.page.goto(file.as_uri())

    def note(self, url: str, file: str) -> None:
        if url != file and not url.startswith("data:image/png;base64,"):
            self.incidents.append(url[:200])

    def see_all(self) -> None:
        """Scroll to the end."""
        height = self.page.evaluate("document.body.scrollHeight")
        for top in range(0, height, 700):
            self.page.evaluate(f"window.scrollTo(0, {top})")
            self.page.wait_for_timeout(60)

    def drawn(self) -> int:
        """How many figures are drawn."""
        return self.page.locator(".plot .main-svg").evaluate_all(
            "found => new Set(found.map(svg => svg.closest('.plot'))).size"
        )

    def overflows(self) -> bool:
        """Whether the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth > innerWidth")


@pytest.fixture
def opened(browser: "Browser", run: Path) -> Iterator[Opened]:
    one = Opened(browser, run)
    yield one
    assert one.incidents == []
    one.page.close()


@pytest.mark.slow
def test_every_figure_is_drawn_as_it_comes_into_sight(opened: Opened) -> None:
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    opened.see_all()
    assert opened.drawn() == opened.page.locator(".plot").count() == 7
    first = "document.querySelector('.plot')"
    traces = opened.page.evaluate(f"{first}.data.map(({{x, y, mode}}) => [x, y, mode])")
    assert traces[0] == [[1, 2, 3, 4, 5], [2, 1, 0.66667, 0.5, 0.4], "lines"]
    assert traces[1] == [[4], [0.5], "markers"], "the best epoch"
    assert opened.page.evaluate(f"{first}.layout.shapes[0].x0") == 4
    assert opened.page.locator("math").count() == 2


@pytest.mark.slow
def test_a_box_makes_an_axis_logarithmic_by_keyboard(opened: Opened) -> None:
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    opened.see_all()  # plots are drawn when they come into sight
    kind = "document.querySelector('.plot').layout.yaxis.type"
    assert opened.page.evaluate(kind) == "linear"
    box = opened.page.get_by_label("logarithmic").first
    box.focus()
    opened.page.keyboard.press("Space")
    assert opened.page.evaluate(kind) == "log"
    deltas = opened.page.locator("figure", has_text="delta norm").first.get_by_label("logarithmic")
    assert deltas.is_checked()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1400])
def test_it_fits_every_width_and_scheme(
    browser: "Browser", run: Path, scheme: str, width: int
) -> None:
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    one = Opened(browser, run, viewport={"width": width, "height": 800}, color_scheme=scheme)
    one.see_all()
    assert not one.overflows()
    ink = one.page.evaluate("getComputedStyle(document.body).color")
    assert ink == ("rgb(28, 36, 48)" if scheme == "light" else "rgb(228, 232, 238)")
    assert one.incidents == []
    one.page.close()


@pytest.mark.slow
def test_printing_draws_what_was_never_seen(opened: Opened) -> None:
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.drawn() == opened.page.locator(".plot").count()
    assert len(opened.page.pdf()) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_no_script_of_a_text_runs(browser: "Browser", tmp_path: Path, part: int) -> None:
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    texts = [encodable(text) for text in HOSTILE[part::5]]
    one = Opened(browser, hostile(tmp_path / "run", texts))
    one.see_all()
    assert one.page.evaluate("typeof hacked") == "undefined"
    assert one.page.locator("main script, main iframe, header script, header img").count() == 0
    assert one.page.locator("#report-data").count() == 1
    assert not one.overflows()
    assert one.incidents == []
    one.page.close()


def many(folder: Path, epochs: int, layers: int, families: int) -> Path:
    values = np.random.default_rng(0).random(epochs) + 0.5
    names = [f"m{f}.steps.layer_{layer}" for f in range(families) for layer in range(2, 2 + layers)]
    records = [
        {"epoch": n + 1, "train_cost": 1.0, "validation_cost": 1.0}
        | dict.fromkeys(names, float(values[n]))
        for n in range(epochs)
    ]
    return written_runs.write(folder, records=records, best_epoch=epochs // 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("epochs", "layers", "families"),
    [(10_000, 4, 5), (300, 40, 25), (1, 1, 1000)],
    ids=["epochs", "columns", "families"],
)
def test_runs_of_any_size_are_drawn(
    browser: "Browser", tmp_path: Path, epochs: int, layers: int, families: int
) -> None:
    """Starts a browser, which takes seconds, and draws a large page."""
    run = many(tmp_path / "run", epochs, layers, families)
    assert len(page.page(read(run)).encode()) < LIMIT
    one = Opened(browser, run)
    one.see_all()
    one.see_all()
    assert one.drawn() == one.page.locator(".plot").count() == min(1 + families, 30)
    stars = "document.querySelector('.plot').data.filter(({mode}) => mode === 'markers').length"
    assert one.page.evaluate(stars)
    assert one.incidents == []
    one.page.close()
