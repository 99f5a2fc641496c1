"""The page and the picture of a sweep; the page also in a real browser, without a network."""
# pyright: reportPrivateUsage=false

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hostile import COMMANDS, HOSTILE
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from PIL import Image

from bpframe.pages.text import shown
from bpframe.sweeps.report import files, tables
from bpframe.sweeps.report import picture as picture_module
from bpframe.sweeps.report.effects import effects
from bpframe.sweeps.report.page import page
from bpframe.sweeps.report.picture import picture
from bpframe.sweeps.report.runs import (
    ReportRun,
    axis_scale,
    best_run,
    colour_range,
    shown_column,
    swept_settings,
)
from bpframe.sweeps.rows import Row

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OBJECTIVE = "best_validation_accuracy"
NASTY = "</script><img src=x onerror=alert(1)><!--<script>&lt;b&gt;\u2028\"' $x$ %{x}"


def run(
    num: int,
    settings: dict[str, Any],
    objective: float | None = 0.9,
    status: str = "completed",
    epochs: int = 4,
    **others: Any,
) -> ReportRun:
    top = 0.1 if objective is None else objective
    accuracy = [top * (1 - 0.5 ** (epoch + 1)) for epoch in range(epochs)]
    row = Row(
        num=num,
        folder=others.get("folder", str(num)),
        settings=settings,
        status=status,
        epochs=epochs,
        metrics={OBJECTIVE: objective, "test_cost": 0.25, "best_epoch": epochs},
        timing={"compile_s": 1.5, "train_s": 0.1 * epochs},
        error=others.get("error"),
    )
    cost: list[float | None] = [1 / (epoch + 1) for epoch in range(epochs)]
    if status == "diverged":
        cost[-1] = None
    curves = others.get("curves", {"train_cost": cost, "validation_accuracy": accuracy})
    return ReportRun(others.get("name", str(num)), row, range(1, epochs + 1), curves)


def grid(etas: int = 4, seeds: int = 3, epochs: int = 4) -> list[ReportRun]:
    """Runs over eta, activation and seed: the first failed, and those of the last eta diverged."""
    runs = []
    for eta in np.logspace(-2, 1, etas).tolist():
        for activation in ("sigmoid", "tanh"):
            for seed in range(seeds):
                settings = {"optimiser.eta": eta, "network.activation": activation, "seed": seed}
                value = 0.95 - 0.02 * math.log10(eta) ** 2 + 0.001 * seed
                status = "diverged" if eta > 9 else "completed"
                runs.append(run(len(runs), settings, value, status, epochs))
    error = "MemoryError: out of memory"
    runs[0] = run(0, dict(runs[0].row.settings), None, "failed", 0, error=error)
    return runs


NASTY_RUNS = [
    run(0, {f"a.{NASTY}": NASTY, "eta": 0.1}, name=NASTY, folder=f"0,{NASTY}"),
    run(1, {f"a.{NASTY}": "b", "eta": 0.2}, 0.8, "failed", error=NASTY),
]
ODD: dict[str, list[ReportRun]] = {
    "grid": grid(),
    "no run": [],
    "one run": [run(0, {"eta": 0.1})],
    "one run of one epoch, without settings": [run(0, {}, epochs=1)],
    "no curves": [run(i, {"eta": 0.1 + i}, curves={}) for i in range(3)],
    "none completed": [run(i, {"eta": 10.0 + i}, None, "diverged") for i in range(3)],
    "no metrics": [run(i, {"eta": 0.1}, None, curves={"train_cost": [None] * 4}) for i in range(2)],
    "values of all kinds": [
        run(i, {"a": value, "b": [30, i], "c": {"name": "x", "slope": i}})
        for i, value in enumerate([None, True, False, 1, 0.5, "text", [1, 2], {"b": 1}, ""])
    ],
    "two sweeps": [
        *(run(i, {"eta": 0.1 * i, "seed": 0}, name=f"A/{i}", folder=f"../A/{i}") for i in range(3)),
        *(run(i, {"lmbda": 10.0**i}, name=f"B/{i}", folder=f"../B/{i}") for i in range(3)),
    ],
    "infinite setting": [run(i, {"clip": value}) for i, value in enumerate([1.0, math.inf])],
    "nasty": NASTY_RUNS,
}


