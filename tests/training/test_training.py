"""The compiled epoch and evaluation: how they are cut, where they run, when they are compiled."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import numpy_gradient

import bpframe
from bpframe import ConfigError, Dataset, Examples, Shape, products
from bpframe.training import devices, evaluation, initial_state, loading
from bpframe.training.devices import DeviceExamples
from bpframe.training.epoch import BLOCK_BYTES, epochs, train_epoch
from bpframe.training.orders import blocks
from bpframe.training.precision import precision
from bpframe.training.step import answering, train_step

pytestmark = pytest.mark.optimised


def device_examples(n: int, n_in: int) -> DeviceExamples:
    x = np.random.default_rng(n).integers(0, 256, (n, n_in), dtype=np.uint8)
    labels = np.arange(n) % 10
    return devices.to_device(Examples(x, labels, n_out=10, scale=1 / 256), "float32")


def compiled(caplog: pytest.LogCaptureFixture, action: Callable[[], object]) -> list[str]:
    """The names of the programs that XLA compiles during `action`."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        jax.config.update("jax_log_compiles", True)  # the context would hold in this thread alone
        try:
            action()
        finally:
            jax.config.update("jax_log_compiles", False)
    text = "\n".join(record.getMessage() for record in caplog.records)
    return re.findall(r"Finished XLA compilation of jit\((\w+)\)", text)


