"""The network while it learns, in a real browser: what is shown, and how one goes through it."""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import written_runs
from hostile import HOSTILE
from PIL import Image
from test_run_page import Opened, encodable

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow  # starts a browser, which takes seconds, and loads a page of 1.3 MB

STAGES = ["forward"] * 3 + ["bp1", "bp2", "gradient", "change"]
"""What follows one another in a network of three layers."""


class View(Opened):
    """The page of a run with a recording, and what its view shows."""

    @property
    def stage(self) -> str | None:
        """What is said to go on."""
        now = self.page.locator("#network li.now")
        return now.get_attribute("data-stage") if now.count() else None

    @property
    def time(self) -> int:
        """Which of the times is shown."""
        return int(self.page.locator("#network input[type=range]").input_value())

    @property
    def said(self) -> str:
        return self.page.locator("#network .said").inner_text()

    def press(self, key: str) -> None:
        """Press a key on the view."""
        self.page.locator("#network").focus()
        self.page.keyboard.press(key)

    def slide(self, time: int) -> None:
        """Move the slider."""
        self.page.locator("#network input[type=range]").fill(str(time))

    def numbers(self) -> dict[tuple[int, int], tuple[float, float]]:
        """Activation and delta by layer and neuron, as the table has them."""
        rows = self.page.locator("#network tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )
        return {
            (int(layer), int(neuron.split()[0])): (float(a), float(d or "nan"))
            for layer, neuron, a, d in rows
        }

    def lines(self, what: str) -> list[Any]:
        """A value of each line between neurons, those of a layer after those of the one before."""
        return self.page.locator("#network .edge:not([y1='0'])").evaluate_all(
            f"lines => lines.map(line => {what})"
        )

    def activations(self) -> list[float]:
        """How deep each neuron is."""
        return self.page.locator("#network .activation").evaluate_all(
            "found => found.map(one => Number(one.getAttribute('fill-opacity')))"
        )

    def discs(self) -> list[tuple[str, float]]:
        """The class and the radius of each delta."""
        found = self.page.locator("#network .delta").evaluate_all(
            "found => found.map(one => [one.getAttribute('class'), Number(one.getAttribute('r'))])"
        )
        return [(name.removeprefix("delta "), radius) for name, radius in found]

    def pictures(self, which: str) -> list[np.ndarray]:
        """(rows, columns, 4) of images in the drawing; the last are red, green, blue, opacity."""
        urls = self.page.locator(f"#network {which}").evaluate_all(
            "found => found.map(one => one.getAttribute('href'))"
        )
        contents = [b64decode(url.partition(",")[2]) for url in urls]
        return [np.asarray(Image.open(io.BytesIO(content)), float) for content in contents]

    def choose(self, what: str, option: str) -> None:
        """Choose an option of what is labelled so."""
        label = self.page.locator("#network label").filter(has_text=what)
        label.locator("select").select_option(option)

    def open_numbers(self) -> None:
        self.page.locator("#network summary").click()


def until(is_so: Callable[[], bool]) -> None:
    """Wait, ten seconds at most; the policy of the page forbids what Playwright waits with."""
    last = monotonic() + 10
    while not is_so():
        assert monotonic() < last
        sleep(0.02)


def written(folder: Path, times: int = 6, **changes: Any) -> Path:
    return written_runs.write(folder, recording=written_runs.recorded(times), **changes)


@pytest.fixture
def view(browser: Browser, tmp_path: Path) -> Iterator[View]:
    one = View(browser, written(tmp_path / "run"))
    yield one
    assert one.incidents == []
    one.page.close()


def test_the_numbers_of_every_time_and_example_are_those_of_the_recording(view: View) -> None:
    arrays = written_runs.network_arrays()
    view.open_numbers()
    for time, example in ((0, 0), (3, 0), (3, 4), (5, 2)):
        view.slide(time)
        view.choose("example", f"validation {example}")
        found = view.numbers()
        assert set(found) == {*((2, n) for n in range(4)), *((3, n) for n in range(3))}
        for (layer, neuron), (a, d) in found.items():
            at = time, example, neuron
            assert a == pytest.approx(arrays[f"activations/layer_{layer}"][at], rel=6e-3)
            assert d == pytest.approx(arrays[f"deltas/layer_{layer}"][at], rel=6e-3, abs=1e-8)
        assert f"epoch {time}, step {10 * time}" in view.page.locator("#network").inner_text()


def test_sizes_and_signs_are_those_of_the_numbers(view: View) -> None:
    arrays = written_runs.network_arrays()
    view.slide(2)
    deltas = np.concatenate([arrays[f"deltas/layer_{n}"][2, 0] for n in (2, 3)])
    largest = max(np.abs(arrays[f"deltas/layer_{n}"][:, 0]).max() for n in (2, 3))
    discs = view.discs()
    assert [name for name, _ in discs] == ["negative" if d < 0 else "positive" for d in deltas]
    areas = np.square([radius for _, radius in discs])
    expected = np.abs(deltas) / largest
    np.testing.assert_allclose(areas / areas.max(), expected / expected.max(), rtol=5e-3)
    depths = np.abs(arrays["activations/layer_2"][2, 0])
    depths /= np.abs(arrays["activations/layer_2"][:, 0]).max()
    np.testing.assert_allclose(view.activations()[:4], depths, rtol=2e-3)
    weights = arrays["weights/layer_3.w"]
    widths = np.array(view.lines("Number(line.getAttribute('stroke-width'))"), float)[-12:]
    share = np.abs(weights[2]).ravel() / np.abs(weights).max()
    np.testing.assert_allclose(widths, 0.3 + 3 * share, atol=0.02)
    signs = view.lines("line.getAttribute('class')")[-12:]
    assert signs == [f"edge {'negative' if w < 0 else 'positive'}" for w in weights[2].ravel()]


def test_pictures_are_the_weights_from_an_image_and_the_image(view: View) -> None:
    view.slide(2)
    arrays = written_runs.network_arrays()
    (shown,) = view.pictures("svg > image")
    image = arrays["activations/layer_1"][0, 0].reshape(4, 4)
    expected = 255 * (image - image.min()) / np.ptp(image)
    np.testing.assert_allclose(shown[..., 3], expected, atol=2)
    weights = arrays["weights/layer_2.w"]
    for picture, w in zip(view.pictures(".edges image"), weights[2], strict=True):
        strength = 255 * np.sqrt(np.abs(w) / np.abs(weights).max()).reshape(4, 4)
        np.testing.assert_allclose(picture[..., 3], strength, atol=2)
        is_orange = picture[..., 0] > picture[..., 2]
        assert (is_orange == (w > 0).reshape(4, 4))[strength > 10].all()


def test_within_a_time_it_goes_forward_then_backward_then_to_the_change(view: View) -> None:
    assert view.stage is None
    arrays = written_runs.network_arrays()
    seen = []
    for _ in STAGES:
        view.press("ArrowRight")
        seen.append(view.stage)
        lit = [depth > 0 for depth in view.activations()]
        back = [radius > 0 for _, radius in view.discs()]
        if view.stage == "forward":
            assert not any(back)
            assert lit == [len(seen) > 1] * 4 + [len(seen) > 2] * 3
        elif view.stage == "bp1":
            assert back == [False] * 4 + [True] * 3
        else:
            assert all(lit + back)
    assert seen == STAGES
    change = np.diff(arrays["weights/layer_3.w"], axis=0)[0].ravel()
    signs = [c.removeprefix("edge ") for c in view.lines("line.getAttribute('class')")[-12:]]
    assert signs == ["negative" if value < 0 else "positive" for value in change]
    largest = max(np.abs(np.diff(arrays[f"weights/layer_{n}.w"], axis=0)[0]).max() for n in (2, 3))
    assert float(view.said.rsplit(" ", 1)[1].rstrip(".")) == pytest.approx(largest, rel=6e-3)
    assert view.time == 0
    view.press("ArrowRight")
    assert (view.time, view.stage) == (1, "forward")
    view.press("ArrowLeft")
    assert (view.time, view.stage) == (0, "change")
    for expected in [*reversed(STAGES[:-1]), STAGES[0]]:
        view.press("ArrowLeft")
        assert (view.time, view.stage) == (0, expected), "the start has nothing before it"


def test_the_gradient_is_the_product_of_deltas_and_activations(view: View) -> None:
    for _ in range(6):
        view.press("ArrowRight")
    assert view.stage == "gradient"
    arrays = written_runs.network_arrays()
    product = np.outer(arrays["deltas/layer_3"][0, 0], arrays["activations/layer_2"][0, 0])
    widths = np.array(view.lines("Number(line.getAttribute('stroke-width'))"), float)[-12:]
    share = np.abs(product).ravel() / np.abs(product).max()
    np.testing.assert_allclose(widths, 0.3 + 3 * share, atol=0.02)


def test_space_plays_and_pauses_and_the_end_is_the_end(view: View) -> None:
    play = view.page.locator("#network button.play")
    view.choose("play", "time by time")
    view.press("Space")
    assert play.inner_text() == "Pause"
    until(lambda: view.time > 1)
    view.press("Space")
    assert play.inner_text() == "Play"
    paused = view.time
    view.page.wait_for_timeout(500)
    assert view.time == paused
    view.press("Space")
    until(lambda: play.inner_text() == "Play")
    assert view.time == 5
    play.click()
    assert (view.time, play.inner_text()) == (0, "Pause"), "from the start again"


def test_a_step_by_button_is_one_by_key(view: View) -> None:
    view.page.get_by_label("step on").click()
    assert (view.time, view.stage) == (0, "forward")
    view.page.get_by_label("step back").click()
    assert (view.time, view.stage) == (0, "forward")
    view.choose("play", "time by time")
    assert view.stage is None
    view.page.get_by_label("step on").click()
    view.page.get_by_label("step on").click()
    view.page.get_by_label("step back").click()
    assert (view.time, view.stage) == (1, None)
    assert "the end" not in view.said


def test_sizes_may_be_measured_anew_at_each_time(view: View) -> None:
    view.slide(4)
    view.page.get_by_label("sizes anew").check()
    radii = [radius for _, radius in view.discs()]
    arrays = written_runs.network_arrays()
    deltas = np.abs(np.concatenate([arrays[f"deltas/layer_{n}"][4, 0] for n in (2, 3)]))
    np.testing.assert_allclose(
        np.square(radii) / np.square(max(radii)), deltas / deltas.max(), rtol=5e-3
    )
    assert max(view.activations()[:4]) == pytest.approx(1)


def test_the_keys_of_a_control_are_its_own(view: View) -> None:
    view.page.get_by_label("recorded time").focus()
    view.page.keyboard.press("ArrowRight")
    assert (view.time, view.stage) == (1, None)
    view.page.get_by_label("sizes anew").focus()
    view.page.keyboard.press("Space")
    assert view.page.get_by_label("sizes anew").is_checked()
    assert view.page.locator("#network button.play").inner_text() == "Play"


def test_it_moves_slowly_for_who_wants_little_motion(browser: Browser, tmp_path: Path) -> None:
    one = View(browser, written(tmp_path / "run"), reduced_motion="reduce")
    duration = "getComputedStyle(document.querySelector('#network .activation')).transitionDuration"
    assert one.page.evaluate(duration) == "0s"
    one.choose("play", "time by time")
    one.press("Space")
    one.page.wait_for_timeout(700)
    assert one.time == 0
    assert one.incidents == []
    one.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1200])
