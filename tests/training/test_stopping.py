"""Stopping rules: against loops in Python, and in runs that end early."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_runs import composed, equal, lines, summary
from test_training import compiled

import bpframe
from bpframe import ConfigError, EpochResult
from bpframe.plugin_host.host import load_registry

REGISTRY = load_registry()
NAMES = REGISTRY.names("stopping")
# So little that no accuracy ever changes after the first epoch.
STILL = ("optimiser.eta=1e-12", "training.dtype=float64", "training.batch_size=23")


def make(name: str, **fields: Any) -> Any:
    return REGISTRY.get("stopping", name, "stopping")(**fields)


@jax.jit
def asked(rule: Any, accuracies: Any, factors: Any, every: Any = 1) -> Any:
    """Whether the rule wants to stop, from results of every so manieth epoch.

    `factors` has one entry more: that of the first epoch, and then those after each result.
    """

    def after(state: Any, seen: Any) -> tuple[Any, Any]:
        number, accuracy, before, factor = seen
        zero = jnp.zeros_like(accuracy)
        result = EpochResult(every * number, zero, zero, zero, accuracy, accuracy, factor, before)
        return rule.update(state, result)

    numbers = jnp.arange(1, len(accuracies) + 1, dtype=jnp.int32)
    seen = (numbers, accuracies, factors[:-1], factors[1:])
    return jax.lax.scan(after, rule.init(np.float64), seen)[1]


def improvements_end(accuracies: list[float], patience: int, least: float) -> int | None:
    """The epoch after which there were `patience` epochs without a rise, counted from 1."""
    best, since = -1.0, 0
    for epoch, accuracy in enumerate(accuracies, start=1):
        if accuracy - best > least:
            best, since = accuracy, 0
        else:
            since += 1
        if since == patience:
            return epoch
    return None


@settings(deadline=None, max_examples=80)
@given(
    accuracies=st.lists(st.integers(0, 16), min_size=30, max_size=30),
    patience=st.integers(1, 12),
    least=st.sampled_from([0.0, 1 / 16, 1 / 4]),  # sixteenths are exact, so that ties are
)
def test_no_improvement_is_a_loop(accuracies: list[int], patience: int, least: float) -> None:
    shares = [n / 16 for n in accuracies]
    rule = make("no_improvement", patience=patience, least=least)
    found = np.asarray(asked(rule, jnp.asarray(shares), jnp.ones(31)))
    epoch = improvements_end(shares, patience, least)
    assert (int(found.argmax()) + 1 if found.any() else None) == epoch


@pytest.mark.parametrize(("every", "after"), [(1, 6), (2, 8), (3, 9), (4, 12), (10, 20)])
def test_patience_counts_epochs(every: int, after: int) -> None:
    """Nothing improves after the first result, and patience is 5 epochs."""
    rule = make("no_improvement", patience=5)
    found = np.asarray(asked(rule, jnp.ones(12), jnp.ones(13), np.int32(every)))
    assert every * (1 + int(found.argmax())) == after


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_patience_counts_epochs_in_a_run(every: int) -> None:
    """Slow: compiles a program."""
    experiment = composed(
        *(*STILL, "stopping=no_improvement", "stopping.patience=4", "training.epochs=40"),
        f"training.evaluate_every={every}",
    )
    # The first result is the best; the next that is 4 epochs after it ends the run.
    expected = every + math.ceil(4 / every) * every
    assert bpframe.run(experiment).summary.epochs == expected


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.1, 2**-0.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_eta_is_reached_by_any_decay(decay: float, dtype: str) -> None:
    """Seven halvings are 1/128, and so are fourteen of 2^(-1/2), give or take a rounding."""
    rule = make("small_eta")
    factor = np.asarray(1, dtype)
    factors = [factor, *(factor := factor * np.asarray(decay, dtype) for _ in range(60))]
    found = np.asarray([bool(f) for f in asked(rule, jnp.ones(60), jnp.asarray(factors, float))])
    first = next(k for k in range(1, 60) if decay**k <= (1 + 1e-9) / 128)
    assert int(found.argmax()) + 1 == first
    assert found[first:].all()


def test_never_never_stops() -> None:
    assert not np.asarray(asked(make("never"), jnp.zeros(50), jnp.zeros(51))).any()


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_a_boolean_and_the_state_keeps_its_form(name: str) -> None:
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            rule = make(name)
            state = rule.init(np.dtype(dtype))
            result = EpochResult(jnp.asarray(1), *(jnp.asarray(0.5, dtype),) * 7)
            again, stop = rule.update(state, result)
            assert (stop.shape, stop.dtype) == ((), bool)
            old, new = (
                [(x.shape, x.dtype) for x in jax.tree.leaves(tree)] for tree in (state, again)
            )
            assert old == new


@pytest.mark.slow
def test_a_run_ends_early_and_other_values_do_not_recompile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Slow: compiles a program."""
    found = {}

    def run(patience: int, least: float, epochs: int, folder: Path | None = None) -> None:
        experiment = composed(
            *(*STILL, "stopping=no_improvement", f"stopping.patience={patience}"),
            *(f"stopping.least={least}", f"training.epochs={epochs}"),
        )
        found[patience, epochs] = bpframe.run(experiment, folder)

    first = compiled(caplog, lambda: run(3, 0.0, 20, tmp_path))
    assert first.count("turn") == 1
    assert compiled(caplog, lambda: run(5, 0.25, 20)) == []
    result = found[3, 20]
    stopped = result.summary
    assert (stopped.status, stopped.epochs, stopped.error) == ("completed", 4, None)
    assert stopped.stopped == "by stopping rule NoImprovement(patience=3, least=0.0)"
    assert stopped.test_accuracy is not None
    assert stopped.test_cost is not None
    assert result.history.epoch.tolist() == [1, 2, 3, 4]
    assert len(lines(tmp_path)) == 4
    assert summary(tmp_path)["stopped"] == stopped.stopped
    assert summary(tmp_path)["epochs"] == 4
    assert found[5, 20].summary.epochs == 6
    run(3, 0.0, 4)
    assert (found[3, 4].summary.epochs, found[3, 4].summary.stopped) == (4, None)
    assert equal(found[3, 4].params, result.params)


