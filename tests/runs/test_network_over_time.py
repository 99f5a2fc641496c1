"""What is drawn of a recording: which times, layers and neurons, with the numbers it has."""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import written_runs

from bpframe.errors import OutputError
from bpframe.runs.arrays import InMemory, Recording
from bpframe.runs.network_over_time import layers, reading
from bpframe.runs.network_over_time.network import Limits, NetworkOverTime, network_over_time
from bpframe.runs.network_over_time.tracks import Track, rows_at
from bpframe.runs.page import network_view, packing, page
from bpframe.runs.page.reading import read

PLENTY = Limits(bytes=10**9, times=10**6, examples=100)
KINDS = ("activations", "deltas", "weights")


def times(count: int) -> dict[str, list[int]]:
    """So many steps in a row for each recorder."""
    return {kind: list(range(count)) for kind in KINDS}


def shown(
    part: InMemory, shape: tuple[int, ...] = (4, 4, 1), limits: Limits = PLENTY
) -> NetworkOverTime:
    found = network_over_time(Recording([part]), shape, limits)
    assert found is not None
    return found


def text_of(written: str) -> str:
    """The page but for scripts and data."""
    return written[: written.index('<script type="application/json"')]


def data_of(written: str) -> dict[str, Any]:
    start = written.index('id="report-data">') + len('id="report-data">')
    return json.loads(written[start : written.index("</script>", start)])


def unpacked(packed: dict[str, Any], n: int) -> np.ndarray:
    """The rows of a track, read number by number as Python's struct has float16."""
    content = base64.b64decode(packed["halves"])
    halves = [number for (number,) in struct.iter_unpack("<e", content)]
    rows = np.reshape(halves, (-1, n))
    return rows * 2.0 ** np.array(packed["exponents"])[:, None]


# ---- what is kept


def test_all_numbers_of_a_small_network_are_those_of_the_recording() -> None:
    arrays = written_runs.network_arrays()
    network = shown(written_runs.recorded())
    assert network.steps.tolist() == [0, 10, 20, 30, 40, 50]
    assert network.epochs.tolist() == [0, 1, 2, 3, 4, 5]
    assert [layer.number for layer in network.layers] == [1, 2, 3]
    assert [layer.shape for layer in network.layers] == [(4, 4, 1), (), ()]
    first, *others = network.layers
    assert first.activations is not None
    np.testing.assert_array_equal(
        first.activations.values, arrays["activations/layer_1"][:1], err_msg="it never changes"
    )
    for layer in others:
        for kind, key in (("activations", ""), ("deltas", ""), ("weights", ".w")):
            track = getattr(layer, kind)
            assert track.steps.tolist() == network.steps.tolist()
            expected = arrays[f"{kind}/layer_{layer.number}{key}"]
            np.testing.assert_array_equal(track.values, expected)


def test_an_array_that_is_recorded_less_often_is_the_last_one_before() -> None:
    arrays = written_runs.network_arrays(times=7)
    arrays |= {name: array[:3] for name, array in arrays.items() if name.startswith("weights")}
    steps = {"activations": list(range(7)), "deltas": list(range(7)), "weights": [0, 3, 5]}
    network = shown(written_runs.recording(arrays, steps))
    weights = network.layers[1].weights
    assert weights is not None
    for step, row in zip(range(7), (0, 0, 0, 1, 1, 2, 2), strict=True):
        np.testing.assert_array_equal(weights.at(step), arrays["weights/layer_2.w"][row])
    assert packing.packed(weights, network.steps)["rows"] == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("judged_by", ["deltas", "activations", "weights"])
def test_of_many_neurons_the_largest_are_drawn(judged_by: str) -> None:
    arrays = written_runs.network_arrays((16, 40, 3), m=4, seed=3)
    large = np.random.default_rng(1).permutation(40)[:16]
    for name, array in arrays.items():
        if name.startswith(f"{judged_by}/layer_2"):
            np.moveaxis(array, -1 if judged_by != "weights" else 1, 0)[large] *= 100
    order = ("deltas", "activations", "weights")
    left = order[order.index(judged_by) :]  # what comes first in it decides
    kept = {name: array for name, array in arrays.items() if name.startswith(left)}
    network = shown(written_runs.recording(kept, times(6)), ())
    layer = next(each for each in network.layers if each.number == 2)
    assert layer.neurons.tolist() == sorted(large)
    if judged_by == "deltas":
        first = network.layers[0].neurons
        expected = arrays["weights/layer_2.w"][:, sorted(large)][..., first]
        assert layer.weights is not None
        np.testing.assert_array_equal(layer.weights.values, expected)