class Elements(HTMLParser):
    """The tags, the attributes and the texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


SHOWN = shown(NASTY)


def test_nothing_of_a_value_becomes_markup():
    found = Elements(page(NASTY, NASTY_RUNS, OBJECTIVE, "maximise"))
    assert found.tags.count("script") == 3
    assert "img" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    for place in ("title", "h1", "name", "setting", "error"):
        assert found.texts.count(SHOWN) >= 5, place
    (data,) = [text for text in found.texts if text.startswith('{"objective"')]
    assert not set("<>&\u2028") & set(data)
    assert json.loads(data)["columns"][0]["values"] == [SHOWN, "1"]


def test_links_are_relative_and_quoted():
    found = Elements(page("t", [run(0, {}, folder="a b/eta=1?#%")], OBJECTIVE, "maximise"))
    links = [value for name, value in found.attributes if name == "href"]
    assert links == ["a%20b/eta%3D1%3F%23%25/"] * 2


def test_a_link_says_whether_it_leads_to_a_page():
    runs = [run(0, {}), dataclasses.replace(run(1, {}), has_page=True)]
    found = Elements(page("t", runs, OBJECTIVE, "maximise"))
    links = [
        value
        for name, value in found.attributes
        if name in ("href", "class") and value in ("0/", "1/report.html", "folder", "page")
    ]
    assert links[-4:] == ["0/", "folder", "1/report.html", "page"]


def test_the_page_names_no_file_and_forbids_the_network():
    found = Elements(page("t", grid(), OBJECTIVE, "maximise"))
    assert not {"link", "iframe", "object", "img"} & set(found.tags)
    assert not [value for name, value in found.attributes if name == "src"]
    (policy,) = [value for name, value in found.attributes if value and "default-src" in value]
    assert policy.startswith("default-src 'none';")


def test_the_page_of_a_small_sweep_is_small():
    assert len(page("t", grid(), OBJECTIVE, "maximise").encode()) < 1_500_000


def test_the_table_is_complete_without_javascript():
    runs = grid()
    found = Elements(page("t", runs, OBJECTIVE, "maximise"))
    assert found.tags.count("tr") == 1 + len(runs)
    assert "MemoryError: out of memory" in found.texts
    assert {"1 failed", "6 diverged", "17 completed"} <= set(found.texts)


def test_a_number_that_is_not_finite_is_refused():
    runs = [run(0, {}, curves={"train_cost": [math.nan]})]
    with pytest.raises(ValueError, match="JSON"):
        page("t", runs, OBJECTIVE, "maximise")


@pytest.mark.parametrize(
    ("numbers", "scale"),
    [
        ([], "linear"),
        ([3], "linear"),
        ([0.1, 0.2, 0.3], "linear"),
        ([0.01, 0.1, 1], "log"),
        ([0, 0.01, 1, 100], "category"),
        ([-1, 0, 1], "linear"),
        (list(range(200)), "linear"),
    ],
)
def test_axis_scale(numbers: list[float], scale: str):
    assert axis_scale(numbers) == scale


def test_colours_leave_out_an_outlier_only():
    values = [0.9 + 0.001 * i for i in range(20)]
    assert colour_range([*values, -1e30]) == (values[0], values[-1])
    assert colour_range(values) == (values[0], values[-1])
    assert colour_range([0.5, 1e9]) == (0.5, 1e9)


def test_settings_keep_their_kinds_apart():
    runs = [run(i, {"a.x": value}) for i, value in enumerate([1, True, "1", 1.0])]
    (setting,) = swept_settings(runs)
    assert setting.numbers is None
    assert setting.texts == ("1", "true")
    (setting,) = swept_settings([run(i, {"a.x": value}) for i, value in enumerate([10, 2.5, 10.0])])
    assert (setting.label, setting.texts, setting.places) == ("x", ("2.5", "10"), (1, 0, 1))


def test_the_best_run_is_completed_and_the_first_of_equals():
    runs = [run(0, {}, 0.5), run(1, {}, 0.9), run(2, {}, 0.9), run(3, {}, 0.99, "diverged")]
    assert best_run(runs, OBJECTIVE, "maximise") == (runs[1], 0.9)
    assert best_run(runs, OBJECTIVE, "minimise") == (runs[0], 0.5)
    assert best_run(ODD["none completed"], OBJECTIVE, "maximise") is None


def test_the_curve_of_the_objective_is_shown_first():
    runs = grid()
    assert shown_column("best_validation_accuracy", runs) == "validation_accuracy"
    assert shown_column("test_accuracy", runs) == "validation_accuracy"
    assert shown_column("train_cost", runs) == "train_cost"
    assert shown_column("unknown", ODD["no curves"]) == ""


def expected_effects(key: str, runs: Sequence[ReportRun]) -> dict[Any, tuple[float, float]]:
    """Mean and deviation for each value of eta or the activation, over the means of the seeds."""
    other = {"optimiser.eta": "network.activation", "network.activation": "optimiser.eta"}[key]
    found = {}
    completed = [each for each in runs if each.row.status == "completed"]
    for value in dict.fromkeys(each.row.settings[key] for each in completed):
        these = [each for each in completed if each.row.settings[key] == value]
        means = [
            np.mean([e.value(OBJECTIVE) or 0.0 for e in these if e.row.settings[other] == group])
            for group in dict.fromkeys(each.row.settings[other] for each in these)
        ]
        found[value] = (float(np.mean(means)), float(np.std(means, ddof=1)))
    return found


@pytest.mark.parametrize("key", ["optimiser.eta", "network.activation"])
def test_effects_average_the_seeds_first(key: str):
    runs = grid()
    settings = swept_settings(runs)
    (setting,) = [each for each in settings if each.key == key]
    found = effects(setting, settings, runs, OBJECTIVE)
    assert found.over == "combinations"
    wanted = expected_effects(key, runs)
    values = setting.numbers or setting.texts
    assert [values[each.place] for each in found.points] == list(wanted)
    np.testing.assert_allclose(
        [each.mean for each in found.points], [m for m, _ in wanted.values()]
    )
    deviations = np.array([each.deviation for each in found.points], dtype=float)
    np.testing.assert_allclose(deviations, [d for _, d in wanted.values()], atol=1e-15)


def test_without_another_setting_the_deviation_is_over_the_seeds():
    runs = [run(i, {"eta": i % 2, "seed": i // 2}, 0.1 * i) for i in range(6)]
    settings = swept_settings(runs)
    found = effects(settings[0], settings, runs, OBJECTIVE)
    assert found.over == "seeds"
    deviations = [each.deviation for each in found.points]
    np.testing.assert_allclose(np.array(deviations, dtype=float), np.std([0, 0.2, 0.4], ddof=1))


@pytest.mark.share(3)
@pytest.mark.parametrize("case", ODD)
def test_the_picture_is_a_png(case: str):
    png = picture(f"{case} $", ODD[case], OBJECTIVE, "minimise")
    assert png.startswith(b"\x89PNG\r\n")


class Opened:
    """A report in the browser, with what must not happen recorded: requests, errors, dialogues."""

    def __init__(self, browser: "Browser", folder: Path, runs: Sequence[ReportRun]) -> None:
        file = folder / "report.html"
        file.write_text(page(NASTY, runs, OBJECTIVE, "maximise"), encoding="utf-8")
        self.page: Page = browser.new_page(viewport={"width": 1200, "height": 900})
        self.incidents: list[str] = []
        self.page.on("console", lambda message: self.incidents.append(message.text))
        self.page.on("pageerror", lambda error: self.incidents.append(str(error)))
        self.page.on("dialog", lambda dialog: self.incidents.append(dialog.message))
        self.page.on("request", lambda request: self.note_request(request.url, file.as_uri()))
        self.page.route("http*://**/*", lambda route: route.abort())
        self.page.goto(file.as_uri())

    def note_request(self, url: str, file: str) -> None:
        if url != file:
            self.incidents.append(url)

    def rows(self) -> list[str]:
        """The names of the runs that the table shows, in its order."""
        return self.page.locator("#runs tbody tr:not([hidden]) th").all_inner_texts()

    def drawn(self, plot: str) -> set[int]:
        """The runs that a plot draws, the highlight aside."""
        script = """id => document.getElementById(id).data.slice(0, -1).flatMap(
            trace => trace.customdata.filter((_, i) => trace.y[i] !== null))"""
        return set(self.page.evaluate(script, plot))

    def filter(self, text: str) -> str:
        self.page.fill("#filter", text)
        self.page.wait_for_timeout(400)
        return self.page.inner_text("#count")


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Iterator[Opened]:
    report = Opened(browser, tmp_path, grid())
    yield report
    assert report.incidents == []
    report.page.close()


@pytest.fixture(scope="module")
def shared(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A page for the tests that leave nothing behind but a filter, which the next one replaces."""
    report = Opened(browser, tmp_path_factory.mktemp("report"), grid())
    yield report
    assert report.incidents == []
    report.page.close()