@pytest.mark.slow
def test_small_eta_after_seven_halvings(caplog: pytest.LogCaptureFixture) -> None:
    """The exercise of chapter 3: halve eta whenever nothing improved, and end at 1/128.

    Slow: compiles a program.
    """
    epochs = {}

    def run(patience: int) -> None:
        experiment = composed(
            *(*STILL, "schedule=halve", f"schedule.patience={patience}"),
            *("stopping=small_eta", "training.epochs=40"),
        )
        epochs[patience] = bpframe.run(experiment).summary

    run(1)
    assert compiled(caplog, lambda: run(2)) == []
    assert (epochs[1].epochs, epochs[2].epochs) == (1 + 7, 1 + 14)
    for found in epochs.values():
        assert found.status == "completed"
        assert found.stopped == "by stopping rule SmallEta(factor=0.0078125)"
        assert found.test_accuracy is not None


@pytest.mark.slow
def test_a_run_that_learns_stops_where_its_own_accuracies_say() -> None:
    """Slow: compiles a program."""
    whole, early = (
        bpframe.run(
            composed(
                *("training.epochs=60", "optimiser.eta=1.5", "seed=2"),
                *("stopping=no_improvement", f"stopping.patience={patience}"),
            )
        )
        for patience in (60, 6)
    )
    whole = whole.history
    assert len(whole.epoch) == 60
    epoch = improvements_end(whole.validation_accuracy.tolist(), 6, 0.0)
    assert epoch is not None
    assert 7 < epoch < 60
    assert early.summary.epochs == epoch
    assert early.history.train_cost.tolist() == whole.train_cost[:epoch].tolist()


def test_small_eta_needs_a_schedule_that_lowers_it() -> None:
    rule = make("small_eta")
    assert not np.asarray(asked(rule, jnp.ones(50), jnp.ones(51))).any()


def test_small_eta_waits_while_a_warm_up_raises_it() -> None:
    """It counts from the largest eta: a rise from 1/1000 does not end training, a fall does."""
    factors = [*np.linspace(0.001, 0.8, 30), *(0.8 * 0.5 ** np.arange(1, 31))]
    found = np.asarray(asked(make("small_eta"), jnp.ones(59), jnp.asarray(factors)))
    assert int(found.argmax()) == 30 + 7 - 2  # the seventh halving, of the results from 0
    assert factors[30 + 6] == 0.8 / 128


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "epochs"),
    [
        (["schedule=warm_up", "schedule.epochs=300"], 12),
        (["schedule=cosine", "schedule.warm_up=300"], 12),
        # 1/1000 after the third epoch, which the largest eta of the same three epochs is seen for.
        (["schedule=step", "schedule.every=3", "schedule.decay=0.001"], 3),
        (["schedule=step", "schedule.every=2", "schedule.decay=0.001"], 3),
    ],
)
def test_small_eta_in_a_run(overrides: list[str], epochs: int) -> None:
    """Slow: compiles a program."""
    experiment = composed(
        *(*STILL, *overrides, "stopping=small_eta", "training.epochs=12"),
        "training.evaluate_every=3",
    )
    assert bpframe.run(experiment).summary.epochs == epochs


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["stopping=nevr"], "stopping: unknown 'nevr'; did you mean 'never'?"),
        (["stopping=no_improvement", "stopping.patience=0"], "stopping.patience: 0 is out of ran"),
        (["stopping=no_improvement", "stopping.least=1"], "stopping.least: 1.0 is out of range"),
        (["stopping=small_eta", "stopping.factor=1"], "stopping.factor: 1.0 is out of range"),
        (["stopping.patience=3"], "stopping.patience: is a setting of no_improvement"),
    ],
)
def test_wrong_rules_are_one_line(overrides: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bpframe.compose(overrides)
    assert str(caught.value).startswith(text)
    assert len(str(caught.value).splitlines()) == 1