def test_of_many_layers_the_first_and_the_last_are_drawn() -> None:
    network = shown(written_runs.recorded(2, sizes=(4, *[3] * 18, 2)), ())
    assert [layer.number for layer in network.layers] == [1, 2, 3, 4, 17, 18, 19, 20]
    assert [layer.weights is not None for layer in network.layers] == [
        *(False, True, True, True),
        *(False, True, True, True),
    ]
    assert network.left_out == ["Of 20 layers the first 4 and the last 4 are drawn."]


def test_an_image_inside_the_network_is_drawn_by_its_largest_entries() -> None:
    steps = {"deltas": [0, 1]}
    maps = np.zeros((2, 3, 5, 5, 2), np.float32)
    maps[:, :, 4, 3, 1] = 2
    network = shown(written_runs.recording({"deltas/layer_2": maps}, steps))
    (layer,) = network.layers
    assert (layer.size, len(layer.neurons)) == (50, 16)
    place = (4 * 5 + 3) * 2 + 1
    assert place in layer.neurons
    assert layer.deltas is not None
    assert (layer.deltas.values[..., layer.neurons.tolist().index(place)] == 2).all()


def test_activations_of_other_examples_than_the_deltas_are_not_mixed_with_them() -> None:
    arrays = written_runs.network_arrays()
    part = written_runs.recording(arrays, times(6), activations={"over": "test"})
    network = shown(part)
    assert all(layer.activations is None for layer in network.layers)
    assert network.over == "validation"
    assert "Activations are of 5 examples of the test set" in network.left_out[0]


@pytest.mark.parametrize("count", [1, 2, 37, 1000])
def test_times_are_thinned_evenly_to_what_a_page_holds(count: int) -> None:
    part = written_runs.recorded(count, sizes=(144, 30, 10), m=20)
    network = shown(part, (12, 12, 1), network_view.LIMITS)
    numbers = 16 * (16 + 16 + 144) + 10 * (16 + 16 + 16)
    most = max(2, network_view.LIMITS.bytes // (2 * numbers))
    assert len(network.steps) == min(count, most)
    assert network.recorded_times == count
    assert (network.steps[0], network.steps[-1]) == (0, 10 * (count - 1))
    gaps = np.diff(network.steps) / 10
    assert not len(gaps) or gaps.max() - gaps.min() <= 1
    assert (len(network.examples), network.recorded_examples) == (16, 20)


def test_weights_of_a_large_image_are_left_out_and_it_is_said() -> None:
    part = written_runs.recorded(2, sizes=(128 * 128 * 3, 20, 2), m=2)
    network = shown(part, (128, 128, 3), network_view.LIMITS)
    assert network.layers[1].weights is None
    assert network.layers[2].weights is not None
    assert network.left_out == ["The weights into layer 2 are too large a picture."]


def test_nothing_is_drawn_of_gradients_alone() -> None:
    part = written_runs.recording(
        {"gradients/layer_2.w": np.ones((2, 3, 4))}, {"gradients": [0, 1]}
    )
    assert network_over_time(Recording([part]), (), PLENTY) is None


def test_rows_are_those_that_a_search_one_by_one_finds() -> None:
    recorded, steps = np.array([0, 4, 9, 10]), range(14)
    expected = [max(at for at, r in enumerate(recorded) if r <= step) for step in steps]
    assert rows_at(recorded, list(steps)).tolist() == expected


def test_large_arrays_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from bpframe.runs.network_over_time import tracks

    whole = shown(written_runs.recorded(50))
    monkeypatch.setattr(tracks, "_BLOCK", 1000)
    for layer, expected in zip(shown(written_runs.recorded(50)).layers, whole.layers, strict=True):
        for kind in KINDS:
            found, track = getattr(layer, kind), getattr(expected, kind)
            assert (found is None) == (track is None)
            if found is not None:
                np.testing.assert_array_equal(found.values, track.values)


# ---- in the page


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e30])
def test_packed_numbers_keep_three_digits_of_the_largest_at_any_size(scale: float) -> None:
    values = np.random.default_rng(0).normal(size=(7, 3, 5)) * scale
    values *= 10.0 ** -np.arange(7)[:, None, None]  # as deltas vanish over training
    values[2] = 0
    packed = packing.packed(Track(np.arange(7), values.astype(np.float32)), np.arange(7))
    found = unpacked(packed, 15).reshape(values.shape)
    for row, expected in zip(found, values, strict=True):
        largest = np.abs(expected).max()
        np.testing.assert_allclose(row, expected, rtol=2.0**-11, atol=1e-7 * largest)
    assert not found[2].any()


