"""Layers of every kind: against NumPy loops, in networks against autodiff, and in runs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bpframe_plugins.activations import Linear, Tanh
from bpframe_plugins.costs import Quadratic
from bpframe_plugins.layers import (
    AveragePooling,
    Convolution,
    Dropout,
    LayerNorm,
    MaxPooling,
    Repeat,
    Residual,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import assert_close
from test_sweep_lanes import sweep

import bpframe
from bpframe import ConfigError, Dense, Layer, Network, Params, hookimpl
from bpframe.plugin_host.host import load_registry

LINEAR, TANH = Linear(), Tanh()
CONVOLUTIONAL = (
    "{name: convolution, maps: 3, size: 3, activation: tanh}, {name: max_pooling, size: 2}"
)
FLAT_LAYERS = "{n: 12, activation: tanh}, {n: 10, activation: softmax}"
TOO_NARROW = "[{n: 30, activation: tanh}, {n: 20, activation: tanh}]"
QUICK = ("data.train_size=30", "training.epochs=2", "cost=log_likelihood")


def drawn(layer: Layer, shape: tuple[int, ...]) -> Any:
    initialiser = load_registry().get("initialiser", "scaled", "")()
    return layer.init(initialiser, jax.random.key(1), shape)


def z_of(layer: Layer, params: Any, a: np.ndarray) -> np.ndarray:
    return np.asarray(layer.forward(params, jnp.asarray(a), None)[0])


# Each layer as one would write it with loops.


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [
        *((3, 1, "valid"), (3, 1, "same"), (2, 1, "same"), (1, 2, "valid"), (3, 2, "same")),
        *((2, 3, "cropped"), (3, 3, "cropped")),
    ],
)
def test_convolution_is_the_sum_over_its_window(size: int, stride: int, padding: str) -> None:
    layer = Convolution(2, size, stride, padding, activation=LINEAR)
    a = np.random.default_rng(0).normal(size=(7, 5, 3))
    w, b = map(np.asarray, drawn(layer, a.shape))
    before = (size - 1) // 2 if padding == "same" else 0
    after = size // 2 if padding == "same" else 0
    padded = np.pad(a, ((before, after), (before, after), (0, 0)))
    down, across = ((n - size) // stride + 1 for n in padded.shape[:2])
    expected = np.empty((down, across, 2))
    for r, s, k in itertools.product(range(down), range(across), range(2)):
        expected[r, s, k] = b[k]
        for i, j, c in itertools.product(range(size), range(size), range(3)):
            expected[r, s, k] += w[k, i, j, c] * padded[r * stride + i, s * stride + j, c]
    assert_close(z_of(layer, Params(jnp.asarray(w), jnp.asarray(b)), a), expected, 1e-12)
    assert layer.shape(a.shape) == expected.shape


@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 1), (2, 4)])
@pytest.mark.parametrize(("cls", "reduced"), [(MaxPooling, np.max), (AveragePooling, np.mean)])
def test_pooling_reduces_each_window(cls: Any, reduced: Any, size: int, stride: int | None) -> None:
    layer = cls(size, stride, activation=LINEAR)
    a = np.random.default_rng(1).normal(size=(6, 10, 2))
    step = stride or size
    down, across = ((n - size) // step + 1 for n in a.shape[:2])
    expected = [
        [
            reduced(a[r * step : r * step + size, s * step : s * step + size], axis=(0, 1))
            for s in range(across)
        ]
        for r in range(down)
    ]
    assert_close(z_of(layer, (), a), np.array(expected), 1e-14)


def test_of_equal_ones_the_first_has_the_error() -> None:
    layer = MaxPooling(activation=LINEAR)
    a = jnp.ones((2, 4, 1))
    _, kept = layer.forward((), a, None)
    error = layer.carry((), a, kept, jnp.asarray([[[1.0], [2.0]]]))
    assert error[..., 0].tolist() == [[1, 0, 2, 0], [0, 0, 0, 0]]


def test_layer_norm_is_the_published_one() -> None:
    layer = LayerNorm(0.1, activation=LINEAR)
    a = np.random.default_rng(2).normal(size=(3, 4, 2))
    gain, bias = np.random.default_rng(3).normal(size=(2, *a.shape))
    params = drawn(layer, a.shape)
    assert_close(z_of(layer, params, a), (a - a.mean()) / np.sqrt(a.var() + 0.1), 1e-12)
    params = params._replace(gain=jnp.asarray(gain), bias=jnp.asarray(bias))
    expected = gain * (a - a.mean()) / np.sqrt(a.var() + 0.1) + bias
    assert_close(z_of(layer, params, a), expected, 1e-12)


@pytest.mark.slow
def test_residual_and_repeat_are_their_layers_written_out() -> None:
    """Slow: compiles a program."""
    inner = (Dense(4, activation=TANH), Dense(4, activation=TANH))
    a = np.random.default_rng(4).normal(size=4)

    def made(params: Any, a: np.ndarray) -> np.ndarray:
        for w, b in params:
            a = np.tanh(np.asarray(w) @ a + np.asarray(b))
        return a

    residual = Residual(inner, activation=LINEAR)
    params = drawn(residual, (4,))
    assert_close(z_of(residual, params, a), a + made(params, a), 1e-12)
    repeat = Repeat(3, inner, activation=LINEAR)
    params = drawn(repeat, (4,))
    expected = a
    for number in range(3):
        own = jax.tree.map(lambda part, number=number: part[number], params.blocks)
        expected = made(own, expected)
    assert_close(z_of(repeat, params, a), expected, 1e-12)


# Networks of layers of all kinds.

IMAGES: list[Layer] = [
    Convolution(2, 2, activation=TANH),
    Convolution(1, 3, 1, "same", activation=TANH),
    MaxPooling(1, activation=TANH),
    AveragePooling(2, 1, activation=LINEAR),
    LayerNorm(activation=LINEAR),
    Residual(
        (Convolution(3, 1, activation=TANH), Convolution(2, 1, activation=TANH)), activation=TANH
    ),
    Dropout(0.3, activation=LINEAR),
]
FLAT: list[Layer] = [
    Dense(5, activation=TANH),
    LayerNorm(activation=TANH),
    Residual((Dense(4, activation=TANH), Dense(5, activation=LINEAR)), activation=TANH),
    Repeat(2, (Dense(5, activation=TANH),), activation=LINEAR),
    Dropout(0.5, activation=TANH),
]


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """A network of some of these layers, as far as each can follow the one before."""
    shape: tuple[int, ...] = (6, 5, 2)
    layers: list[Layer] = []
    chosen = draw(st.lists(st.sampled_from(IMAGES), max_size=4))
    chosen += [Dense(5, activation=TANH), *draw(st.lists(st.sampled_from(FLAT), max_size=3))]
    for layer in chosen:
        try:
            shape = layer.shape(shape)
        except ConfigError:
            continue
        layers.append(layer)
    return Network((6, 5, 2), (*layers, Dense(3, activation=TANH)))


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(networks())
def test_the_gradient_of_any_network_is_autodiffs(network: Network) -> None:
    """Slow: compiles a program."""
    initialiser = load_registry().get("initialiser", "scaled", "")()
    rng = np.random.default_rng(5)
    params = network.init(initialiser, jax.random.key(2))
    x, y = jnp.asarray(rng.normal(size=(3, 6, 5, 2))), jnp.asarray(rng.normal(size=(3, 3)))
    key = jax.random.key(6)
    found = bpframe.gradient(network, Quadratic(), params, x, y, key=key)

    def mean_cost(params: Any) -> Any:
        def one(x: Any, y: Any, key: Any) -> Any:
            return Quadratic()(bpframe.forward(network, params, x, key).a[-1], y)

        return jnp.mean(jax.vmap(one)(x, y, jax.random.split(key, 3)))

    assert_close(found.mean, jax.grad(mean_cost)(params), 1e-12)
    assert [delta.shape[1:] for delta in found.deltas] == list(network.shapes[1:])


def test_no_gradient_of_one_example_is_formed_in_a_convolution() -> None:
    network = Network((8, 8, 1), (Convolution(4, 3, activation=TANH), Dense(3, activation=TANH)))
    initialiser = load_registry().get("initialiser", "scaled", "")()
    params = network.init(initialiser, jax.random.key(0))
    m = 97
    x, y = jnp.zeros((m, 8, 8, 1)), jnp.zeros((m, 3))
    program = jax.make_jaxpr(lambda *a: bpframe.gradient(network, Quadratic(), *a).mean)
    shapes = {var.aval.shape for eqn in program(params, x, y).jaxpr.eqns for var in eqn.outvars}
    assert (m, 6, 6, 4) in shapes
    assert not shapes & {(m, 4, 3, 3, 1), (m, 4, 9), (m, 3, 144)}


@pytest.mark.slow
def test_compiling_a_repeat_is_no_longer_for_more() -> None:
    """Slow: compiles a program."""

    def lines(count: int) -> int:
        layers = (Repeat(count, (Dense(6, activation=TANH),), activation=LINEAR),)
        network = Network((6,), (*layers, Dense(3, activation=TANH)))
        params = network.init(load_registry().get("initialiser", "scaled", "")(), jax.random.key(0))
        program = jax.jit(lambda *a: bpframe.gradient(network, Quadratic(), *a).mean)
        return program.lower(params, jnp.zeros((4, 6)), jnp.zeros((4, 3))).as_text().count("\n")

    assert lines(200) == lines(2)


@pytest.mark.slow
def test_every_example_and_step_has_a_mask_of_its_own() -> None:
    """Slow: compiles a program."""
    network = Network((40,), (Dropout(0.5, activation=LINEAR), Dense(1, activation=LINEAR)))
    params = ((), Params(jnp.ones((1, 40)), jnp.zeros(1)))
    x, y = jnp.ones((8, 40)), jnp.zeros((8, 1))

    def masks(key: Any) -> np.ndarray:
        return np.asarray(bpframe.gradient(network, Quadratic(), params, x, y, key=key).trace.a[1])

    first, again, other = (masks(jax.random.key(number)) for number in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique([*first, *other], axis=0)) == 16
    assert set(np.unique(first)) == {0, 2}
    plain = bpframe.gradient(network, Quadratic(), params, x, y)
    assert (np.asarray(plain.trace.a[1]) == 1).all()


# In runs.


@pytest.mark.slow
def test_a_convolutional_network_learns_and_is_written(tmp_path: Path) -> None:
    """Slow: compiles a program."""
    experiment = bpframe.compose(
        [
            *("data.train_size=300", "training.epochs=15", "cost=log_likelihood"),
            f"network.layers=[{CONVOLUTIONAL}, {{n: 10, activation: softmax}}]",
            *("optimiser.eta=0.3", "regulariser=l2", "regulariser.strength=0.01"),
        ]
    )
    assert experiment.network.shapes == ((8, 8, 1), (6, 6, 3), (3, 3, 3), (10,))
    result = bpframe.run(experiment, tmp_path / "run")
    assert result.summary.test_accuracy is not None
    assert result.summary.test_accuracy > 0.75
    again = bpframe.compose(
        [
            *("initialiser=file", f"initialiser.path={tmp_path / 'run' / 'params.safetensors'}"),
            f"network.layers=[{CONVOLUTIONAL}, {{n: 10, activation: softmax}}]",
            *QUICK,
        ]
    )
    assert bpframe.run(again).history.metrics is not None
    names = [sorted(each) for each in ({"w", "b"}, (), {"w", "b"})]
    read = bpframe.read_params(tmp_path / "run" / "params.safetensors")
    assert [sorted(own._fields if isinstance(own, Params) else own) for own in read] == names


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["feedback_alignment", "direct_feedback_alignment"])
def test_feedback_goes_through_convolution_and_pooling(rule: str) -> None:
    """Slow: compiles a program."""
    experiment = bpframe.compose(
        [
            *(*QUICK, f"learning_rule={rule}", "metrics=[delta_norm,gradient_norm]"),
            f"network.layers=[{CONVOLUTIONAL}, {FLAT_LAYERS}]",
        ]
    )
    last = bpframe.run(experiment).history.last()
    assert all(last[f"delta_norm.steps.layer_{number}"] > 0 for number in (2, 3, 4, 5))


@pytest.mark.slow
def test_lanes_draw_the_masks_of_single_runs(tmp_path: Path) -> None:
    """Slow: compiles lanes and single runs."""
    layers = (
        f"network.layers=[{CONVOLUTIONAL}, {{name: dropout}}, {{name: layer_norm}}, "
        "{n: 12, activation: tanh}, {name: repeat, count: 3, layers: "
        "[{name: residual, layers: [{n: 12, activation: tanh}]}]}, {n: 10, activation: softmax}]"
    )
    jobs = [["seed=1"], ["seed=2"]]
    swept = sweep(tmp_path / "sweep", [*QUICK, layers], *jobs)
    for num, job in enumerate(jobs):
        alone = bpframe.run(bpframe.compose([*QUICK, layers, *job]), tmp_path / str(num))
        assert alone.summary.status == "completed"
        ours, theirs = (
            swept.params(num),
            bpframe.read_params(tmp_path / str(num) / "params.safetensors"),
        )
        assert_close(ours["layer_2.w"], theirs[0].w, 1e-5)
        assert_close(ours["layer_8.w"], theirs[6].w, 1e-5)


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (
            "[{name: convolution, maps: 2, size: 9, activation: tanh}]",
            "network.layers[0]: convolution of size 9 on 8 x 8 x 1: is larger than the image",
        ),
        (
            "[{n: 30, activation: tanh}, {name: max_pooling, size: 2}]",
            "network.layers[1]: MaxPooling of size 2 on 30: needs an image",
        ),
        (
            "[{name: convolution, maps: 20, size: 4, activation: tanh}, {name: max_pooling}]",
            "network.layers[1]: MaxPooling of size 2 on 5 x 5 x 20: its windows do not end",
        ),
        ("[{name: dropout, rate: 1}]", "network.layers[0].rate: 1.0 is out of range"),
        (
            f"[{{n: 30, activation: tanh}}, {{name: repeat, count: 2, layers: {TOO_NARROW}}}]",
            "network.layers[1]: repeat: its layers make 20 of 30; both have to be equal",
        ),
        (
            "[{name: residual, layers: [{n: 5, activation: tanh}]}]",
            "network.layers[0]: residual: its layers make 5 of 8 x 8 x 1",
        ),
        (
            "[{name: residual, layers: [{n: 5, activation: tahn}]}]",
            "network.layers[0].layers[0].activation: unknown 'tahn'; did you mean 'tanh'?",
        ),
        ("[{name: residual, layers: []}]", "network.layers[0].layers: is empty"),
        ("[{name: repeat, count: 0, layers: [{name: dropout}]}]", "network.layers[0].count: 0"),
        ("[{name: convolve}]", "network.layers[0].name: unknown 'convolve'"),
        ("[{name: convolution, size: 3, activation: tanh}]", "network.layers[0].maps: is required"),
        (
            "[{name: convolution, maps: 2, size: 3, activation: softmax}]",
            "network.layers[0].activation: softmax couples the neurons of its layer",
        ),
        (
            "[{name: convolution, maps: 2, size: 3, padding: full, activation: tanh}]",
            "network.layers[0].padding: unknown 'full'",
        ),
    ],
)
def test_layers_that_cannot_be_are_one_line(layers: str, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        bpframe.compose([f"network.layers={layers[:-1]}, {{n: 10, activation: sigmoid}}]"])
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_output_has_to_be_flat() -> None:
    with pytest.raises(ConfigError, match=r"network.layers\[0\]: 6 x 6 x 2 output neurons"):
        bpframe.compose(
            ["network.layers=[{name: convolution, maps: 2, size: 3, activation: sigmoid}]"]
        )


@pytest.mark.slow
def test_a_layer_of_ones_own(tmp_path: Path) -> None:
    """Slow: compiles a program."""

    class Doubled(Dropout):
        """2 a, whatever is drawn."""

        def forward(self, params: Any, a_prev: Any, key: Any) -> Any:
            return 2 * a_prev, None

        def carry(self, params: Any, a_prev: Any, kept: Any, delta: Any) -> Any:
            return 2 * delta

    class Plugin:
        """It, by its name."""

        @hookimpl
        def bpframe_layers(self) -> dict[str, Any]:
            return {"doubled": Doubled}

    experiment = bpframe.compose(
        [*QUICK, "network.layers=[{name: doubled}, {n: 10, activation: softmax}]"],
        plugins=[Plugin()],
    )
    assert bpframe.run(experiment).summary.status == "completed"


@pytest.mark.slow
def test_a_modified_neuron_of_an_image_is_a_map_at_all_places() -> None:
    """Slow: compiles a program."""
    layers = f"network.layers=[{CONVOLUTIONAL}, {FLAT_LAYERS}]"
    modified = "network.modified_neurons=[{layer: 2, neuron: 1, activation: relu}]"
    network = bpframe.compose([layers, modified, "cost=quadratic"]).network
    params = network.init(load_registry().get("initialiser", "scaled", "")(), jax.random.key(2))
    rng = np.random.default_rng(5)
    x, y = jnp.asarray(rng.normal(size=(2, 8, 8, 1))), jnp.asarray(rng.normal(size=(2, 10)))
    found = bpframe.gradient(network, Quadratic(), params, x, y)
    z = np.asarray(found.trace.z[0])
    assert z.shape == (2, 6, 6, 3)
    expected = np.tanh(z)
    expected[..., 1] = np.maximum(z[..., 1], 0)
    assert_close(found.trace.a[1], expected, 1e-12)

    def mean_cost(params: Any) -> Any:
        a = jax.vmap(lambda x: bpframe.forward(network, params, x).a[-1])(x)
        return jnp.mean(jax.vmap(Quadratic())(a, y))

    assert_close(found.mean, jax.grad(mean_cost)(params), 1e-12)
    with pytest.raises(ConfigError, match=r"neuron: 3 does not exist in layer 2; allowed: 0 to 2"):
        bpframe.compose([layers, modified.replace("neuron: 1", "neuron: 3")])


@pytest.mark.slow
def test_deltas_of_repeated_layers_are_those_of_the_layers_written_out() -> None:
    """Slow: compiles a program."""
    inner = (Dense(4, activation=TANH), Residual((Dense(4, activation=TANH),), activation=TANH))
    network = Network((4,), (Repeat(3, inner, activation=LINEAR), Dense(2, activation=TANH)))
    params = network.init(load_registry().get("initialiser", "scaled", "")(), jax.random.key(2))
    blocks, last = params[0].blocks, params[1]
    flat = tuple(own for i in range(3) for own in jax.tree.map(lambda p, i=i: p[i], blocks))
    plain = Network((4,), (*inner * 3, network.layers[-1]))
    rng = np.random.default_rng(5)
    x, y = jnp.asarray(rng.normal(size=(5, 4))), jnp.asarray(rng.normal(size=(5, 2)))
    found = bpframe.gradient(network, Quadratic(), params, x, y)
    expected = bpframe.gradient(plain, Quadratic(), (*flat, last), x, y)
    deltas = jax.vmap(network.layers[0].inner_deltas, in_axes=(None, 0, 0, 0))(
        params[0], x, found.trace.kept[0], found.deltas[0]
    )
    assert list(deltas) == ["0", "1", "1.0"]
    for name, at in (("0", 0), ("1", 1)):
        for repetition in range(3):
            theirs = expected.deltas[2 * repetition + at]
            assert_close(deltas[name][:, repetition], theirs, 1e-12)
    block = (
        "{name: repeat, count: 3, layers: [{n: 4, activation: tanh}, {n: 4, activation: linear}]}"
    )
    layers = f"network.layers=[{{n: 4, activation: tanh}}, {block}, {{n: 10, activation: softmax}}]"
    whole = bpframe.compose([*QUICK, "metrics=[delta_norm,mean_delta_norm]", layers])
    metrics = bpframe.run(whole).history.metrics
    for name in ("delta_norm", "mean_delta_norm"):
        by_repetition = metrics[f"{name}.steps.layer_3.1"]
        assert np.shape(by_repetition)[1:] == (3,)
        np.testing.assert_allclose(
            np.asarray(by_repetition)[:, -1], metrics[f"{name}.steps.layer_3"], rtol=1e-6
        )


@pytest.mark.slow
@pytest.mark.parametrize("m", [1, 4])
def test_factors_are_those_of_loops(m: int) -> None:
    """Slow: compiles a program."""
    rng = np.random.default_rng(3)
    layer = Convolution(3, 2, 1, "same", activation=LINEAR)
    params = drawn(layer, (4, 5, 2))
    a, delta = rng.normal(size=(m, 4, 5, 2)), rng.normal(size=(m, 4, 5, 3))
    found = layer.factors(params, jnp.asarray(a), None, jnp.asarray(delta))
    padded = np.pad(a, ((0, 0), (0, 1), (0, 1), (0, 0)))
    seen = np.array([
        [*padded[x, i : i + 2, j : j + 2].ravel(), 1.0]
        for x, i, j in itertools.product(range(m), range(4), range(5))
    ])  # fmt: skip
    errors = delta.reshape(-1, 3)
    assert_close(tuple(found), (seen.T @ seen / m, errors.T @ errors / (20 * m)), 1e-12)


def test_factors_of_one_example_are_its_gradient_squared() -> None:
    rng = np.random.default_rng(3)
    layer = Dense(3, activation=LINEAR)
    params = drawn(layer, (4,))
    a, delta = jnp.asarray(rng.normal(size=(1, 4))), jnp.asarray(rng.normal(size=(1, 3)))
    found = layer.factors(params, a, None, delta)
    own = layer.gradient(params, a, None, delta)
    g = np.concatenate([own.w, own.b[:, None]], axis=1).ravel(order="F")
    assert_close(np.kron(found.a, found.g), np.outer(g, g), 1e-12)
    assert MaxPooling(2, activation=LINEAR).factors((), a, None, delta) is None
