"""A check for every component: an experiment with it can be compiled, in every dtype."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.contracts import Activation, Cost, OutputPair
from bpframe.data import Examples
from bpframe.equations import Dense, Unpaired
from bpframe.errors import ConfigError, DataError
from bpframe.metrics import SPLITS, Monitor
from bpframe.network import Network
from bpframe.plugin_host.registry import Registry
from bpframe.recorders import NamedRecorder
from bpframe.testing.expect import expect
from bpframe.testing.outcome import Check, CheckFailedError, CheckSkippedError
from bpframe.testing.places import places
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced
from bpframe.training import devices, initial_state, probes, steering
from bpframe.training.epoch import train_epoch
from bpframe.training.experiment import DTYPES, Experiment, Training
from bpframe.training.precision import precision
from bpframe.training.probes import Watch

N_IN, N_HIDDEN, N_OUT, N = 2, 3, 3, 11
MORE = 5
"""Inputs for learning rules, which may need more of them than there are labels."""
BESIDE = {
    "data": "xor",
    "optimiser": "sgd",
    "initialiser": "scaled",
    "regulariser": "none",
    "learning_rule": "backprop",
    "aggregation": "mean",
    "schedule": "constant",
    "stopping": "never",
}


def experiment(
    registry: Registry, kind: str, part: Any, *, dtype: str = "float32", epochs: int = 1
) -> Experiment:
    """A small experiment with one part given, and built-in ones beside it."""
    settles = kind == "metric" and part.needs_settling
    beside = BESIDE | ({"learning_rule": "predictive_coding"} if settles else {})
    parts = {other: built_in(registry, other, name) for other, name in beside.items()}
    if kind in parts:
        parts[kind] = part
    hidden = part if kind == "activation" else built_in(registry, "activation", "tanh")
    pair = _pair(registry, kind, part)
    n_out = part.n_out if kind == "data" else N_OUT
    first = part if kind == "layer" else Dense(max(N_HIDDEN, hidden.min_neurons), activation=hidden)
    layers = (first, Dense(n_out, activation=pair.activation))
    shape = (MORE,) if kind == "learning_rule" else (N_IN,)
    shape = next(place.shape_prev for place in places(part)) if kind == "layer" else shape
    return Experiment(
        **parts,
        network=Network(shape, layers),
        cost=pair,
        metrics=(Monitor("checked", part),) if kind == "metric" else (),
        recorders=(NamedRecorder("checked", part),) if kind == "recorder" else (),
        training=Training(epochs=epochs, batch_size=4, dtype=dtype),
    )


def _pair(registry: Registry, kind: str, part: Any) -> OutputPair:
    if kind == "output_pair":
        return part
    if kind != "cost":
        cost: Cost = built_in(registry, "cost", "quadratic")
        return Unpaired(cost, built_in(registry, "activation", "sigmoid"))
    output: Activation = built_in(
        registry, "activation", "softmax" if part.needs_distribution else "sigmoid"
    )
    return Unpaired(part, output)


def built_in(registry: Registry, kind: str, name: str) -> Any:
    """An instance of a built-in component; a skip if it is not active."""
    try:
        return registry.get(kind, name, "check")()
    except ConfigError as error:
        raise CheckSkippedError(f"needs the built-in {kind} {name}: {error}") from error


def can_be_trained_with(subject: Subject) -> None:
    """An epoch and what follows it can be traced, in float32, float64 and bfloat16."""
    for instance in subject.instances:
        for dtype in DTYPES if instance is subject.default else DTYPES[:1]:
            given = f"{instance}, training.dtype={dtype}"
            with precision(dtype):
                whole = experiment(subject.registry, subject.kind, instance, dtype=dtype)
                try:
                    before, after = run_traced(_traced, whole, _exact(whole))
                except (TypeError, ValueError) as error:
                    text = (str(error).splitlines() or [""])[0]
                    raise CheckFailedError(
                        f"an experiment with it cannot be compiled: {type(error).__name__}: {text}",
                        given=given,
                    ) from error
            expect(
                before == after,
                "an epoch gives a state of another shape or dtype than it was given",
                given=given,
                found=after,
                expected=before,
            )


def _exact(experiment: Experiment) -> initial_state.Exact:
    try:
        return initial_state.exact(experiment)
    except DataError as error:
        raise CheckSkippedError(f"has no parameters on this machine: {error}") from error


def _traced(experiment: Experiment, exact: initial_state.Exact) -> tuple[Any, Any]:
    """The shapes and dtypes of the state before and after an epoch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(N, *experiment.network.shape)), rng.integers(0, N_OUT, N)
    examples = devices.to_device(Examples(x, y, n_out=N_OUT), experiment.training.dtype)

    def epoch(experiment: Experiment) -> Any:
        state = initial_state.draw_state(experiment, exact)
        order = jnp.arange(N, dtype=jnp.int32)
        rows = probes.rows(experiment, range(1, 2), N, 1)
        sets: dict[str, Any] = dict.fromkeys(SPLITS, examples)
        watch = Watch(sets, jax.tree.map(jnp.asarray, rows), N) if rows else None
        kept = probes.nothing_kept(experiment, state, watch, 1) if watch else ()
        only = watch and watch.of_epoch(0)
        epoch = train_epoch(experiment, state, examples, order, only, kept)
        steered, stop = steering.after_epoch(
            experiment,
            epoch.state.steering,
            state.step,
            epoch.state.step,
            epoch.totals,
            epoch.totals,
            n_train=N,
            n_validation=N,
        )
        return state, epoch.state._replace(steering=steered), stop

    before, after, _ = jax.eval_shape(epoch, experiment)
    shapes = [jax.tree.map(lambda s: (s.shape, s.dtype), state) for state in (before, after)]
    return shapes[0], shapes[1]


CHECKS = (
    Check(
        "can be trained with",
        can_be_trained_with,
        applies=lambda s: s.kind not in ("data", "tracker"),
    ),
)