def test_what_is_not_finite_stays_so() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 1.5, 0.0]])
    packed = packing.packed(Track(np.array([0]), values), np.array([0]))
    np.testing.assert_array_equal(unpacked(packed, 5), values)


def test_the_page_holds_the_recording_and_says_what_it_shows(tmp_path: Path) -> None:
    run = written_runs.write(tmp_path / "run", recording=written_runs.recorded())
    written = page.page(read(run))
    assert "The network while it learns" in written
    told = data_of(written)["network"]
    assert told["stages"] == ["forward", "bp1", "bp2", "gradient", "change"]
    assert told["names"] == ["cat", "dog", "owl"]
    assert told["steps"] == [0, 10, 20, 30, 40, 50]
    arrays = written_runs.network_arrays()
    for layer in told["layers"][1:]:
        expected = arrays[f"deltas/layer_{layer['number']}"].reshape(6, -1)
        found = unpacked(layer["deltas"], expected.shape[1])
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)
    assert "Not recorded" not in text_of(written)


def test_the_page_says_what_to_record_for_the_rest(tmp_path: Path) -> None:
    arrays = {k: v for k, v in written_runs.network_arrays().items() if k.startswith("deltas")}
    part = written_runs.recording(arrays, {"deltas": [0, 1, 2, 3, 4, 5]})
    written = page.page(read(written_runs.write(tmp_path / "run", recording=part)))
    override = "record=[{name: activations, layers: [1,2,3]},deltas,weights]"
    said = f"Not recorded: activations, weights, the input; bpframe rerun {tmp_path / 'run'} "
    assert said + f"&#x27;{override}&#x27; records all of it" in text_of(written)
    assert data_of(written)["network"]["stages"] == ["bp1", "bp2"]


def test_the_override_that_the_page_names_is_one() -> None:
    import bpframe

    experiment = bpframe.compose(["network.hidden=[4]", reading.to_record([64, 4, 10])])
    assert [each.name for each in experiment.recorders] == list(KINDS)
    assert (
        reading.to_record(None) == reading.to_record(["x"]) == "record=[activations,deltas,weights]"
    )


def test_other_learning_rules_have_no_equations_of_backpropagation(tmp_path: Path) -> None:
    config = {**written_runs.CONFIG, "learning_rule": {"name": "feedback_alignment"}}
    run = written_runs.write(tmp_path / "run", recording=written_runs.recorded(), config=config)
    written = page.page(read(run))
    assert data_of(written)["network"]["stages"] == ["forward", "bp1", "bp2", "change"]
    stages = written[written.index('<ol class="stages">') : written.index("</ol>")]
    assert "by feedback alignment" in stages
    assert "BP2" not in stages


def test_a_page_without_a_recording_is_as_it_was(tmp_path: Path) -> None:
    written = page.page(read(written_runs.write(tmp_path / "run")))
    assert "network" not in data_of(written)
    for part in ("The network while it learns", "NetworkDrawing", "--positive"):
        assert part not in written


@pytest.mark.slow
def test_the_largest_page_is_bounded(tmp_path: Path) -> None:
    """Slow: writes 100 MB."""
    part = written_runs.recorded(1000, sizes=(784, 30, 10), m=32)
    run = written_runs.write(tmp_path / "run", recording=part)
    plain = written_runs.write(tmp_path / "plain")
    more = len(page.page(read(run)).encode()) - len(page.page(read(plain)).encode())
    assert 2_000_000 < more < 3_200_000


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "pipe"])
def test_a_damaged_recording_is_named_and_nothing_of_it_shown(tmp_path: Path, damage: str) -> None:
    run = written_runs.write(tmp_path / "run", recording=written_runs.recorded())
    (file,) = (run / "recording").iterdir()
    content = bytearray(file.read_bytes())
    content[-7] ^= 4
    file.unlink()
    if damage == "pipe":
        os.mkfifo(file)
    elif damage != "gone":
        file.write_bytes(content if damage == "flipped" else content[:100])
    written = page.page(read(run))
    assert file.name in text_of(written)
    assert "The network while it learns is not shown" in text_of(written)
    assert "network" not in data_of(written)
    assert "Learning curves" in written