def test_it_fits_every_width_and_scheme(
    browser: Browser, tmp_path: Path, scheme: str, width: int
) -> None:
    context = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    one = View(browser, written(tmp_path / "run"), **context)
    assert not one.overflows()
    inside = """() => {
      const box = document.querySelector('#network svg').getBoundingClientRect();
      return [...document.querySelectorAll('#network svg circle, #network svg text')].every(one => {
        const {left, right} = one.getBoundingClientRect();
        return left >= box.left - 1 && right <= box.right + 1;
      });
    }"""
    assert one.page.evaluate(inside)
    paper = "getComputedStyle(document.querySelector('#network .outline')).fill"
    expected = "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 30)"
    assert one.page.evaluate(paper) == expected
    one.page.set_viewport_size({"width": 700, "height": 800})
    one.page.wait_for_timeout(200)
    assert not one.overflows()
    assert one.page.locator("#network svg").count() == 1
    assert one.incidents == []
    one.page.close()


def test_a_still_is_printed_without_controls_and_with_the_numbers(view: View) -> None:
    view.page.emulate_media(media="print")
    view.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not view.page.locator("#network .controls").first.is_visible()
    assert view.page.locator("#network svg").is_visible()
    assert view.page.locator("#network tbody tr").count() == 7


@pytest.mark.parametrize("part", range(5))
def test_no_script_of_a_class_runs(browser: Browser, tmp_path: Path, part: int) -> None:
    names = [encodable(text) for text in HOSTILE[part::5]]
    data = {"shape": [4, 4, 1], "task": {"names": names}}
    part_of = written_runs.recorded(3, sizes=(16, 4, len(names)))
    run = written_runs.write(
        tmp_path / "run", recording=part_of, sizes=[16, 4, len(names)], data=data
    )
    one = View(browser, run)
    one.open_numbers()
    one.slide(2)
    assert one.page.evaluate("typeof hacked") == "undefined"
    assert one.page.locator("#network script, #network iframe, #network a").count() == 0
    assert one.page.locator("#network svg text.answer").count() == 1
    assert not one.overflows()
    assert one.incidents == []
    one.page.close()