@pytest.mark.slow
@pytest.mark.parametrize("case", ODD)
def test_every_run_is_shown(browser: "Browser", tmp_path: Path, case: str):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    report, runs = Opened(browser, tmp_path, ODD[case]), ODD[case]
    assert len(report.rows()) == len(runs)
    column = shown_column(OBJECTIVE, runs)
    with_values = [
        index
        for index, each in enumerate(runs)
        if any(value is not None for value in each.curves.get(column, ()))
    ]
    assert report.drawn("curves") == set(with_values)
    assert report.drawn("parallel") == set(range(len(runs)))
    assert report.page.locator("img, #runs script").count() == 0
    assert report.page.locator("h1").text_content() == SHOWN
    for number in range(report.page.locator("#column option").count()):
        report.page.select_option("#column", index=number)
    assert report.incidents == []
    report.page.close()


@pytest.mark.slow
def test_a_heading_sorts(opened: Opened):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    original = opened.rows()
    heading = opened.page.locator("#runs thead th", has_text="eta").first
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert opened.rows() == original
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert opened.rows() == sorted(original, key=lambda name: -(int(name) // 6))
    opened.page.locator("#runs thead button", has_text="best validation").click()
    assert heading.get_attribute("aria-sort") is None
    assert opened.rows()[-1] == "0", "a run without a value is last"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "most_first"), [(OBJECTIVE, True), ("test_cost", False), ("train_s", False)]
)
def test_the_first_click_puts_the_best_first(
    browser: "Browser", tmp_path: Path, column: str, most_first: bool
):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    runs = [run(i, {"eta": 0.1}, value, epochs=1 + i) for i, value in enumerate([0.5, 0.9, 0.7])]
    for each, cost in zip(runs, (3.0, 1.0, 2.0), strict=True):
        cast(dict[str, Any], each.row.metrics)["test_cost"] = cost
    report = Opened(browser, tmp_path, runs)
    values = {**dict(runs[0].row.metrics), **runs[0].row.timing}
    assert column in values
    found = [({**each.row.metrics, **each.row.timing}[column] or 0.0) for each in runs]
    heading = report.page.locator(f"#runs thead th[title='{column}']")
    for reverse in (most_first, not most_first):
        heading.locator("button").click()
        order = sorted(range(3), key=found.__getitem__, reverse=reverse)
        assert report.rows() == [str(index) for index in order]
    assert report.incidents == []
    report.page.close()


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", "optimiser.eta", "network.activation", "seed"])
def test_runs_are_coloured_by_any_setting(opened: Opened, key: str):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    opened.page.select_option("#colour", key)
    script = """() => document.getElementById("curves").data.slice(0, -2).flatMap(
        ({line, customdata}) => [...new Set(customdata)].map((run) => [run, line.color]))"""
    colours = dict(opened.page.evaluate(script))
    legend = opened.page.locator(".legend").first.inner_text()
    settings = {each.row.num: each.row.settings for each in grid()}
    if not key:
        assert "best validation accuracy, worst to best:" in legend
        return
    by_value: dict[Any, set[str]] = {}
    for index, colour in colours.items():
        by_value.setdefault(settings[index][key], set()).add(colour)
    assert all(len(found) == 1 for found in by_value.values())
    assert len({*map(str, by_value.values())}) == len(by_value)
    assert legend.startswith(f"{key.rpartition('.')[2]}:")
    for value in by_value:
        assert f"{value:g}" if isinstance(value, float) else str(value) in legend
        if isinstance(value, float):
            assert f"{value:.6g}" in legend