@pytest.mark.slow
@settings(deadline=None)
@given(n=st.integers(1, 3000), m=st.integers(1, 40), limit=st.integers(1, 200))
def test_blocks_hold_every_row_once_and_in_order(n: int, m: int, limit: int) -> None:
    """Slow: runs whole commands."""
    m = min(m, n)
    order: Any = np.arange(n)
    parts = blocks(order, m, limit)
    np.testing.assert_array_equal(np.concatenate([rows.ravel() for rows in parts]), np.arange(n))
    whole, *rest = parts
    assert whole.shape[1] <= limit
    assert whole.shape[1] > min(limit, n // m) // 2
    assert whole.shape[2] == m
    assert len(rest) <= 2
    assert all(len(rows) == 1 for rows in rest)


@pytest.mark.parametrize(
    ("n", "m", "length"),
    [
        (50_000, 10, 125),  # 40 equal blocks
        (49_990, 10, 119),  # 4999 is a prime: one mini-batch is left over
        (50_000, 50_000, 1),  # the full batch
    ],
)
def test_a_block_of_mnist_stays_near_a_megabyte_and_leaves_little(n, m, length):
    whole, *rest = blocks(jnp.arange(n), m, BLOCK_BYTES // (m * 784))
    assert whole.shape[1] == length
    assert sum(rows.size for rows in rest) <= m


class Odd(Dataset):
    """59 examples with targets that no division makes round."""

    @property
    def shape(self) -> Shape:
        return (5,)

    @property
    def n_out(self) -> int:
        return 3

    def load(self) -> bpframe.Data:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((59, 5))
        part = Examples(x, rng.integers(0, 3, 59), n_out=3)
        return bpframe.Data(part, part.first(7), part.first(5))


@bpframe.hookimpl
def bpframe_datasets():
    return {"odd": Odd}


class Plugin:
    bpframe_datasets = staticmethod(bpframe_datasets)


def composed(*overrides: str) -> bpframe.Experiment:
    return bpframe.compose(["data=odd", "training.dtype=float64", *overrides], plugins=[Plugin])


@pytest.mark.slow
def test_blocks_change_nothing_but_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, mini-batches left over and a short one, against one step after another.

    Slow: it compiles an epoch for each way of cutting it.
    """
    experiment = composed("training.batch_size=4", "optimiser=adam", "network.hidden=[6]")
    data = loading.load(experiment)
    examples = devices.to_device(data.train, "float64")
    order = np.random.default_rng(1).permutation(59).astype(np.int32)
    monkeypatch.setattr("bpframe.training.epoch.BLOCK_BYTES", 4 * 4 * 5 * 8)
    shapes = [rows.shape for rows in blocks(jnp.asarray(order), 4, 4)]
    assert shapes == [(3, 4, 4), (1, 2, 4), (1, 1, 3)]

    initial = initial_state.initial_state(experiment)
    state, totals, finite, *_ = epochs(experiment, initial, examples, order[None], 1)

    one_step = jax.jit(train_step, static_argnames="n")
    expected, cost, correct = initial, 0.0, 0
    for start in range(0, 59, 4):
        batch = devices.take(examples, jnp.asarray(order[start : start + 4]))
        step = one_step(experiment, expected, batch, 59)
        expected = step.state
        cost, correct = cost + float(step.totals.cost), correct + int(step.totals.correct)
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-12, atol=1e-15)
    assert float(totals.cost) == pytest.approx(cost / 59, rel=1e-12)
    assert int(totals.correct) == correct
    assert finite


@pytest.mark.slow
def test_without_shuffling_every_epoch_is_in_the_order_of_the_data() -> None:
    """Against steps of the NumPy network; the last mini-batch is short.

    Slow: compiles a program.
    """
    experiment = composed(
        *("training.shuffle=false", "training.batch_size=25", "training.epochs=2"),
        *("network.hidden=[6]", "optimiser.eta=0.5", "seed=3"),
    )
    result = bpframe.run(experiment)
    train = loading.load(experiment).train
    x, y = np.asarray(train.x, float), np.eye(3)[train.y]
    params = [
        (np.asarray(layer.w), np.asarray(layer.b))
        for layer in initial_state.initial_state(experiment).params
    ]
    for start in (0, 25, 50) * 2:
        batch = slice(start, start + 25)
        gradient = numpy_gradient(["sigmoid"] * 2, "cross_entropy", params, x[batch], y[batch])
        params = [
            (w - 0.5 * nabla_w, b - 0.5 * nabla_b)
            for (w, b), (nabla_w, nabla_b) in zip(params, gradient, strict=True)
        ]
    for layer, (w, b) in zip(result.params, params, strict=True):
        np.testing.assert_allclose(np.asarray(layer.w), w, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(np.asarray(layer.b), b, rtol=1e-12, atol=1e-14)


@pytest.mark.share(3)
# The bound is on the sum of m products of normal numbers, in units of the accumulator's eps.
@pytest.mark.parametrize(
    ("form", "dtype", "eps"),
    [
        (products.sum_of_products, "float64", 2.0**-52),
        (products.sum_of_products, "float32", 2.0**-23),
        (products.sum_of_products, "bfloat16", 2.0**-23),
        (products._plain, "float32", 2.0**-23),
        (products._transposed_first, "float32", 2.0**-23),
        (products._widened, "bfloat16", 2.0**-23),
    ],
)
@pytest.mark.parametrize("m", [1, 10, 300])
def test_sums_over_the_mini_batch_are_numpys(m: int, form: Any, dtype: str, eps: float) -> None:
    n_out, n_in = 20, 15
    assert 10 * n_out < products.SMALL < 300 * n_out  # both sides of what is small
    rng = np.random.default_rng(m)
    delta = jnp.asarray(rng.standard_normal((m, n_out)), dtype)
    a = jnp.asarray(rng.standard_normal((m, n_in)), dtype)
    exact_delta, exact_a = np.asarray(delta, np.float64), np.asarray(a, np.float64)
    found = jax.jit(form)(delta, a)
    assert found.dtype == (jnp.float64 if dtype == "float64" else jnp.float32)
    np.testing.assert_allclose(
        np.asarray(found, np.float64), exact_delta.T @ exact_a, rtol=0, atol=8 * m * eps
    )
    np.testing.assert_allclose(
        np.asarray(products.sum_of_deltas(delta), np.float64),
        exact_delta.sum(axis=0),
        rtol=0,
        atol=8 * m * eps,
    )


def test_neurons_first_is_the_product() -> None:
    rng = np.random.default_rng(0)
    w, a = jnp.asarray(rng.standard_normal((7, 5))), jnp.asarray(rng.standard_normal((300, 5)))
    z = jax.jit(jax.vmap(products.neurons_first, in_axes=(None, 0)))(w, a)
    np.testing.assert_allclose(np.asarray(z), np.asarray(a) @ np.asarray(w).T, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_the_same_programs_lower_for_other_devices(platform: str, dtype: str) -> None:
    """Without what only the CPU needs: barriers, and products in a wider dtype."""
    experiment = composed(f"training.dtype={dtype}")
    with precision(dtype):
        examples = devices.to_device(loading.load(experiment).train, dtype)
        state = initial_state.initial_state(experiment)
        order = np.arange(59, dtype=np.int32)
        n = np.float32(59)
        traced = (
            epochs.trace(experiment, state, examples, order[None], 1),
            evaluation.evaluate.trace(experiment, answering(experiment, state), examples, n),
        )
        for program in traced:
            here = program.lower(lowering_platforms=("cpu",)).as_text()
            there = program.lower(lowering_platforms=(platform,)).as_text()
            assert "optimization_barrier" in here or dtype == "bfloat16"
            assert "optimization_barrier" not in there
            products_there = re.findall(r"stablehlo\.dot_general.*", there)
            assert products_there
            assert all("precision = [HIGHEST, HIGHEST]" in line for line in products_there)


def test_who_wants_rounded_products_has_them() -> None:
    with jax.default_matmul_precision("tensorfloat32"), precision("float32"):
        text = jax.jit(jnp.matmul).trace(jnp.ones((2, 2)), jnp.ones((2, 2))).lower().as_text()
    assert "HIGHEST" not in text


def test_products_work_for_lanes_of_runs() -> None:
    rng = np.random.default_rng(0)
    delta, a = (
        jnp.asarray(rng.standard_normal((3, 8, 4))),
        jnp.asarray(rng.standard_normal((3, 8, 5))),
    )
    lanes = jax.jit(jax.vmap(products.sum_of_products))(delta, a)
    np.testing.assert_allclose(lanes, np.einsum("lmi,lmj->lij", delta, a), rtol=1e-12)


@pytest.mark.slow
def test_runs_that_differ_in_numbers_share_one_compilation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Slow: compiles a program."""

    def run(seed: int, eta: float, strength: float, slope: float) -> None:
        bpframe.run(
            composed(
                f"seed={seed}",
                f"optimiser.eta={eta}",
                "regulariser=l2",
                f"regulariser.strength={strength}",
                f"network.activation={{name: leaky_relu, slope: {slope}}}",
                "network.hidden=[6]",
                "training.epochs=4",
            )
        )

    first = compiled(caplog, lambda: run(0, 0.1, 1.0, 0.1))
    again = compiled(caplog, lambda: run(1, 0.2, 2.0, 0.2))
    assert first.count("turn") == 1  # that of the test set is compiled in another thread
    assert again == []


@pytest.mark.slow
def test_the_program_does_not_depend_on_the_number_of_epochs() -> None:
    """Slow: compiles a program."""
    texts = set()
    for planned in (1, 400):
        experiment = composed(f"training.epochs={planned}")
        examples = devices.to_device(loading.load(experiment).train, "float64")
        state = initial_state.initial_state(experiment)
        order = np.arange(59, dtype=np.int32)
        texts.add(epochs.lower(experiment, state, examples, order[None], 1).as_text())
    assert len(texts) == 1


@pytest.mark.slow
@pytest.mark.parametrize("overrides", ["optimiser=sgd", "optimiser=adam", "regulariser=l2"])
def test_weights_are_not_overwritten_before_their_last_use(overrides: str) -> None:
    """What the region analysis of copies would do if it were wrong.

    Slow: every case compiles an epoch twice.
    """
    experiment = composed(overrides, "network.hidden=[6,6,6]", "training.batch_size=4")
    examples = devices.to_device(loading.load(experiment).train, "float64")
    state = initial_state.initial_state(experiment)
    order = np.arange(59, dtype=np.int32)
    with_analysis = epochs(experiment, state, examples, jnp.asarray(order)[None], 1)
    without = jax.jit(train_epoch)(experiment, state, examples, order)
    for ours, theirs in zip(jax.tree.leaves(with_analysis), jax.tree.leaves(without), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_auto_leaves_the_device_to_the_user() -> None:
    mine = jax.devices()[0]
    with jax.default_device(mine), devices.on_device("auto"):
        assert jax.config.values["jax_default_device"] is mine
    with devices.on_device("auto"):
        assert jax.config.values["jax_default_device"] is None
    with devices.on_device("cpu"):
        assert jax.config.values["jax_default_device"] is not None


@pytest.mark.slow
def test_the_device_is_in_the_summary() -> None:
    """Slow: compiles a program."""
    experiment = composed("training.device=cpu", "training.epochs=1")
    assert bpframe.run(experiment).summary.device.lower().startswith("cpu")
    assert {leaf.device.platform for leaf in jax.tree.leaves(device_examples(3, 2))} == {"cpu"}


@pytest.mark.parametrize("device", ["gpu", "tpu"])
def test_a_device_that_is_not_here_is_refused(device: str, tmp_path) -> None:
    try:
        jax.devices(device)
    except RuntimeError:
        pass
    else:
        device = "tpu" if device == "gpu" else "gpu"
    experiment = composed(f"training.device={device}")
    with pytest.raises(ConfigError, match=rf"training\.device: JAX has no device for '{device}'"):
        bpframe.run(experiment, tmp_path)
    assert not list(tmp_path.iterdir())


def test_device_names_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"training\.device: unknown 'cuda'; known: auto, cpu"):
        composed("training.device=cuda")
    experiment = composed()
    bad = dataclasses.replace(
        experiment, training=dataclasses.replace(experiment.training, device="cuda")
    )
    with pytest.raises(ConfigError, match=r"training\.device: unknown 'cuda'"):
        bpframe.run(bad)