def test_a_thousand_times_are_gone_through_quickly(browser: Browser, tmp_path: Path) -> None:
    one = View(browser, written(tmp_path / "run", 1000))
    slider = one.page.locator("#network input[type=range]")
    assert slider.get_attribute("max") == "999"
    seconds = one.page.evaluate("""() => {
      const slider = document.querySelector('#network input[type=range]');
      const begun = performance.now();
      for (let time = 0; time < 1000; time += 10) {
        slider.value = time;
        slider.dispatchEvent(new Event('input'));
      }
      return (performance.now() - begun) / 1000;
    }""")
    assert seconds < 5, "a hundred drawings"
    one.open_numbers()
    one.slide(999)
    arrays = written_runs.network_arrays(times=1000)
    expected = arrays["activations/layer_3"][999, 0, 1]
    assert one.numbers()[3, 1][0] == pytest.approx(expected, rel=6e-3)
    assert one.incidents == []
    one.page.close()


def test_what_was_not_recorded_is_left_out(browser: Browser, tmp_path: Path) -> None:
    arrays = {k: v for k, v in written_runs.network_arrays().items() if k.startswith("weights")}
    part = written_runs.recording(arrays, {"weights": [0, 1, 2, 3, 4, 5]})
    one = View(browser, written_runs.write(tmp_path / "run", recording=part))
    one.press("ArrowRight")
    assert one.stage == "change"
    assert not any(one.activations())
    assert not any(radius for _, radius in one.discs())
    assert one.page.locator("#network select").count() == 1, "no example to choose"
    assert one.incidents == []
    one.page.close()


def test_many_layers_scroll_in_a_narrow_window(browser: Browser, tmp_path: Path) -> None:
    part = written_runs.recorded(2, sizes=(16, *[4] * 9, 3))
    run = written_runs.write(tmp_path / "run", recording=part)
    one = View(browser, run, viewport={"width": 400, "height": 800})
    assert not one.overflows()
    wide = "document.querySelector('#network .drawing').scrollWidth"
    assert one.page.evaluate(wide) >= 8 * 84
    assert one.incidents == []
    one.page.close()


def test_what_is_not_finite_is_said_and_drawn_apart(browser: Browser, tmp_path: Path) -> None:
    arrays = written_runs.network_arrays()
    arrays["activations/layer_2"][:, 0, 1] = np.nan
    arrays["weights/layer_3.w"][3:] = np.inf
    stamps = {kind: list(range(6)) for kind in ("activations", "deltas", "weights")}
    part = written_runs.recording(arrays, stamps)
    one = View(browser, written_runs.write(tmp_path / "run", recording=part))
    for time in range(6):
        one.slide(time)
    assert one.page.locator("#network .neuron.unknown").count() == 1
    assert "not finite" in (one.page.locator("#network .unknown title").text_content() or "")
    assert one.incidents == []
    one.page.close()
