"""What the public functions that take arrays refuse: by one line, which names the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bpframe_plugins.activations import Linear, Sigmoid
from bpframe_plugins.costs import CrossEntropy, Quadratic
from oracles import assert_close, autodiff_gradient, make_network, random_params
from safetensors.numpy import save_file

import bpframe
from bpframe import BpframeError, DataError, Examples, Params
from bpframe.deltas.curvature import Curvature
from bpframe.equations import Unpaired

RNG = np.random.default_rng(0)
NETWORK = make_network([3, 4, 2], [Sigmoid(), Sigmoid()])
PARAMS = random_params(RNG, [3, 4, 2])
X = RNG.normal(size=(5, 3))
Y = np.eye(2)[RNG.integers(2, size=5)]


def refused(call: Callable[[], Any], *said: str) -> None:
    """It raises one line, which holds each of these, and no error is shown above it."""
    with pytest.raises(DataError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    for text in said:
        assert text in message


def gradient(x: Any = X, y: Any = Y, params: Any = PARAMS, **more: Any) -> Any:
    chosen = {"network": NETWORK, "cost": Quadratic(), "params": params, "x": x, "y": y, **more}
    return bpframe.gradient(**chosen)


LABELS = np.array([0, 1, 1, 0, 1])
FAULTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "labels": ({"y": LABELS}, ("y (5,)", "(m, 2)", "one-hot targets in place of class labels")),
    "columns": ({"y": np.ones((5, 1))}, ("y (5, 1)", "(m, 2)")),
    "one target for all": ({"y": Y[:1]}, ("x has shape (5, 3) and y (1, 2)",)),
    "domain": (
        {"y": Y * 3, "cost": CrossEntropy()},
        ("CrossEntropy is defined for targets from 0 to 1", "y has 0 to 3"),
    ),
    "inputs": ({"x": X[:, :2]}, ("x has shape (5, 2)", "(m, 3)")),
    "one example": ({"x": X[0], "y": Y[0]}, ("x has shape (3,)", "(m, 3)")),
    "text": ({"x": X.astype(str)}, ("x: is an array of <U", "real numbers")),
    "objects": ({"x": X.astype(object)}, ("x: is an array of object", "real numbers")),
    "complex": ({"x": X + 0j}, ("x: is an array of complex128", "real numbers")),
    "complex targets": ({"y": Y + 0j}, ("y: is an array of complex128", "real numbers")),
    "not a number": ({"x": X * np.nan}, ("x: holds values that are not finite",)),
    "infinite targets": ({"y": np.full((5, 2), np.inf)}, ("y: holds values that are not finite",)),
    "ragged": ({"x": [[1.0, 2, 3], [1.0]]}, ("x: has rows of different lengths",)),
    "a layer is missing": ({"params": PARAMS[:1]}, ("params: has 1 entries", "layers 2..3")),
    "one layer alone": ({"params": PARAMS[0]}, ("params: layer 2 has", "(4, 3)")),
    "no tuple": ({"params": {"layer_2": PARAMS[0]}}, ("params: is dict", "layers 2..3")),
    "other sizes": (
        {"params": random_params(RNG, [3, 5, 2])},
        ("params: layer 2 has w (5, 3), b (5,); the network has w (4, 3), b (4,)",),
    ),
    "biases that broadcast": (
        {"params": (PARAMS[0]._replace(b=jnp.zeros(1)), PARAMS[1])},
        ("params: layer 2 has w (4, 3), b (1,)",),
    ),
    "outputs that broadcast": (
        {"params": (PARAMS[0], Params(jnp.zeros((1, 4)), jnp.zeros(1)))},
        ("params: layer 3 has w (1, 4), b (1,); the network has w (2, 4), b (2,)",),
    ),
    "biases are missing": (
        {"params": (PARAMS[0], {"w": PARAMS[1].w})},
        ("params: layer 3 has w (2, 4); the network has w (2, 4), b (2,)",),
    ),
    "no examples": ({"x": X[:0], "y": Y[:0]}, ("x has shape (0, 3), which holds nothing",)),
    "whole parameters": (
        {"params": jax.tree.map(lambda part: part.astype(int), PARAMS)},
        ("params: layer 2 is of int64; expected floats",),
    ),
    "outputs outside of the cost": (
        {"network": make_network([3, 4, 2], [Sigmoid(), Linear()]), "cost": CrossEntropy()},
        ("CrossEntropy is defined for outputs from 0 to 1, and Linear gives -inf to inf",),
    ),
    "a pair of another activation": (
        {"cost": Unpaired(Quadratic(), Linear())},
        ("cost: Unpaired is made for Linear, and the output layer has Sigmoid",),
    ),
    "no rule": ({"rule": "backprop"}, ("rule: is str; expected bpframe.LearningRule",)),
    "no network": ({"network": PARAMS}, ("network: is tuple; expected bpframe.Network",)),
    "no cost": ({"cost": "quadratic"}, ("cost: is str; expected bpframe.Cost or",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_gradient_refuses(fault: str) -> None:
    given, said = FAULTS[fault]
    with np.errstate(all="ignore"):
        refused(lambda: gradient(**given), *said)


@pytest.mark.parametrize("fault", ["labels", "columns", "inputs", "complex", "other sizes"])
def test_gradient_refuses_while_it_is_traced(fault: str) -> None:
    given, said = FAULTS[fault]
    given = {"x": X, "y": Y, "params": PARAMS, **given}
    traced = jax.jit(lambda x, y, params: gradient(x, y, params))
    refused(lambda: traced(given["x"], given["y"], given["params"]), said[0].split(";")[0])


@pytest.mark.slow
def test_gradient_takes_lists_numpy_and_flat_images() -> None:
    """Slow: compiles programs."""
    expected = autodiff_gradient(NETWORK, Quadratic(), PARAMS, jnp.asarray(X), jnp.asarray(Y))
    host = jax.tree.map(np.asarray, PARAMS)
    for params in (PARAMS, list(host)):
        for x, y in ((X, Y), (X.tolist(), Y.tolist())):
            assert_close(gradient(x, y, params).mean, expected, 1e-12)


def test_whole_numbers_become_floats() -> None:
    """Bytes of pictures, and one-hot targets of integers or booleans."""
    x = RNG.integers(256, size=(5, 3)).astype(np.uint8)
    expected = gradient(x.astype(float)).mean
    assert_close(gradient(x, Y.astype(int)).mean, expected, 0)
    assert_close(gradient(x, Y.astype(bool)).mean, expected, 0)
    seen = bpframe.forward(NETWORK, PARAMS, x[0]).a[-1]  # pyright: ignore[reportArgumentType]
    assert_close(seen, gradient(x).trace.a[-1][0], 1e-14)


def test_checks_leave_nothing_in_what_is_compiled() -> None:
    """Neither a check of values nor a look at numbers is in the program."""
    traced = jax.make_jaxpr(lambda x, y: gradient(x, y).mean)(X, Y)
    assert "is_finite" not in str(traced)
    assert "callback" not in str(traced)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"x": X}, ("x has shape (5, 3); expected one example (3,)", "jax.vmap")),
        ({"x": X[0, :1]}, ("x has shape (1,); expected one example (3,)",)),
        ({"x": X[0] + 0j}, ("x: is an array of complex128",)),
        ({"x": X[0] * np.nan}, ("x: holds values that are not finite",)),
        ({"x": ["a", "b", "c"]}, ("x: is an array of <U1",)),
        ({"params": PARAMS[:1]}, ("params: has 1 entries",)),
        ({"params": random_params(RNG, [3, 5, 2])}, ("params: layer 2 has w (5, 3)",)),
        ({"network": None}, ("network: is NoneType",)),
    ],
)
def test_forward_refuses(given: dict[str, Any], said: tuple[str, ...]) -> None:
    refused(
        lambda: bpframe.forward(**{"network": NETWORK, "params": PARAMS, "x": X[0], **given}), *said
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: g[:1], ("gradient: has ", "as params has")),
        (lambda g: (g[0], g[1]._replace(b=jnp.zeros(1))), ("gradient: has ", "1.b (1,)")),
        (lambda g: jax.tree.map(lambda part: part[None], g), ("gradient: has ", "(1, 4, 3)")),
    ],
)
def test_a_step_refuses_a_gradient_of_other_shapes(change: Any, said: tuple[str, ...]) -> None:
    refused(lambda: bpframe.gradient_descent_step(PARAMS, change(PARAMS), 0.1), *said)


def test_a_step_refuses_what_is_no_eta() -> None:
    for eta, said in (("a", "eta: is an array of <U1"), (1j, "complex"), (np.nan, "not finite")):
        refused(lambda eta=eta: bpframe.gradient_descent_step(PARAMS, PARAMS, eta), said)  # pyright: ignore[reportArgumentType]
    refused(
        lambda: bpframe.gradient_descent_step(PARAMS, PARAMS, jnp.ones(3)), "eta: has shape (3,)"
    )


def test_with_weights_refuses_other_shapes() -> None:
    other = (PARAMS[0]._replace(w=jnp.zeros((1, 3))), PARAMS[1])
    refused(lambda: bpframe.with_weights(PARAMS, other), "others: has ", "0.w (1, 3)")
    refused(lambda: bpframe.with_weights(PARAMS, PARAMS[:1]), "others: has ", "as params has")
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    found = bpframe.with_weights(PARAMS, zeros)
    assert not any(np.any(own.w) for own in found)
    assert_close([own.b for own in found], [own.b for own in PARAMS], 0)


def test_map_weights_refuses_what_is_no_array() -> None:
    refused(lambda: bpframe.map_weights(lambda w, _: w, {"w": "text"}), "params: is str")


@pytest.mark.parametrize(
    ("delta", "a_prev", "said"),
    [
        (X, X[:4], "delta has shape (5, 3) and a_prev (4, 3)"),
        (X, X[:1], "delta has shape (5, 3) and a_prev (1, 3)"),
        (X[0], X, "delta: has shape (3,)"),
        (X, X[:, 0], "a_prev: has shape (5,)"),
        (X.astype(int), X, "delta: has shape (5, 3) and dtype int64; expected floats (m, n_out)"),
        (X + 0j, X, "delta: is an array of complex128"),
        (X.tolist(), X, "delta: is list"),
    ],
)
def test_sums_over_a_mini_batch_refuse(delta: Any, a_prev: Any, said: str) -> None:
    refused(lambda: bpframe.sum_of_products(delta, a_prev), said)
    if said.startswith("delta:"):
        refused(lambda: bpframe.sum_of_deltas(delta), said)


def curvature(**more: Any) -> Curvature:
    pair = bpframe.compose(["cost=quadratic", "network.hidden=[3]"]).cost
    found = gradient(cost=pair)
    return Curvature(NETWORK, pair, PARAMS, found.trace, jnp.asarray(Y))._replace(**more)


def test_the_trace_of_the_hessian_refuses_other_targets_and_costs_without_curvature() -> None:
    assert len(bpframe.hessian_trace(curvature())) == 2
    refused(lambda: bpframe.hessian_trace(curvature(y=jnp.ones((5, 1)))), "y has shape (5, 1)")
    refused(lambda: bpframe.hessian_trace(curvature(y=LABELS)), "y has shape (5,)", "(5, 2)")
    refused(lambda: bpframe.hessian_trace(NETWORK), "at: is Network; expected bpframe.Curvature")  # pyright: ignore[reportArgumentType]
    other = bpframe.compose(["cost=absolute", "network.output_activation=linear"]).cost
    with pytest.raises(bpframe.ConfigError, match="hessian_trace: needs the curvature of the cost"):
        bpframe.hessian_trace(curvature(pair=other))


def test_whether_there_is_curvature_is_asked_of_a_pair() -> None:
    pair = bpframe.compose(["cost=quadratic"]).cost
    assert bpframe.has_curvature(pair, 10)
    refused(lambda: bpframe.has_curvature(Quadratic(), 10), "pair: is Quadratic")  # pyright: ignore[reportArgumentType]
    refused(lambda: bpframe.has_curvature(pair, 0), "n_out: 0 is no number of outputs")


ONE = {"x": X, "y": LABELS, "n_out": 2}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"x": X.tolist()}, "x is list; expected a NumPy array"),
        ({"x": X.astype(object)}, "x has dtype object"),
        ({"x": X + 0j}, "x has dtype complex128"),
        ({"x": X * np.inf}, "x holds values that are not finite"),
        ({"y": Y * np.nan}, "y holds values that are not finite"),
        ({"y": LABELS.astype(str)}, "class labels (n,) are integers"),
        ({"y": LABELS.astype(float)}, "class labels (n,) are integers"),
        ({"y": LABELS + 1}, "labels run from 1 to 2; expected 0 to 1"),
        ({"y": LABELS[:4]}, "x has shape (5, 3) and y (4,)"),
        ({"y": Y[:, :1]}, "targets have 1 columns, not 2"),
        ({"n_out": 2.0}, "n_out is 2.0"),
        ({"features": ("a", "b")}, "2 features are named, and x has shape (5, 3)"),
        ({"scale": np.ones(2)}, "scale has shape (2,)"),
        ({"scale": np.nan}, "scale has shape (), or is not finite"),
        ({"mean": np.ones((1, 3))}, "mean has shape (1, 3)"),
        ({"task": "regression"}, "task is 'regression'; expected a bpframe.Task"),
    ],
)
def test_examples_refuse(given: dict[str, Any], said: str) -> None:
    with np.errstate(invalid="ignore"):
        refused(lambda: Examples(**{**ONE, **given}), "examples: ", said)


def test_data_of_a_run_are_the_three_sets_of_examples() -> None:
    experiment = bpframe.compose(["data=xor"])
    one = Examples(X, LABELS, 2)
    refused(lambda: bpframe.run(experiment, data=(X, LABELS)), "data: is tuple; expected bpframe")  # pyright: ignore[reportArgumentType]
    fitting = Examples(X[:, :2], Y[:, :1], 1)
    sets: Any = bpframe.Data(fitting, X, fitting)  # pyright: ignore[reportArgumentType]
    refused(lambda: bpframe.run(experiment, data=sets), "the validation set of Xor is ndarray")
    refused(lambda: bpframe.compose(data=sets), "the validation set is ndarray")
    refused(
        lambda: bpframe.run(experiment, data=bpframe.Data(one, one, one)),
        "the train set has inputs of shape (3,) and 2 outputs; promised",
    )


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({}, "the sets are nothing"),
        ({"test": (X, LABELS)}, "the sets are 'test'; expected 'train'"),
        ({"train": (X, LABELS), "valid": (X, LABELS)}, "the sets are 'train', 'valid'"),
        ({"train": (X, LABELS), "test": (X[:, :2], LABELS)}, "(5, 3) in train, (5, 2) in test"),
        ({"train": (X, LABELS[:4])}, "the train set has 5 inputs and 4 targets"),
        ({"train": (X + 0j, LABELS)}, "expected numbers (n, n_in)"),
        ({"train": (X, LABELS + 0j)}, "y: has dtype complex128"),
    ],
)
def test_arrays_of_sets_are_refused(sets: Any, said: str) -> None:
    refused(lambda: bpframe.data_of_arrays(sets), said)


def test_a_table_may_be_a_frame_and_nothing_else() -> None:
    frame = {"a": np.arange(20.0), "b": ["u", "v"] * 10}
    found = bpframe.data_of_table(frame, bpframe.Columns(("b",)))
    assert found.task.names == ("u", "v")
    refused(lambda: bpframe.data_of_table(X, bpframe.Columns(("b",))), "is ndarray; expected a fra")


def test_parameters_of_another_network_are_refused(tmp_path: Any) -> None:
    path = tmp_path / "params.safetensors"
    arrays = {
        f"layer_{n}.{k}": np.asarray(v)
        for n, p in enumerate(PARAMS, 2)
        for k, v in p._asdict().items()
    }
    save_file(arrays, path)
    assert_close(bpframe.read_params(path, NETWORK.params), PARAMS, 0)
    other = make_network([3, 5, 2], [Linear(), Linear()])
    refused(
        lambda: bpframe.read_params(path, other.params),
        "layer_2.w has shape (4, 3); the network has (5, 3)",
    )


def test_errors_of_the_public_doors_have_none_above_them(tmp_path: Any) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xff\xfe\n")
    for call in (
        lambda: bpframe.read_csv(path),
        lambda: bpframe.read_csv(tmp_path / "none.csv"),
        lambda: bpframe.read_parquet(path),
        lambda: bpframe.read_params(path),
        lambda: bpframe.compose(["optimiser.eta=x"]),
        lambda: bpframe.load(tmp_path),
        lambda: bpframe.Sweep(tmp_path),
        lambda: bpframe.resume(tmp_path),
        lambda: bpframe.sweep(["optimiser.eta=x,y"], tmp_path / "s"),
        lambda: bpframe.data_of_arrays({"train": ([[1], [1, 2]], [0, 1])}),
    ):
        with pytest.raises(BpframeError) as raised:
            call()
        assert raised.value.__cause__ is None, raised.value
        assert raised.value.__suppress_context__, raised.value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["optimiser.eta=0.1,0.2"], "optimiser.eta=0.1,0.2: has several values; bpframe.sweep"),
        (["seed=range(0,3)"], "seed=range(0,3): has several values; bpframe.sweep runs them all"),
        (["-m", "seed=1,2"], "overrides: '-m' is an option of the command"),
        (["hydra.run.dir=x"], "hydra.run.dir=x: is of commands, and does nothing here"),
        (["hydra/launcher=basic"], "hydra/launcher=basic: is of commands"),
        (["plots=false"], "is no part of an experiment; give it to bpframe.run"),
        (["data"], "data: cannot be read as key=value"),
    ],
)
def test_words_of_commands_are_refused_in_the_words_of_programs(
    given: list[str], said: str
) -> None:
    with pytest.raises(bpframe.ConfigError) as raised:
        bpframe.compose(given)
    assert said in str(raised.value)
    assert "--multirun" not in str(raised.value)


def test_what_is_run_is_an_experiment() -> None:
    for given in ("data=xor", None, NETWORK):
        refused(
            lambda given=given: bpframe.run(given),  # pyright: ignore[reportArgumentType]
            f"experiment: is {type(given).__name__}; expected bpframe.Experiment",
        )


@pytest.mark.parametrize("given", ["data=xor", None, [1], [None], 3])
def test_overrides_are_a_list_of_texts(given: Any, tmp_path: Any) -> None:
    for call in (bpframe.compose, lambda o: bpframe.sweep(o, tmp_path / "s")):
        with pytest.raises(bpframe.ConfigError, match=r"^overrides: "):
            call(given)