@pytest.mark.parametrize(
    "told",
    [
        {"deltas": {"axes": 3}},
        {"deltas": {"axes": {"layer_2": 5}}},
        {"deltas": {"axes": {"layer_9": ["example"]}}},
        {"deltas": {"steps_of_epoch": "x"}},
        {"weights": {"axes": {"layer_2.w": None, "layer_99999999999.w": []}}},
    ],
)
def test_what_a_recording_says_of_itself_breaks_nothing(
    tmp_path: Path, told: dict[str, Any]
) -> None:
    arrays = written_runs.network_arrays()
    part = written_runs.recording(arrays, times(6), **told)
    written = page.page(read(written_runs.write(tmp_path / "run", recording=part)))
    assert "The network while it learns is not shown" in text_of(written)


def test_weights_that_fit_no_layer_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    arrays = written_runs.network_arrays((16, 4, 4, 3))
    arrays["weights/layer_3.w"] = np.ones((6, 4, 9), np.float32)
    arrays["weights/layer_4.w"] = np.ones((6, 3, 2, 2, 1), np.float32)
    part = written_runs.recording(arrays, times(6))
    written = page.page(read(written_runs.write(tmp_path / "run", recording=part)))
    found = {layer["number"]: layer for layer in data_of(written)["network"]["layers"]}
    assert [n for n, layer in found.items() if layer["weights"]] == [2]
    assert found[3]["deltas"] is not None
    assert "Weights of layers that are not dense are not drawn: 4." in text_of(written)
    assert "The weights into layer 3 have 9 inputs, layer 2 has 4." in text_of(written)


def test_a_layer_of_two_sizes_is_said_to_be_none(tmp_path: Path) -> None:
    arrays = written_runs.network_arrays()
    arrays["deltas/layer_2"] = np.ones((6, 5, 8), np.float32)
    part = written_runs.recording(arrays, times(6))
    written = page.page(read(written_runs.write(tmp_path / "run", recording=part)))
    assert "layer 2 has 4 activations and 8 deltas" in text_of(written)


def test_without_a_summary_the_files_that_are_there_are_read(tmp_path: Path) -> None:
    run = written_runs.write(tmp_path / "run", recording=written_runs.recorded())
    (run / "summary.json").unlink()
    written = page.page(read(run))
    assert len(data_of(written)["network"]["steps"]) == 6
    assert data_of(written)["network"]["names"] == []


def test_a_file_outside_of_the_folder_is_never_read(tmp_path: Path) -> None:
    run = written_runs.write(tmp_path / "run", recording=written_runs.recorded())
    with pytest.raises(OutputError, match="is missing"):
        reading.read(run, {"files": {"recording/../../secret.safetensors": ""}}, (), PLENTY)


def test_a_recording_is_shown_without_jax_and_in_three_seconds(tmp_path: Path) -> None:
    run = written_runs.write(tmp_path / "run", recording=written_runs.recorded(101, m=32))
    code = (
        "import sys, time; begun = time.perf_counter(); from bpframe.cli import main; "
        f"sys.argv[1:] = ['show', {str(run)!r}]; main(); "
        "print(time.perf_counter() - begun, {'jax', 'matplotlib', 'hydra'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, modules = out.splitlines()[-1].split(" ", 1)
    assert modules == "set()"
    assert float(seconds) < 3
    assert "network" in data_of((run / "report.html").read_text(encoding="utf-8"))


def test_layers_are_told_by_their_names_alone() -> None:
    arrays = {"deltas/layer_2": np.ones((1, 2, 3)), "deltas/extra": np.ones((1, 2, 3))}
    found = layers.recorded(Recording([written_runs.recording(arrays, {"deltas": [0]})]))
    assert [layer.number for layer in found] == [2]
