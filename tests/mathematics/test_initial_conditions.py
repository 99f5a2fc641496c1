"""Exact initial conditions: from a file, from a plugin, in runs and in lanes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from test_runs import composed, equal, lines
from test_sweep_lanes import assert_as_alone, sweep

import bpframe
from bpframe import BpframeError, ConfigError, DataError, InitialCondition, Params, hookimpl
from bpframe.plugin_host.host import load_registry
from bpframe.training import initial_state, loading
from bpframe.training.precision import precision

SIZES = ("data.train_size=25", "network.hidden=[4]", "training.epochs=2")


@pytest.fixture(autouse=True)
def logging_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep sets logging up, and that closes the stream that pytest captures."""
    monkeypatch.setattr(logging, "shutdown", lambda handlers=(): None)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    bpframe.run(composed("seed=4"), folder)
    return folder / "params.safetensors"


@pytest.mark.slow
def test_a_run_starts_where_another_has_ended(file: Path, tmp_path: Path) -> None:
    """Slow: compiles a program."""
    start = ("initialiser=file", f"initialiser.path={file}", "training.evaluate_start=true")
    bpframe.run(composed(*start), tmp_path)
    first, before = lines(tmp_path)[0], lines(file.parent)[-1]
    assert first["validation_cost"] == pytest.approx(before["validation_cost"], rel=1e-6)


@pytest.mark.slow
def test_a_file_that_changes_is_read_again(file: Path, tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    path, arrays = tmp_path / "start.safetensors", load_file(file)
    chosen = composed("initialiser=file", f"initialiser.path={path}", "optimiser.eta=1e-30")
    for factor in (1.0, 2.0):
        scaled = {name: factor * array for name, array in arrays.items()}
        save_file(scaled, path)
        result = bpframe.run(chosen)
        np.testing.assert_allclose(result.params[0].w, scaled["layer_2.w"], rtol=1e-6)


def test_float64_keeps_every_digit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"layer_2.w": (4, 3), "layer_2.b": (4,), "layer_3.w": (2, 4), "layer_3.b": (2,)}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    save_file(arrays, tmp_path / "exact.safetensors")
    experiment = composed(
        "initialiser=file",
        f"initialiser.path={tmp_path / 'exact.safetensors'}",
        "training.dtype=float64",
    )
    with precision("float64"):
        params = initial_state.initial_state(experiment, initial_state.exact(experiment)).params
    assert params[0].w.tolist() == arrays["layer_2.w"].tolist()
    assert params[1].b.tolist() == arrays["layer_3.b"].tolist()


def test_a_folder_stands_for_its_last_parameters(tmp_path: Path) -> None:
    good = {"layer_2.w": (4, 3), "layer_2.b": (4,), "layer_3.w": (2, 4), "layer_3.b": (2,)}
    for value, name in enumerate(("params", "best")):
        arrays = {key: np.full(shape, value, np.float32) for key, shape in good.items()}
        save_file(arrays, tmp_path / f"{name}.safetensors")
    exact = initial_state.exact(composed("initialiser=file", f"initialiser.path={tmp_path}"))
    assert exact is not None
    assert all((np.asarray(array) == 0).all() for layer in exact for array in layer)


def test_a_folder_without_parameters_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        loading.load(composed("initialiser=file", f"initialiser.path={tmp_path}"))
    assert str(raised.value) == (
        f"initialiser.path: {tmp_path / 'params.safetensors'} is missing; set it to the folder of "
        "a run that has ended, or to its params.safetensors"
    )


