"""Differential privacy: clipping and noise, Poisson samples, the accountant, and an audit."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bpframe_plugins import privacy
from bpframe_plugins.activations import Softmax
from bpframe_plugins.costs import LogLikelihood, LogLikelihoodSoftmax
from bpframe_plugins.privacy import Private, epsilon_by_rdp
from oracles import assert_close
from scipy import stats
from test_sweep_lanes import assert_as_alone, sweep

import bpframe
from bpframe import Checkpointing, ConfigError, OutputError, SamplingPlan
from bpframe.learning import Drawn
from bpframe.runs import loop
from bpframe.training import initial_state, loading, orders
from bpframe.training.precision import precision

PRIVATE = ("aggregation=private", "training.sampling=poisson")
SMALL = ("data.train_size=300", "training.batch_size=20", "training.epochs=2", "network.hidden=[6]")


def noise_of(private: Private, total: Any, m: int, key: Any) -> Any:
    noisy = private.gradient(total, m, key)
    return jax.tree.map(lambda g, t: g * m - t, noisy, total)


@pytest.mark.slow
def test_noise_has_the_stated_variance_and_is_never_the_same() -> None:
    """Within five standard errors, of which a sound generator is outside once in a million.

    Slow: compiles.
    """
    total = (bpframe.Params(jnp.ones((200, 300)), jnp.zeros(200)),) * 2
    private = Private(clip=0.5, noise_multiplier=3.0)
    draw = jax.jit(functools.partial(noise_of, private, total, 7))
    first, again, other = (draw(jax.random.key(k)) for k in (0, 0, 1))
    values = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(first)])
    n = values.size
    assert abs(values.mean()) < 5 * 1.5 / math.sqrt(n)
    assert abs(values.var() - 1.5**2) < 5 * 1.5**2 * math.sqrt(2 / n)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), first, again))
    assert not np.isin(np.ravel(other[0].w), np.ravel(first[0].w)).any()
    one, two = (np.ravel(own.w) for own in first)  # two layers of one shape
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / math.sqrt(one.size)
    step = np.ravel(draw(jax.random.key(2))[0].b)
    assert not np.isin(step, values).any()


@pytest.mark.slow
@pytest.mark.parametrize("layers", [
    "[{n: 6, activation: tanh}]",
    "[{name: convolution, maps: 2, size: 3, activation: tanh}, {name: max_pooling}]",
    "[{n: 5, activation: tanh}, {name: residual, layers: [{n: 5, activation: tanh}]}]",
])  # fmt: skip
def test_a_step_is_clipped_over_the_whole_gradient_and_divided_by_m(layers: str) -> None:
    """Without noise to speak of, on a sample, against gradients one by one. Slow: compiles."""
    whole = layers[:-1] + ", {n: 10, activation: softmax}]"
    experiment = bpframe.compose(
        [*PRIVATE, "aggregation.clip=0.3", "aggregation.noise_multiplier=1e-300",
         f"network.layers={whole}", "cost=log_likelihood", "training.dtype=float64"]
    )  # fmt: skip
    rng = np.random.default_rng(2)
    m, expected = 9, 4
    with precision("float64"):
        params = initial_state.initial_state(experiment).params
        x, y = (
            jnp.asarray(rng.normal(size=(m, 64))),
            jnp.asarray(np.eye(10)[rng.integers(0, 10, m)]),
        )
        present = np.arange(m) % 3 != 1
        found = bpframe.gradient(
            experiment.network, experiment.cost, params, x, y, aggregation=experiment.aggregation,
            drawn=Drawn(jnp.asarray(present), expected),
        )  # fmt: skip

        def one(params: Any, x: Any, y: Any) -> Any:
            trace = bpframe.forward(experiment.network, params, x.reshape(experiment.network.shape))
            return experiment.cost.cost(trace.z[-1], trace.a[-1], y)

        each = jax.vmap(jax.grad(one), in_axes=(None, 0, 0))(params, x, y)
    norms = np.sqrt(sum((np.asarray(g).reshape(m, -1) ** 2).sum(1) for g in jax.tree.leaves(each)))
    assert (norms > 0.3).any()
    weights = present * np.minimum(1, 0.3 / norms)
    clipped = jax.tree.map(lambda g: np.tensordot(weights, g, 1) / expected, each)
    assert_close(found.mean, clipped, 1e-12)


def test_poisson_samples_have_the_stated_rate() -> None:
    """Each example alike, independently of others: within five standard errors."""
    experiment = bpframe.compose([*PRIVATE, "training.batch_size=30"])
    n, epochs = 600, 200
    found = np.concatenate(
        [orders.epoch_order(experiment, epoch, n).reshape(20, -1) for epoch in range(1, epochs)]
    )
    there = found != orders.NOBODY
    q, steps = 30 / n, len(found)
    sizes = there.sum(1)
    assert abs(sizes.mean() - 30) < 5 * math.sqrt(n * q * (1 - q) / steps)
    spread = n * q * (1 - q)
    assert abs(sizes.var() - spread) < 5 * spread * math.sqrt(2 / steps)
    counts = np.bincount(found[there], minlength=n)
    assert abs(counts.mean() - steps * q) < 5 * math.sqrt(steps * q * (1 - q) / n)
    chi = ((counts - steps * q) ** 2 / (steps * q * (1 - q))).sum()
    assert abs(chi - n) < 5 * math.sqrt(2 * n)
    for sample, whose in zip(found, there, strict=True):
        assert len(set(sample[whose])) == whose.sum()  # nobody twice
        assert not whose[whose.sum():].any()  # fmt: skip
    again = orders.epoch_order(experiment, 1, n)
    np.testing.assert_array_equal(again, orders.epoch_order(experiment, 1, n))
    assert not np.array_equal(again, orders.epoch_order(experiment, 2, n))


@pytest.mark.parametrize(("q", "sigma", "steps", "rdp"), [
    (240 / 60000, 0.7, 45 * 250, 6.094),
    (240 / 60000, 1.1, 60 * 250, 2.503),
    (240 / 60000, 1.3, 15 * 250, 0.922),
])  # fmt: skip
def test_the_accountant_agrees_with_dp_accounting(
    q: float, sigma: float, steps: int, rdp: float
) -> None:
    """To 1 %: figures of dp-accounting 0.6.0 with its own orders."""
    assert epsilon_by_rdp(q, sigma, steps, 1e-5) == pytest.approx(rdp, rel=0.01)


def test_the_accountant_has_its_closed_cases() -> None:
    # One step on the whole set is the Gaussian mechanism: min over alpha in closed form.
    alpha = np.linspace(1.01, 200, 200_000)
    best = alpha / (2 * 4.0) + np.log1p(-1 / alpha) - (math.log(1e-5) + np.log(alpha)) / (alpha - 1)
    assert epsilon_by_rdp(1.0, 2.0, 1, 1e-5) == pytest.approx(best.min(), rel=1e-3)
    # Whole and fractional orders meet.
    for alpha_ in (2.0, 5.0, 11.0):
        near = privacy._divergence(0.01, 0.8, alpha_ + 1e-6)
        assert privacy._divergence(0.01, 0.8, alpha_) == pytest.approx(near, rel=1e-4)
    # A_2 in closed form: 1 + q^2 (exp(1/sigma^2) - 1).
    expected = math.log1p(0.02**2 * math.expm1(1 / 0.9**2))
    assert privacy._divergence(0.02, 0.9, 2.0) == pytest.approx(expected, rel=1e-9)
    more = [epsilon_by_rdp(0.01, sigma, 1000, 1e-5) for sigma in (0.6, 1.0, 2.0, 8.0)]
    assert more == sorted(more, reverse=True)
    assert epsilon_by_rdp(0.01, 1.0, 2000, 1e-5) > more[1]


@pytest.mark.slow
def test_a_private_run_says_what_it_leaks(tmp_path: Path) -> None:
    """Slow: compiles a run."""
    experiment = bpframe.compose([*PRIVATE, *SMALL])
    result = bpframe.run(experiment, tmp_path / "run")
    told = json.loads((tmp_path / "run" / "summary.json").read_text())["privacy"]
    assert told == result.summary.privacy
    assert told["steps"] == 2 * 15
    assert told["epsilon"] == pytest.approx(epsilon_by_rdp(20 / 300, 1.0, 30, 1e-5))
    assert "not private" in told["text"]
    usual = bpframe.run(bpframe.compose(["aggregation=private", *SMALL])).summary.privacy
    assert usual is not None
    assert "set training.sampling=poisson" in usual["text"]
    plain = bpframe.run(bpframe.compose([*SMALL]), tmp_path / "plain")
    assert plain.summary.privacy is None
    assert "privacy" not in json.loads((tmp_path / "plain" / "summary.json").read_text())


@pytest.mark.slow
def test_the_noise_for_an_epsilon_is_found() -> None:
    """Slow: compiles a run."""
    plan = SamplingPlan(60_000, 240, 45 * 250, is_poisson=True)
    fitted = Private(target_epsilon=6.094).fitted(plan)
    assert fitted.noise_multiplier == pytest.approx(0.7, rel=0.005)
    settings = [*PRIVATE, *SMALL, "aggregation.target_epsilon=3.0"]
    result = bpframe.run(bpframe.compose(settings))
    assert result.summary.privacy is not None
    assert 2.99 < result.summary.privacy["epsilon"] <= 3.0
    sigma = result.summary.privacy["noise_multiplier"]
    given = bpframe.compose([*PRIVATE, *SMALL, f"aggregation.noise_multiplier={sigma}"])
    np.testing.assert_array_equal(bpframe.run(given).params[0].w, result.params[0].w)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["aggregation.target_epsilon=1e-6"], "aggregation.target_epsilon: 1e-06 is out of reach"),
        (
            ["aggregation.target_epsilon=1", "aggregation.noise_multiplier=2"],
            "noise_multiplier and target_epsilon are both set",
        ),
    ],
)
def test_noise_that_cannot_be_found_is_told_before_the_run(
    settings: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        bpframe.run(bpframe.compose([*PRIVATE, *SMALL, *settings]))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_an_empty_sample_moves_by_noise_alone_and_an_epoch_evaluates() -> None:
    """Mini-batches of one on average are empty in 37 of 100 cases. Slow: compiles a run."""
    result = bpframe.run(
        bpframe.compose([*PRIVATE, "data.train_size=30", "training.batch_size=1",
                         "training.epochs=2", "network.hidden=[4]"])
    )  # fmt: skip
    assert np.isfinite(result.history.train_cost).all()
    experiment = bpframe.compose([*SMALL, "training.sampling=poisson"])
    poisson = bpframe.run(experiment)
    train = loading.load(experiment).train
    x = jnp.asarray(train.x.reshape(len(train.x), -1) * np.float32(train.scale), jnp.float32)
    y = jnp.asarray(np.eye(10)[train.y], jnp.float32)

    def cost(x: Any, y: Any) -> Any:
        trace = bpframe.forward(experiment.network, poisson.params, x)
        return experiment.cost.cost(trace.z[-1], trace.a[-1], y)

    np.testing.assert_allclose(
        poisson.history.train_cost[-1], jax.vmap(cost)(x, y).mean(), rtol=1e-5
    )


@pytest.mark.slow
def test_lanes_and_resuming_draw_the_same(tmp_path: Path) -> None:
    """Slow: compiles runs."""
    static = [*PRIVATE, *SMALL]
    swept = sweep(
        tmp_path / "sweep",
        static,
        *([f"aggregation.noise_multiplier={s}"] for s in (0.5, 2)),
        ["aggregation.target_epsilon=2"],
    )
    for num in range(3):
        assert_as_alone(swept, num, tmp_path / str(num))
    assert swept.summary(0)["privacy"]["epsilon"] > swept.summary(1)["privacy"]["epsilon"]
    three = bpframe.compose([*static, "training.epochs=3"])
    whole = bpframe.run(three, tmp_path / "whole")
    checkpointing = Checkpointing(epochs=1)
    bpframe.run(bpframe.compose(static), tmp_path / "run", checkpointing=checkpointing)
    longer = loop.resume(three, tmp_path / "run")
    for one, other in zip(whole.params, longer.params, strict=True):
        np.testing.assert_array_equal(one.w, other.w)
    assert longer.summary.privacy == whole.summary.privacy


@pytest.mark.slow
def test_noise_that_was_found_for_fewer_epochs_cannot_be_prolonged(tmp_path: Path) -> None:
    """The first epochs had too little noise for what would be claimed. Slow: compiles a run."""
    static = [*PRIVATE, *SMALL, "aggregation.target_epsilon=3"]
    checkpointing = Checkpointing(epochs=1)
    bpframe.run(bpframe.compose(static), tmp_path / "run", checkpointing=checkpointing)
    with pytest.raises(OutputError) as error:
        loop.resume(bpframe.compose([*static, "training.epochs=3"]), tmp_path / "run")
    assert "so it cannot be prolonged" in str(error.value)


@pytest.mark.slow
def test_an_audit_stays_under_the_bound() -> None:
    """The loss of one inserted example tells with and without it apart no better than epsilon.

    2000 runs with and 2000 without, the other examples far from it; a threshold on the example's
    cost; Clopper-Pearson bounds of 95 % on both error rates. With less noise than is claimed the
    audit would fail. Slow: trains.
    """
    steps, sigma, delta, runs = 4, 2.0, 1e-5, 2000
    rng = np.random.default_rng(0)
    n, p = 20, 6
    x = np.zeros((n, p), np.float32)
    y = np.eye(2, dtype=np.float32)[rng.integers(0, 2, n)]
    x[-1], y[-1] = 10.0, np.array([1, 0])
    x, y = jnp.asarray(x), jnp.asarray(y)
    network = bpframe.Network((p,), (bpframe.Dense(2, activation=Softmax()),))
    pair = LogLikelihoodSoftmax(LogLikelihood(), Softmax())
    private = Private(1.0, sigma, delta)
    start = (bpframe.Params(jnp.zeros((2, p), x.dtype), jnp.zeros(2, x.dtype)),)

    def loss(seed: Any, has: Any) -> Any:
        """The cost of the last example after full batches with or without it."""
        there = jnp.ones(n, bool).at[-1].set(has)

        def step(params: Any, number: Any) -> tuple[Any, None]:
            key = jax.random.fold_in(jax.random.key(seed), number)
            found = bpframe.gradient(
                network, pair, params, x, y, key=key, aggregation=private, drawn=Drawn(there, n)
            )
            return bpframe.gradient_descent_step(params, found.mean, 5.0), None

        params, _ = jax.lax.scan(step, start, jnp.arange(steps))
        trace = bpframe.forward(network, params, x[-1])
        return pair.cost(trace.z[-1], trace.a[-1], y[-1])

    losses = jax.jit(jax.vmap(loss))
    seeds = jnp.arange(2 * runs)
    has = np.asarray(losses(seeds[:runs], jnp.ones(runs, bool)))
    lacks = np.asarray(losses(seeds[runs:], jnp.zeros(runs, bool)))
    epsilon = epsilon_by_rdp(1.0, sigma, steps, delta)
    threshold = np.median(np.concatenate([has, lacks]))
    told = 0.0
    for hits, errors in (
        (has <= threshold, lacks <= threshold),
        (lacks > threshold, has > threshold),
    ):
        low = stats.beta.ppf(0.025, hits.sum(), runs - hits.sum() + 1)
        high = stats.beta.ppf(0.975, errors.sum() + 1, runs - errors.sum())
        told = max(told, math.log(max(low - delta, 1e-9) / high))
    assert 0.2 < told < epsilon  # the attack sees something, and no more than is claimed
    assert told > epsilon_by_rdp(1.0, 100 * sigma, steps, delta)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["aggregation.clip=0"], "aggregation.clip: 0.0 is out of range; allowed: > 0"),
        (["aggregation.clip=null"], "aggregation.clip"),
        (["aggregation.noise_multiplier=-1"], "aggregation.noise_multiplier: -1.0 is out of"),
        (["aggregation.accountant=moments"], "aggregation.accountant: unknown 'moments'"),
        (
            ["training.sampling=poisson", "metrics=[noise_scale]"],
            "poisson does not go with metrics over the steps (noise_scale); set over: train, or",
        ),
        (["training.sampling=poisson", "optimiser=kfac"], "poisson does not go with optimiser=kf"),
        (
            ["training.sampling=poisson", "learning_rule=kolen_pollack"],
            "poisson does not go with learning_rule=kolen_pollack, which learns itself",
        ),
        (["training.sampling=poisson", "training.shuffle=false"], "training.shuffle=false"),
    ],
)
def test_what_cannot_be_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        bpframe.compose(["aggregation=private", *overrides])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_plan_without_samples_is_told() -> None:
    told = Private().privacy(SamplingPlan(100, 10, 50, is_poisson=False))
    assert "which they were not" in str(told["text"])
    assert told["is_poisson"] is False
    whole = Private().privacy(SamplingPlan(100, 100, 50, is_poisson=False))
    assert "which they were not" not in str(whole["text"])


def test_rows_are_enough_for_nearly_all_samples() -> None:
    training = bpframe.Training(batch_size=32, sampling="poisson")
    for n in (32, 50, 1000, 60_000):
        assert stats.binom.sf(training.rows(n), n, 32 / n) < 1e-12
    assert training.rows(60_000) < 3 * 32
