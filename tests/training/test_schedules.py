"""Schedules: their factors against NumPy, and what they do to a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_cli
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import numpy_step
from test_cli import Main
from test_runs import N_TRAIN, Small, composed
from test_training import compiled

import bpframe
from bpframe import ConfigError, EpochResult, Experiment, Optimiser, Progress, hookimpl
from bpframe.configuration.assembly import assemble
from bpframe.plugin_host.host import load_registry
from bpframe.training import devices, initial_state
from bpframe.training.epoch import train_epoch
from bpframe.training.step import train_step

main = test_cli.main

REGISTRY = load_registry()
AROUND = ("clip_by_global_norm", "layer_rates", "max_norm", "parameter_average")
NAMES = REGISTRY.names("schedule")
STEPS_PER_EPOCH = 5  # 23 examples in mini-batches of 5


def make(name: str, **fields: Any) -> Any:
    return REGISTRY.get("schedule", name, "schedule")(**fields)


def factors(schedule: Any, t: np.ndarray, epochs: float, length: float) -> np.ndarray:
    state = schedule.init(np.float64)
    return np.asarray(schedule.factor(state, Progress(jnp.asarray(t), epochs, length)))


def step(
    t: float, planned: float, length: float, /, every: float = 10.0, decay: float = 0.5
) -> float:
    return decay ** math.floor(Fraction(t).limit_denominator(10**6) / Fraction(str(every)))


def cosine(
    t: float, planned: float, length: float, /, final: float = 0.0, warm_up: float = 0.0
) -> float:
    if t < warm_up:
        return min(1.0, (t + length) / warm_up)
    s = min(1.0, (t - warm_up) / (planned - warm_up)) if planned > warm_up else 1.0
    return final + (1 - final) * (1 + math.cos(math.pi * s)) / 2


def warm_up(
    t: float, planned: float, length: float, /, start: float = 0.0, epochs: float = 1.0
) -> float:
    return start + (1 - start) * min(1.0, (t + length) / epochs)


ORACLES: dict[str, Callable[..., float]] = {
    "constant": lambda t, planned, length: 1.0,
    "step": step,
    "cosine": cosine,
    "warm_up": warm_up,
}
CASES: list[tuple[str, dict[str, float]]] = [
    ("constant", {}),
    ("step", {}),
    ("step", {"every": 3.0, "decay": 0.1}),
    ("step", {"every": 0.4, "decay": 0.9}),
    ("cosine", {}),
    ("cosine", {"final": 0.1}),
    ("cosine", {"final": 0.2, "warm_up": 4.0}),
    ("cosine", {"warm_up": 50.0}),
    ("warm_up", {}),
    ("warm_up", {"epochs": 7.5, "start": 0.2}),
]


def test_every_schedule_is_held_against_something() -> None:
    assert set(NAMES) == {*ORACLES, "halve"}


@pytest.mark.parametrize(("name", "fields"), CASES, ids=str)
@pytest.mark.parametrize("steps_per_epoch", [1, 7, 60])
def test_factor_at_every_step(name: str, fields: dict[str, float], steps_per_epoch: int) -> None:
    epochs = 20.0
    t = np.arange(20 * steps_per_epoch + 1) / steps_per_epoch
    length = 1 / steps_per_epoch
    found = factors(make(name, **fields), t, epochs, length)
    expected = [ORACLES[name](time, epochs, length, **fields) for time in t.tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "fields"), CASES, ids=str)
def test_no_step_is_lost(name: str, fields: dict[str, float]) -> None:
    """In 20 epochs of 60 steps the first has the share of a rise, and none has nothing."""
    t = np.arange(20 * 60) / 60
    found = factors(make(name, **fields), t, 20.0, 1 / 60)
    assert found.min() > 0
    rise = fields.get("epochs", 1.0) if name == "warm_up" else fields.get("warm_up", 0.0)
    start = fields.get("start", 0.0)
    expected = start + (1 - start) / (60 * rise) if rise else 1.0
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    if rise < 20:
        assert found.max() == 1.0
        np.testing.assert_allclose(found[int(60 * rise) - 1 if rise else 0], 1.0, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_factors_are_scalars_of_the_dtype(name: str, dtype: str) -> None:
    schedule = make(name)
    with jax.enable_x64(dtype == "float64"):
        state = schedule.init(np.dtype(dtype))
        factor = schedule.factor(state, Progress(jnp.asarray(1.5, dtype), 20.0, 0.25))
        assert (factor.shape, factor.dtype) == ((), np.dtype(dtype))
        result = EpochResult(jnp.asarray(1), *(jnp.asarray(0.5, dtype),) * 7)
        again = schedule.update(state, result)
        old, new = ([(x.shape, x.dtype) for x in jax.tree.leaves(tree)] for tree in (state, again))
        assert old == new
        assert jax.tree.structure(state) == jax.tree.structure(again)


def halved(accuracies: list[float], patience: int, decay: float) -> list[float]:
    """The factor after each epoch, as chapter 3 of the book has it."""
    found, factor, best, since = [], 1.0, -1.0, 0
    for accuracy in accuracies:
        if accuracy > best:
            best, since = accuracy, 0
        else:
            since += 1
        if since == patience:
            factor, since = factor * decay, 0
        found.append(factor)
    return found


@jax.jit
def halving(schedule: Any, accuracies: Any, every: Any = 1) -> Any:
    def after(state: Any, seen: Any) -> tuple[Any, Any]:
        number, accuracy = seen
        zero = jnp.zeros_like(accuracy)
        result = EpochResult(every * number, zero, zero, zero, accuracy, accuracy, zero, zero)
        state = schedule.update(state, result)
        return state, schedule.factor(state, Progress(zero, 1.0, 1.0))

    numbers = jnp.arange(1, len(accuracies) + 1, dtype=jnp.int32)
    return jax.lax.scan(after, schedule.init(np.float64), (numbers, accuracies))[1]


@settings(deadline=None, max_examples=60)
@given(
    accuracies=st.lists(st.integers(0, 6), min_size=40, max_size=40),
    patience=st.integers(1, 9),
    decay=st.sampled_from([0.5, 0.25, 0.9]),
)
def test_halve_is_the_books(accuracies: list[int], patience: int, decay: float) -> None:
    shares = [n / 6 for n in accuracies]
    found = halving(make("halve", patience=patience, decay=decay), jnp.asarray(shares))
    np.testing.assert_allclose(found, halved(shares, patience, decay), rtol=1e-12)


@pytest.mark.parametrize(("every", "after"), [(1, 4), (2, 6), (3, 6), (5, 10)])
def test_halves_patience_counts_epochs(every: int, after: int) -> None:
    """Nothing improves after the first result, and patience is 3 epochs."""
    found = halving(make("halve", patience=3), jnp.ones(12), np.int32(every))
    assert every * (1 + int(np.argmax(np.asarray(found) < 1))) == after


def trained(experiment: Experiment, factor: Callable[[int, list[float]], float]) -> Any:
    """Gradient descent as a loop, with eta times `factor` (steps done, accuracies so far)."""
    params = initial_state.initial_state(experiment).params
    split, validation = Small().load().train, Small().load().validation
    y = np.eye(2)[split.y]
    eta = experiment.optimiser.eta  # pyright: ignore[reportAttributeAccessIssue]
    done, accuracies = 0, []
    for epoch in range(1, experiment.training.epochs + 1):
        order = np.random.default_rng([experiment.seed, epoch]).permutation(N_TRAIN)
        for start in range(0, N_TRAIN, 5):
            rows = order[start : start + 5]
            now = eta * factor(done, accuracies)
            params = numpy_step(
                ["sigmoid"] * 2, "cross_entropy", params, split.x[rows], y[rows], now
            )
            done += 1
        a = validation.x
        for w, b in params:
            a = 1 / (1 + np.exp(-(a @ w.T + b)))
        accuracies.append(float(np.mean(a.argmax(axis=1) == validation.y)))
    return params


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("step", {"every": 1.4, "decay": 0.5}, {"every": 1.0, "decay": 0.25}),
        ("cosine", {"final": 0.0, "warm_up": 1.5}, {"final": 0.25, "warm_up": 0.0}),
        ("warm_up", {"epochs": 2.2, "start": 0.0}, {"epochs": 0.9, "start": 0.5}),
        ("halve", {"patience": 1, "decay": 0.5}, {"patience": 2, "decay": 0.1}),
    ],
)
def test_a_run_takes_eta_times_the_factor_and_new_values_do_not_recompile(
    caplog: pytest.LogCaptureFixture, name: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Slow: compiles a program."""
    etas = {0.5: first, 2.0: second}
    experiments = [
        composed(
            *("training.dtype=float64", "training.epochs=4", f"optimiser.eta={eta}"),
            *(f"schedule={name}", *(f"schedule.{key}={value}" for key, value in fields.items())),
        )
        for eta, fields in etas.items()
    ]
    results = []
    programs = [
        compiled(caplog, lambda experiment=experiment: results.append(bpframe.run(experiment)))
        for experiment in experiments
    ]
    assert programs[0].count("turn") == 1
    assert programs[1] == []
    for experiment, result, fields in zip(experiments, results, etas.values(), strict=True):
        if name == "halve":

            def factor(done: int, accuracies: list[float], fields: Any = fields) -> float:
                return halved(accuracies, **fields)[-1] if accuracies else 1.0
        else:

            def factor(done: int, accuracies: list[float], fields: Any = fields) -> float:
                return ORACLES[name](done / STEPS_PER_EPOCH, 4.0, 1 / STEPS_PER_EPOCH, **fields)

        expected = trained(experiment, factor)
        plain = trained(experiment, lambda *_: 1.0)
        for mine, theirs, other in zip(
            *map(jax.tree.leaves, (result.params, expected, plain)), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)
            assert np.abs(theirs - other).max() > 1e-6