def _broken(tmp_path: Path, name: str) -> Path:
    path = tmp_path / f"{name}.safetensors"
    good = {"layer_2.w": (4, 3), "layer_2.b": (4,), "layer_3.w": (2, 4), "layer_3.b": (2,)}
    arrays: dict[str, Any] = {key: np.ones(shape, np.float32) for key, shape in good.items()}
    if name == "short":
        del arrays["layer_3.b"]
    elif name == "long":
        arrays["layer_4.w"] = np.ones((2, 2), np.float32)
    elif name == "wide":
        arrays["layer_2.w"] = np.ones((5, 3), np.float32)
    elif name == "nan":
        arrays["layer_2.b"][1] = np.nan
    if name == "text":
        path.write_text("no tensors")
    elif name != "missing":
        save_file(arrays, path)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing", "is missing; set it to the folder of a run that has ended"),
        ("text", "cannot be read"),
        (
            "short",
            "holds layer_2.b, layer_2.w, layer_3.w; the network has layer_2.w, layer_2.b,",
        ),
        ("long", "holds layer_2.b, layer_2.w, layer_3.b, layer_3.w, layer_4.w"),
        (
            "wide",
            "layer_2.w has shape (5, 3); the network has (4, 3)",
        ),
        ("nan", "has parameters that are not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(tmp_path: Path, name: str, text: str) -> None:
    path = _broken(tmp_path, name)
    with pytest.raises(DataError) as raised:
        loading.load(composed("initialiser=file", f"initialiser.path={path}"))
    message = str(raised.value)
    assert message.startswith("initialiser")
    assert text in message
    assert "\n" not in message


def test_one_value_everywhere_to_every_digit() -> None:
    chosen = ("initialiser=constant", "initialiser.w=0.7", "initialiser.b=-0.1")
    experiment = composed(*chosen, "training.dtype=float64")
    with precision("float64"):
        params = initial_state.initial_state(experiment, initial_state.exact(experiment)).params
    assert {float(w) for layer in params for w in layer.w.ravel()} == {0.7}
    assert {float(b) for layer in params for b in layer.b} == {-0.1}


IMAGES = ("data=mnist", "cost=log_likelihood")
CONVOLUTIONS = (
    "{name: convolution, maps: 20, size: 5, activation: relu}, {name: max_pooling, size: 2}, "
    "{name: convolution, maps: 40, size: 5, activation: relu}, {name: max_pooling, size: 2}, "
    "{n: 100, activation: relu}"
)
OUTPUT = "{n: 10, activation: softmax}"


def like(*layers: str) -> tuple[Any, ...]:
    """The parameters of a network on images, as an initial condition is asked for them."""
    text = ", ".join((*layers, OUTPUT))
    return bpframe.compose([*IMAGES, f"network.layers=[{text}]"]).network.params


# The bound is five standard errors of a variance estimated from k normal draws, sqrt(2 / k) each.
@pytest.mark.parametrize(("chosen", "pooled"), [({}, 4), ({"pooled": 9}, 9)])
def test_the_start_of_network3_has_its_variances(chosen: dict[str, int], pooled: int) -> None:
    condition = load_registry().get("initialiser", "network3", "")(**chosen)
    params = condition.load(like(CONVOLUTIONS), 3)
    assert [len(layer) for layer in params] == [2, 0, 2, 0, 2, 2]
    fan_outs = {0: 20 * 25 / pooled, 2: 40 * 25 / pooled, 4: 100}
    for place, n_out in fan_outs.items():
        w, b = params[place]
        assert w.var() * n_out == pytest.approx(1, abs=5 * np.sqrt(2 / w.size))
        assert abs(w.mean()) < 5 * w.std() / np.sqrt(w.size)
        assert b.var() == pytest.approx(1, abs=5 * np.sqrt(2 / b.size))
    assert not any(part.any() for part in params[-1])
    again, other = (condition.load(like(CONVOLUTIONS), seed) for seed in (3, 4))
    assert equal(params, again)
    assert not equal(params, other)


@pytest.mark.parametrize(
    ("name", "layer", "text"),
    [
        ("constant", "{name: layer_norm}", "is for layers with weights and biases"),
        ("network3", "{name: layer_norm}", "is for layers with weights and biases"),
        (
            "network3",
            "{n: 9, activation: elu}, {name: repeat, count: 3, layers: [{n: 9, activation: elu}]}",
            "network3 is for dense layers and convolutions, and the network has a layer with",
        ),
    ],
)
def test_layers_that_a_condition_does_not_know_are_one_line(
    name: str, layer: str, text: str
) -> None:
    chosen = [*IMAGES, f"network.layers=[{layer}, {OUTPUT}]", f"initialiser={name}"]
    with pytest.raises(ConfigError) as raised:
        initial_state.exact(bpframe.compose(chosen))
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_one_value_goes_through_layers_without_parameters() -> None:
    condition = load_registry().get("initialiser", "constant", "")(w=0.5, b=2.0)
    params = condition.load(like(CONVOLUTIONS), 0)
    assert params[1] == ()
    assert (params[0].w == 0.5).all()
    assert (params[-1].b == 2).all()


class Spread(InitialCondition):
    """w_jk = (j - k) gain, b = seed / 10."""

    gain: float = 1.0

    def load(self, like: tuple[Params, ...], seed: int) -> tuple[Params, ...]:
        def layer(n_in: int, n_out: int) -> Any:
            w = np.subtract.outer(np.arange(n_out), np.arange(n_in)) * self.gain
            return Params(w, np.full(n_out, seed / 10))  # pyright: ignore[reportArgumentType]

        return tuple(layer(*own.w.shape[::-1]) for own in like)


class Plugin:
    """The initial condition by its name."""

    @hookimpl
    def bpframe_initialisers(self) -> dict[str, Any]:
        return {"spread": Spread}


@pytest.mark.slow
def test_lanes_start_each_from_its_own_condition(tmp_path: Path) -> None:
    """Slow: lanes are compiled, and a single run beside them."""
    static = (*SIZES, "initialiser=spread", "optimiser.eta=1e-30", "training.evaluate_start=true")
    jobs = [["seed=3", "initialiser.gain=0.5"], ["seed=7"], ["seed=8", "initialiser.gain=2"]]
    swept = sweep(tmp_path / "sweep", static, *jobs, plugins=[Plugin()])
    single = bpframe.compose([*static, "seed=7"], plugins=[Plugin()])
    for num, (seed, gain) in enumerate([(3, 0.5), (7, 1.0), (8, 2.0)]):
        expected = Spread(gain=gain).load(single.network.params, seed)
        params = swept.params(num)
        np.testing.assert_allclose(params["layer_2.w"], expected[0].w, rtol=1e-6)
        np.testing.assert_allclose(params["layer_3.b"], expected[1].b, rtol=1e-6)
    assert equal(bpframe.run(single).params, bpframe.run(single).params)


@pytest.mark.slow
def test_lanes_start_from_a_file_as_alone(tmp_path: Path) -> None:
    """Slow: lanes are compiled, and a single run beside them."""
    bpframe.run(bpframe.compose([*SIZES, "seed=9"]), tmp_path / "before")
    path = tmp_path / "before" / "params.safetensors"
    static = (*SIZES, "initialiser=file", f"initialiser.path={path}")
    swept = sweep(tmp_path / "sweep", static, ["seed=1"], ["seed=2"], ["optimiser.eta=0.1"])
    for num in range(3):
        assert_as_alone(swept, num, tmp_path / f"alone{num}")


def test_a_sweep_without_its_file_trains_nothing(tmp_path: Path) -> None:
    static = (*SIZES, "initialiser=file", f"initialiser.path={tmp_path / 'none.safetensors'}")
    with pytest.raises(BpframeError) as raised:
        sweep(tmp_path / "sweep", static, ["seed=1"], ["seed=2"])
    assert "none.safetensors is missing" in str(raised.value)
    assert not (tmp_path / "sweep").exists()