@pytest.mark.slow
def test_groups_of_seeds_are_a_mean_and_a_range(opened: Opened):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    opened.page.locator("#seeds").check()
    script = """() => document.getElementById("curves").data.slice(0, -1).map(
        ({y, fill, customdata}) => [y, fill ?? "", customdata?.[0] ?? null])"""
    traces = opened.page.evaluate(script)
    runs, found = grid(), 0
    for place, (mean, _, first) in enumerate(traces):
        if first is None:
            continue
        left = dict(runs[first].row.settings) | {"seed": None}
        group = [
            list(each.curves["validation_accuracy"])
            for each in runs
            if dict(each.row.settings) | {"seed": None} == left and each.row.status == "completed"
        ]
        np.testing.assert_allclose(mean, np.mean(np.array(group, float), axis=0))
        low, high = traces[place - 2][0], traces[place - 1][0]
        np.testing.assert_allclose(low, np.min(np.array(group, float), axis=0))
        np.testing.assert_allclose(high, np.max(np.array(group, float), axis=0))
        assert traces[place - 1][1] == "tonexty"
        found += 1
    assert found == 6, "of four values of eta the last one diverged, with two activations each"


@pytest.mark.slow
def test_two_settings_are_a_table_of_means(opened: Opened):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    opened.page.select_option("#across", "network.activation")
    opened.page.select_option("#down", "optimiser.eta")
    script = """() => [...document.querySelectorAll("#pairs tr")].map(
        ({cells}) => [...cells].map((cell) => cell.textContent))"""
    cells = opened.page.evaluate(script)
    assert cells[0][1:] == ["sigmoid", "tanh"]
    runs = [each for each in grid() if each.row.status == "completed"]
    etas = sorted({each.row.settings["optimiser.eta"] for each in grid()}, reverse=True)
    for eta, (name, *found) in zip(etas, cells[1:], strict=True):
        assert name == f"{eta:.6g}"
        for activation, text in zip(("sigmoid", "tanh"), found, strict=True):
            wanted = {"optimiser.eta": eta, "network.activation": activation}
            values = [
                each.value(OBJECTIVE) or 0.0
                for each in runs
                if {key: each.row.settings[key] for key in wanted} == wanted
            ]
            assert text == (f"{np.mean(values):.4g}" if values else "–")