def test_a_constant_schedule_leaves_the_step_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same program as without any schedule, so the same bits."""
    experiment = composed("training.dtype=float64")
    examples = devices.to_device(Small().load().train, "float64")
    state = initial_state.initial_state(experiment)
    order = np.arange(N_TRAIN, dtype=np.int32)

    def text() -> str:
        return (
            jax.jit(lambda *a: train_epoch(*a))
            .lower(experiment, state, examples, jnp.asarray(order))
            .as_text()
        )

    with_schedule = text()
    monkeypatch.setattr(
        "bpframe.training.step.scheduled", lambda experiment, *_: experiment.optimiser
    )
    assert text() == with_schedule


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("sgd", "adam") else pytest.mark.slow)
        for name in REGISTRY.names("optimiser")
    ],
)
def test_every_optimiser_takes_a_schedule(name: str) -> None:
    """A first step at a factor of 1/4 is one with a quarter of eta.

    Slow: most of them, as each compiles four programs.
    """
    optimiser = REGISTRY.get("optimiser", name, "")()
    path, holder = ("inner.eta", optimiser.inner) if name in AROUND else ("eta", optimiser)
    common = ("training.dtype=float64", f"optimiser={name}", "network.hidden=[]")
    # A mini-batch of 5 examples out of 5 is an epoch: the first of four steps.
    scheduled = composed(*common, "schedule=warm_up", "schedule.epochs=4")
    quarter = composed(*common, f"optimiser.{path}={holder.eta / 4}")
    batch = devices.to_device(Small().load().train.first(5), "float64")
    initial = initial_state.draw_state(scheduled)
    found, expected = (
        train_step(experiment, initial, batch, 5).state.params
        for experiment in (scheduled, quarter)
    )
    for mine, theirs, before in zip(
        *map(jax.tree.leaves, (found, expected, initial.params)), strict=True
    ):
        np.testing.assert_allclose(mine - before, theirs - before, rtol=1e-10)
        assert not np.array_equal(mine, before)


class Fixed(Optimiser):
    """An optimiser without eta."""

    rate: float = 0.1

    def init(self, params: Any) -> Any:
        return ()

    def update(self, gradient: Any, state: Any, params: Any, step: Any) -> Any:
        return bpframe.gradient_descent_step(params, gradient, self.rate), state


class Plugin:
    @hookimpl
    def bpframe_optimisers(self) -> dict[str, Any]:
        return {"fixed": Fixed}


@pytest.mark.parametrize("name", NAMES)
def test_an_optimiser_without_eta(name: str) -> None:
    overrides = ["optimiser=fixed", f"schedule={name}"]
    if name == "constant":
        assert bpframe.compose(overrides, plugins=[Plugin()]).optimiser == Fixed()
        return
    with pytest.raises(ConfigError) as caught:
        bpframe.compose(overrides, plugins=[Plugin()])
    assert str(caught.value) == (
        f"schedule: {name} scales optimiser.eta, and fixed has no eta; set schedule=constant, or "
        "choose another optimiser, such as sgd"
    )


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["schedule=cosin"], "schedule: unknown 'cosin'; did you mean 'cosine'?"),
        (["schedule=step", "schedule.decay=2"], "schedule.decay: 2.0 is out of range; allowed: >"),
        (["schedule=halve", "schedule.patience=0"], "schedule.patience: 0 is out of range"),
        (
            ["schedule=constant", "schedule.decay=1"],
            "schedule.decay: is a setting of step and halve",
        ),
        (["schedule=halve", "schedule.patience=1.5"], "schedule.patience: "),
    ],
)
def test_wrong_schedules_are_one_line(overrides: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bpframe.compose(overrides)
    assert str(caught.value).startswith(text)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.slow
def test_schedules_are_swept(main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow: runs whole commands."""
    jobs: list[Experiment] = []
    monkeypatch.setattr(
        "bpframe.commands.run.job",
        lambda cfg, registry, events: jobs.append(assemble(cfg, registry)),
    )
    ended = main(
        *("-m", "schedule=step,halve", "schedule.decay=0.25,0.5", "hydra.sweep.dir=sweep"),
        "hydra/launcher=basic",
    )
    assert (ended.status, ended.err) == (0, "")
    found = [
        (type(job.schedule).__name__, dataclasses.asdict(job.schedule)["decay"]) for job in jobs
    ]
    assert found == [("Step", 0.25), ("Step", 0.5), ("Halve", 0.25), ("Halve", 0.5)]
