"""What recorders keep is what an independent pass gives, at the steps that were asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bpframe
from bpframe.errors import ConfigError, PluginError
from bpframe.recorders import NamedRecorder, Recorder
from bpframe.runs.arrays import Recording
from bpframe.training import loading, probes
from bpframe.training.precision import precision
from bpframe.training.programs import Programs

SMALL = (
    *("data.train_size=60", "network.hidden=[7,5]", "training.batch_size=8"),
    "training.dtype=float64",
)
IMAGES = (
    "[{name: convolution, maps: 2, size: 3, activation: sigmoid},{name: max_pooling, size: 2},"
    "{n: 10, activation: sigmoid}]"
)
DROPOUT = "[{n: 20, activation: sigmoid},{name: dropout},{n: 10, activation: sigmoid}]"
STEPS = 8
"""Of an epoch: 60 examples in mini-batches of 8, the last of which is short."""


def run(*overrides: str, epochs: int = 3) -> bpframe.RunResult:
    return bpframe.run(bpframe.compose([*SMALL, f"training.epochs={epochs}", *overrides]))


def bits(found: Recording) -> dict[str, bytes]:
    return {
        f"{name}/{key}": np.asarray(array).tobytes()
        for name in found
        for key, array in found[name].items()
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"every": 3}, [0, 3]),
        ({"until": 2}, [0, 1, 2]),
        ({"until": 0}, [0]),
        ({"every": 2, "until": 99}, [0, 2, 4]),
        ({"per_decade": 3}, [0, 1, 2]),
        ({"per_decade": 1, "every": 4}, [0, 4]),
        ({"per_decade": 1, "every": 5}, [0]),
    ],
)
def test_the_times_of_a_recorder(settings: dict[str, Any], expected: list[int]) -> None:
    class Empty(Recorder):
        def record(self, seen: bpframe.Observation) -> dict[str, jax.Array]:
            return {}

    assert Empty(**settings).times(4).tolist() == expected
    assert Empty(**settings).steps(4, 10).tolist() == [10 * time for time in expected]
    assert Empty(by="steps", **settings).steps(1, 4).tolist() == expected


def test_geometric_times_are_the_same_however_long_the_run() -> None:
    class Empty(Recorder):
        def record(self, seen: bpframe.Observation) -> dict[str, jax.Array]:
            return {}

    many = Empty(per_decade=2).times(10**5)
    assert many.tolist()[:7] == [0, 1, 3, 10, 32, 100, 316]
    for last in (1, 2, 9, 10, 31, 99_999):
        assert Empty(per_decade=2).times(last).tolist() == many[many <= last].tolist()


def oracle(params: dict[str, jax.Array], x: jax.Array, y: jax.Array) -> dict[str, jax.Array]:
    """delta, z, a and the mean gradient of a network of three sigmoid layers, by jax.grad."""

    def passed(params, moved, x):
        z, a = [], x
        for layer in (2, 3, 4):
            z.append(params[f"layer_{layer}.w"] @ a + params[f"layer_{layer}.b"] + moved[layer - 2])
            a = jax.nn.sigmoid(z[-1])
        return z

    def cost(params, moved, x, y):
        z = passed(params, moved, x)[-1]
        return jnp.sum(jax.nn.softplus(z) - y * z)

    still = [jnp.zeros_like(params[f"layer_{layer}.b"]) for layer in (2, 3, 4)]
    found = {}
    deltas = jax.vmap(jax.grad(cost, argnums=1), (None, None, 0, 0))(params, still, x, y)
    z = jax.vmap(passed, (None, None, 0))(params, still, x)
    for layer in (2, 3, 4):
        found[f"deltas/layer_{layer}"] = deltas[layer - 2]
        found[f"weighted_inputs/layer_{layer}"] = z[layer - 2]
        found[f"activations/layer_{layer}"] = jax.nn.sigmoid(z[layer - 2])
    gradients = jax.grad(lambda p: jnp.mean(jax.vmap(cost, (None, None, 0, 0))(p, still, x, y)))(
        params
    )
    return found | {f"gradients/{name}": gradient for name, gradient in gradients.items()}


@pytest.mark.slow
def test_recorded_arrays_are_those_of_autodiff_at_the_recorded_step() -> None:
    """Slow: compiles a program."""
    names = ("deltas", "activations", "weighted_inputs", "weights", "gradients")
    record = [f"{{name: {name}, over: test, first: 6, by: steps, every: 5}}" for name in names]
    result = run(f"record=[{','.join(record)}]", "regulariser=l2", "regulariser.strength=0.5")
    test = bpframe.compose([*SMALL]).data.load().test
    x = jnp.asarray(test.x[:6].reshape(6, -1) * test.scale, jnp.float64)
    y = jax.nn.one_hot(test.y[:6], 10, dtype=jnp.float64)
    weights = result.recording["weights"]
    assert weights["layer_2.w"].steps.tolist() == [0, 5, 10, 15, 20]
    for step in weights["layer_2.w"].steps.tolist():
        params = {name: jnp.asarray(array.at(step)) for name, array in weights.items()}
        for path, expected in oracle(params, x, y).items():
            name, key = path.split("/")
            found = result.recording[name][key].at(step)
            scale = np.abs(expected).max()
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * scale, err_msg=path)


@pytest.mark.slow
@pytest.mark.optimised
@pytest.mark.parametrize("every", [1, 2])
def test_recorded_weights_are_those_of_a_run_of_so_many_epochs(every: int) -> None:
    """And the run is not another one for it. Slow: compiles programs."""
    kept = run("record=[weights,deltas]", f"training.evaluate_every={every}")
    for epochs in (1, 2, 3):
        plain = run(epochs=epochs)
        for name, array in zip(("w", "b"), plain.params[1], strict=True):
            recorded = kept.recording["weights"][f"layer_3.{name}"]
            assert recorded.epochs.tolist() == [0, 1, 2, 3]
            assert recorded.at(epochs * STEPS).tobytes() == array.tobytes()
    if every == 1:
        assert [r.tolist() for r in kept.history.train_cost] == [
            r.tolist() for r in plain.history.train_cost
        ]


@pytest.mark.slow
def test_epochs_in_one_go_keep_what_single_epochs_keep() -> None:
    """Slow: compiles programs."""
    record = (
        "record=[{name: deltas, by: steps, every: 3},{name: weights, by: steps, per_decade: 4},"
        "{name: activations, every: 2}]"
    )
    one, many = (run(record, f"training.evaluate_every={n}", epochs=5) for n in (1, 3))
    assert bits(one.recording) == bits(many.recording)
    assert one.recording["deltas"]["layer_2"].steps.tolist() == list(range(0, 41, 3))
    started = run(record, "training.evaluate_start=true", epochs=5)
    assert bits(started.recording) == bits(one.recording)


@pytest.mark.slow
def test_what_is_kept_is_written_over_once_nobody_looks_at_it() -> None:
    """And no sooner. Slow: compiles a program."""
    experiment = bpframe.compose([*SMALL, "record=[{name: weights, by: steps}]"])
    data = loading.load(experiment)
    with precision("float64"):
        programs = Programs(experiment, data)
        state, places = programs.initial, list[int]()
        seen = expected = np.zeros(0)
        for epoch in range(1, 5):
            state, outcome = programs.turn(state, range(epoch, epoch + 1), evaluated=True)
            (kept,) = outcome.kept
            places.append(kept["weights/layer_2.w"].unsafe_buffer_pointer())
            if epoch == 2:
                seen = np.asarray(kept["weights/layer_2.w"])
                expected = seen.copy()
            del kept, outcome
    assert places[0] == places[1]
    assert places[2] == places[3] != places[1]
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.slow
def test_layers_and_axes_of_images() -> None:
    """Slow: compiles a program."""
    result = bpframe.run(
        bpframe.compose(
            [
                *("data.train_size=40", "training.epochs=1"),
                f"network.layers={IMAGES}",
                "record=[{name: activations, layers: [1, 2]},{name: weights, layers: [2]},deltas]",
            ]
        )
    )
    activations = result.recording["activations"]
    assert set(activations) == {"layer_1", "layer_2"}
    assert activations["layer_1"].shape == (2, 32, 8, 8, 1)
    assert activations["layer_2"].axes == ("step", "example", "row", "column", "channel")
    assert activations["layer_2"].layer == 2
    assert set(result.recording["weights"]) == {"layer_2.w", "layer_2.b"}
    assert set(result.recording["deltas"]) == {"layer_2", "layer_3", "layer_4"}
    assert result.recording["deltas"]["layer_4"].axes == ("step", "example", "neuron")


@pytest.mark.slow
def test_dropout_and_averages_are_seen_as_in_evaluation() -> None:
    """The probe has no dropout, and the parameters are those that are saved. Slow: compiles."""
    result = bpframe.run(
        bpframe.compose(
            [
                *("data.train_size=40", "training.epochs=2", "optimiser=parameter_average"),
                f"network.layers={DROPOUT}",
                "record=[activations,weights]",
            ]
        )
    )
    np.testing.assert_array_equal(result.recording["weights"]["layer_2.w"][-1], result.params[0].w)
    dropped, kept = (result.recording["activations"][f"layer_{n}"][-1] for n in (3, 2))
    np.testing.assert_array_equal(dropped, kept)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bpframe.errors.OutputWarning")
def test_the_deltas_of_a_run_that_diverges_are_kept_to_its_end() -> None:
    """Slow: compiles a program."""
    found: list[bpframe.RunResult] = []

    class Told:
        @bpframe.hookimpl
        def bpframe_run_finished(self, result: bpframe.RunResult) -> None:
            found.append(result)

    experiment = bpframe.compose(
        ["data.train_size=40", "optimiser.eta=1e38", "record=[{name: weighted_inputs, by: steps}]"]
    )
    with pytest.raises(bpframe.DivergenceError):
        bpframe.run(experiment, plugins=[Told()])
    z = found[0].recording["weighted_inputs"]["layer_3"]
    assert z.steps.tolist() == [0, 1, 2, 3, 4]
    assert np.isfinite(z[0]).all()
    assert not np.isfinite(z[-1]).all()


def test_the_size_that_is_told_is_that_of_the_arrays() -> None:
    experiment = bpframe.compose([*SMALL, "record=[deltas,{name: weights, layers: [3]}]"])
    data = experiment.data.load()
    size = 31 * 8 * (32 * (7 + 5 + 10) + 7 * 5 + 5)
    assert probes.told(experiment, data) == (
        f"{size / 2**20:.1f} MiB will be recorded of a run: deltas 31 times, weights 31 times"
    )
    assert probes.told(bpframe.compose([*SMALL]), data) is None


REFUSED = {
    "{name: deltas, layers: [1]}": (
        r"record\[0\].layers: deltas has nothing of layer 1; it has layers 2, 3, 4"
    ),
    "{name: weights, layers: [2, 9]}": "has nothing of layer 9; it has layers 2, 3, 4",
    "{name: deltas, over: train, first: 61}": (
        r"record\[0\].first: 61 is out of range; allowed: 1 to 60, the train set"
    ),
    "{name: weights, by: steps}": (
        r"a run would keep 16\.9 MiB \(weights 16\.9 MiB\), more than record_limit, 1 MiB; "
        "set every, .* or record_limit=17"
    ),
}


@pytest.mark.parametrize(("record", "said"), REFUSED.items())
def test_what_cannot_be_recorded_is_refused_before_anything_is_compiled(
    record: str, said: str
) -> None:
    overrides = [*SMALL, f"record=[{record}]", "record_limit=1", "training.epochs=500"]
    with pytest.raises(ConfigError, match=said):
        bpframe.run(bpframe.compose(overrides))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"hidden": (32, 3)}, "'hidden' names no layer; call it layer_2 or layer_2.w"),
        ({"layer_2": (3, 32)}, r"layer_2 has the shape \(3, 32\), without an axis for the 32"),
        ({}, "gives no arrays"),
    ],
)
def test_a_recorder_of_others_that_breaks_its_contract_is_named(
    arrays: dict[str, tuple[int, ...]], said: str
) -> None:
    class Odd(Recorder):
        def record(self, seen: bpframe.Observation) -> dict[str, jax.Array]:
            return {name: jnp.zeros(shape) for name, shape in arrays.items()}

    experiment = bpframe.compose([*SMALL])
    odd = dataclasses.replace(experiment, recorders=(NamedRecorder("odd", Odd()),))
    with pytest.raises(PluginError, match=f"Odd.record: {said}"):
        bpframe.run(odd)


@pytest.mark.slow
def test_a_recorder_of_ones_own_is_chosen_by_its_name() -> None:
    """Slow: compiles programs."""

    class Doubled(Recorder):
        """2 b^l."""

        of_examples = False

        def record(self, seen: bpframe.Observation) -> dict[str, jax.Array]:
            return {f"layer_{n}": 2 * p.b for n, p in enumerate(seen.params, start=2)}

    class Mine:
        BPFRAME_API_VERSION = 2

        @bpframe.hookimpl
        def bpframe_recorders(self) -> dict[str, type[Recorder]]:
            return {"doubled": Doubled}

    experiment = bpframe.compose(
        [*SMALL, "record=[doubled]", "training.epochs=1"], plugins=[Mine()]
    )
    result = bpframe.run(experiment, plugins=[Mine()])
    doubled = result.recording["doubled"]["layer_4"]
    np.testing.assert_array_equal(doubled[-1], 2 * result.params[-1].b)
    assert doubled.axes == ("step", "neuron")
    assert doubled.examples is None


@pytest.mark.slow
def test_a_small_split_is_recorded_whole() -> None:
    """Slow: compiles programs."""
    experiment = bpframe.compose(
        ["data=xor", "record=[deltas]", "training.batch_size=4", "training.epochs=1"]
    )
    deltas = bpframe.run(experiment).recording["deltas"]["layer_2"]
    assert deltas.shape == (2, 4, 30)
    assert deltas.examples is not None
    assert deltas.examples.tolist() == [0, 1, 2, 3]