@pytest.mark.slow
def test_no_error_bar_leaves_what_is_possible(browser: "Browser", tmp_path: Path):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    values = {0.1: [0.98, 0.5, 1.0], 1.0: [0.02, 0.0, 0.6]}
    runs = [
        run(3 * at + seed, {"eta": eta, "seed": seed}, value)
        for at, (eta, group) in enumerate(values.items())
        for seed, value in enumerate(group)
    ]
    report = Opened(browser, tmp_path, runs)
    script = """() => { const {y, error_y} = document.querySelector("#effects .plot").data[0];
        return y.map((mean, i) => [mean - error_y.arrayminus[i], mean + error_y.array[i]]); }"""
    for (low, high), group in zip(report.page.evaluate(script), values.values(), strict=True):
        mean, deviation = np.mean(group), np.std(group, ddof=1)
        np.testing.assert_allclose([low, high], np.clip([mean - deviation, mean + deviation], 0, 1))
    assert report.incidents == []
    report.page.close()
    (axes,) = [
        axes
        for axes in picture_module.results("t", runs, OBJECTIVE, "maximise").findobj(Axes)
        if axes.get_xlabel() == "eta"
    ]
    (bars,) = axes.containers
    ends = np.concatenate(list(bars[2][0].get_segments()))[:, 1]
    assert ends.min() == 0.0
    assert ends.max() == 1.0


def legends(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.findobj(Legend) for text in legend.get_texts()]


def test_the_picture_names_each_value() -> None:
    figure = picture_module.results("t", grid(), OBJECTIVE, "maximise")
    assert legends(figure) == [
        *(f"eta = {eta:.6g}" for eta in np.logspace(-2, 1, 4)),
        "activation = sigmoid",
        "activation = tanh",
    ]
    (lines,) = figure.axes[0].findobj(LineCollection)
    colours = {tuple(colour) for colour in np.asarray(lines.get_colors())}
    assert len(colours) == 4


@pytest.mark.share(3)
@pytest.mark.parametrize("case", [*ODD, "long names", "hostile"])
def test_nothing_is_cut_off_at_the_edge_of_the_picture(case: str) -> None:
    runs, title = ODD.get(case, []), "t"
    if case == "long names":
        title = "sweeps/" + "very_long_name " * 30
        texts = ["a_very_long_name_of_a_component", "another_very_long_name_of_one"]
        runs = [run(i, {"a.very_long_key_of_a_setting": text}) for i, text in enumerate(texts)]
    if case == "hostile":
        runs = [run(i, {f"key{i % 7}": text}) for i, text in enumerate(HOSTILE)]
    pixels = np.asarray(Image.open(io.BytesIO(picture(title, runs, OBJECTIVE, "minimise"))))
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 255).all()


@pytest.mark.slow
def test_hostile_texts_do_nothing(browser: "Browser", tmp_path: Path) -> None:
    """Starts a browser, which takes seconds, and loads a page with a hundred hostile texts."""
    runs = [
        run(i, {f"key{i % 5}{text[:200]}": text, "eta": 0.1 * i}, name=text, error=text)
        for i, text in enumerate(HOSTILE)
    ]
    report = Opened(browser, tmp_path, runs)
    for select in ("#colour", "#column", "#across", "#down"):
        options = report.page.locator(f"{select} option").count()
        if options > 1:
            report.page.select_option(select, index=options - 1)
    report.page.locator("#runs tbody tr td").first.click()
    assert report.page.evaluate("window.hacked") is None
    text = report.page.inner_text("body")
    assert not COMMANDS & set(text) - {"\t"}
    assert report.incidents == []
    report.page.close()


@pytest.mark.slow
def test_ten_thousand_runs(browser: "Browser", tmp_path: Path):
    """Draws 10,000 runs, of which the table and the plots have a part each."""
    runs = grid(etas=50, seeds=100, epochs=2)
    assert len(runs) == 10_000
    report = Opened(browser, tmp_path, runs)
    assert report.page.evaluate("performance.now()") < 15_000
    assert report.page.locator("#runs tbody tr").count() == 1000
    assert len(report.drawn("parallel")) <= 1000
    assert "1000 of 10000 runs" in report.page.locator(".drawn-note").first.inner_text()
    assert report.filter("seed=7 activation=tanh").startswith("50 of 10000 runs shown")
    assert len(report.rows()) == 50
    assert report.page.locator(".drawn-note").first.is_hidden()
    report.filter("run=9999")
    assert report.rows() == ["9999"], "a row that the page did not have"
    link = report.page.locator("#runs tbody a").get_attribute("href")
    assert link == runs[9999].link
    assert report.incidents == []
    report.page.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", range(24)),
        ("TANH", [i for i in range(24) if i % 6 >= 3]),
        ("eta<=0.01", range(6)),
        ("eta=0.1 seed!=1", [6, 8, 9, 11]),
        ("optimiser.eta>0.01 seed=2", [8, 11, 14, 17, 20, 23]),
        ("status=failed", [0]),
        ("status!=completed activation=sigmoid", [0, 18, 19, 20]),
        ('"out of memory"', [0]),
        ("best_validation_accuracy>2", []),
        ("nosuch=1", []),
        ('"best validation accuracy" > 2', []),
        ('"best_validation_accuracy">=0.95 seed=0', [12, 15]),
        ('"optimiser.eta" <= 0.01 "activation" = "tanh"', [3, 4, 5]),
    ],
)
def test_the_filter_applies_to_table_and_plots(shared: Opened, text: str, shown: Sequence[int]):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    count = shared.filter(text)
    assert count.startswith(f"{len(shown)} of 24 runs shown")
    assert ("no column is called “nosuch”" in count) == ("nosuch" in text)
    assert shared.rows() == [str(index) for index in shown]
    assert shared.drawn("curves") == set(shown) - {0}
    assert shared.drawn("parallel") == set(shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('"test cost', "a quote is not closed"),
        ("eta>", "“eta >” needs a value"),
        ("> 3", "“> 3” has no column before its sign"),
        ("eta=high", "“eta” holds numbers, and “high” is none"),
        ('"test of cost"=1', "no column is called “test of cost”"),
    ],
)
def test_a_filter_that_cannot_be_read_is_told(shared: Opened, text: str, problem: str):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    assert shared.filter(text) == f"0 of 24 runs shown: {problem}"
    assert shared.filter("seed=1").startswith("8 of 24")


@pytest.mark.slow
def test_a_run_is_chosen_in_the_table_and_in_a_plot(opened: Opened):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    highlight = "document.getElementById('{}').data.at(-1)"
    opened.page.locator("#runs tbody tr").nth(4).locator("td").nth(1).click()
    assert opened.page.locator("tr[aria-current]").get_attribute("data-run") == "4"
    chosen = opened.page.evaluate(highlight.format("curves"))
    assert chosen["y"] == list(grid()[4].curves["validation_accuracy"])
    assert len(opened.page.evaluate(highlight.format("parallel"))["y"]) == 4
    opened.page.locator(".scroller").press("ArrowDown")
    assert opened.page.locator("tr[aria-current]").get_attribute("data-run") == "5"
    opened.filter("run=7")
    assert opened.page.evaluate(highlight.format("curves"))["y"] == []
    opened.page.evaluate(
        "document.getElementById('curves').emit('plotly_click', {points: [{customdata: 7}]})"
    )
    assert opened.page.locator("tr[aria-current]").get_attribute("data-run") == "7"
    opened.page.locator(".scroller").press("Escape")
    assert opened.page.locator("tr[aria-current]").count() == 0


@pytest.mark.slow
def test_the_page_and_the_picture_find_the_same_effects(opened: Opened):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    script = """[...document.querySelectorAll("#effects .plot")].map(
        ({data: [trace]}) => [trace.y, trace.error_y.array])"""
    found = opened.page.evaluate(script)
    for key, (means, deviations) in zip(
        ["optimiser.eta", "network.activation"], found, strict=True
    ):
        wanted = list(expected_effects(key, grid()).values())
        np.testing.assert_allclose(means, [mean for mean, _ in wanted])
        np.testing.assert_allclose(deviations, [each for _, each in wanted], atol=1e-15)


@pytest.mark.slow
def test_hovering_names_the_run(browser: "Browser", tmp_path: Path):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    report = Opened(browser, tmp_path, NASTY_RUNS[:1])
    report.page.locator("#curves").scroll_into_view_if_needed()
    script = """() => { const plot = document.getElementById("curves");
        const {left, top} = plot.getBoundingClientRect(); const {xaxis, yaxis} = plot._fullLayout;
        const {x, y} = plot.data[0];
        return [left + xaxis._offset + xaxis.d2p(x[2]), top + yaxis._offset + yaxis.d2p(y[2])]; }"""
    report.page.mouse.move(*report.page.evaluate(script))
    label = report.page.locator("#curves .hoverlayer .hovertext").text_content(timeout=5000)
    assert label is not None
    assert "<img src=x onerror=alert(1)>" in label
    assert "epoch 3" in label
    assert report.page.locator("img").count() == 0
    assert report.incidents == []
    report.page.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window(opened: Opened, width: int, scheme: Any):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    opened.page.set_viewport_size({"width": width, "height": 900})
    opened.page.emulate_media(color_scheme=scheme)
    opened.page.wait_for_timeout(500)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    ink = opened.page.evaluate("document.getElementById('curves').layout.font.color")
    assert ink == {"light": "#1c2430", "dark": "#e4e8ee"}[scheme]


@pytest.mark.slow
def test_a_thousand_runs(browser: "Browser", tmp_path: Path):
    """Draws 1,000 runs; loading them takes four seconds, or many times that with a trace a run."""
    runs = grid(etas=20, seeds=25, epochs=5)
    assert len(runs) == 1000
    report = Opened(browser, tmp_path, runs)
    assert len(report.drawn("curves")) == 999
    assert len(report.drawn("parallel")) == 1000
    assert report.page.evaluate("document.getElementById('curves').data.length") <= 2 * 13 + 2
    assert report.page.evaluate("performance.now()") < 15_000
    assert report.incidents == []
    report.page.close()


@pytest.mark.slow
def test_the_page_draws_curves_at_their_epochs(browser: "Browser", tmp_path: Path):
    """Starts a browser, which takes seconds, and loads a page of 1.2 MB."""
    curves = {"train_cost": [3.0, 2.0, 1.0], "norm.steps": [None, 5.0, 4.0]}
    sparse = [dataclasses.replace(run(0, {}, curves=curves), epochs=[0, 2, 4])]
    report = Opened(browser, tmp_path, sparse)
    for column, points in (
        ("train_cost", [[0, 3], [2, 2], [4, 1]]),
        ("norm.steps", [[2, 5], [4, 4]]),
    ):
        report.page.select_option("#column", column)
        script = """() => { const {x, y} = document.getElementById("curves").data[0];
            return x.map((at, i) => [at, y[i]]).filter(([, value]) => value !== null); }"""
        assert report.page.evaluate(script) == points
    assert report.incidents == []
    report.page.close()


def test_curves_stand_at_the_epochs_of_their_records(tmp_path: Path) -> None:
    """Epochs 0, 2 and 4; over the steps there is nothing in epoch 0."""
    lines = [
        {"epoch": 0, "train_cost": 3.0, "matrix": [[1]], "seconds": 0.1},
        {"epoch": 2, "train_cost": 2.0, "matrix": [[1]], "norm.steps": 5.0, "seconds": 0.1},
        {"epoch": 4, "train_cost": 1.0, "matrix": [[1]], "norm.steps": None, "seconds": 0.1},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    epochs, curves = files._curves(tmp_path)
    assert epochs == [0, 2, 4]
    assert curves == {"train_cost": [3.0, 2.0, 1.0], "norm.steps": [None, 5.0, None]}
    assert picture_module._pieces(epochs, curves["train_cost"]) == [[(0, 3.0), (2, 2.0), (4, 1.0)]]
    assert picture_module._pieces(epochs, curves["norm.steps"]) == [[(2, 5.0)]]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+x", "@SUM(A1)", "\t=1", " =1", "\r=1"])
def test_no_cell_is_a_formula(text: str):
    rows = [dataclasses.replace(run(0, {"a": text, "b": -1.5}).row, error=text)]
    shown = f"'{text}".replace("\r", " ")
    (cells,) = list(csv.DictReader(io.StringIO(tables._csv(rows), newline="")))
    assert (cells["a"], cells["b"], cells["error"]) == (shown, "-1.5", shown)
