"""The state that training starts from: parameters, drawn or exact, and what goes with them."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.contracts import InitialCondition, LayerParams
from bpframe.errors import DataError
from bpframe.network import named_params
from bpframe.training import parallel
from bpframe.training.best import Best
from bpframe.training.compilation import SHORT_COMPILATION
from bpframe.training.experiment import Experiment
from bpframe.training.precision import cast_floats, wide_dtype
from bpframe.training.steering import Steering
from bpframe.training.step import State

Exact: TypeAlias = tuple[LayerParams, ...] | None
"""The exact parameters of an initial condition, on the host; None where they are drawn."""


def exact(experiment: Experiment) -> Exact:
    """What the experiment's initial condition loads, checked, in the dtype of the parameters.

    Raises:
        ConfigError: the initial condition does not fit the network.
        DataError: a file is missing, or parameters are not of the network's sizes or not finite.

    """
    condition, network = experiment.initialiser, experiment.network
    if not isinstance(condition, InitialCondition):
        return None
    like = network.params
    loaded = condition.load(like, experiment.seed)
    name = type(condition).__name__
    if _shown(loaded) != _shown(like):
        raise DataError(
            f"initialiser: {name} has parameters of the shapes {_shown(loaded)}; the network "
            f"{'-'.join(map(str, network.sizes))} needs {_shown(like)}"
        )
    if not all(np.isfinite(part).all() for part in jax.tree.leaves(loaded)):
        raise DataError(f"initialiser: {name} has parameters that are not finite")
    wide = wide_dtype(experiment.training.dtype)
    return jax.tree.map(lambda part: np.asarray(part, wide), tuple(loaded))


def _shown(params: tuple[LayerParams, ...]) -> str:
    return ", ".join(f"{name} {np.shape(array)}" for name, array in named_params(params).items())


def draw_state(experiment: Experiment, exact: Exact = None) -> State:
    """The exact parameters or fresh ones, drawn with the experiment's seed, and fresh states.

    Parameters and the state of the learning rule are drawn in float32 whatever the dtype, so that
    runs which differ in nothing but the dtype start at the same point.
    """
    wide = wide_dtype(experiment.training.dtype)
    layers_key, rule_key = jax.random.split(jax.random.key(experiment.seed))
    params = _drawn(experiment, layers_key) if exact is None else exact
    params = jax.tree.map(lambda p: p.astype(wide), params)
    state = State(
        params,
        experiment.optimiser.init(params),
        _rule_state(experiment, rule_key, params),
        Steering(experiment.schedule.init(wide), experiment.stopping.init(wide)),
        jnp.zeros((), jnp.int32),
        Best(params, jnp.full((), -jnp.inf, wide), jnp.full((), jnp.inf, wide)),
    )
    return parallel.of_state(experiment, state)


def _drawn(experiment: Experiment, key: jax.Array) -> tuple[LayerParams, ...]:
    initialiser = cast_floats(experiment.initialiser, "float32")
    with jax.enable_x64(False):
        return experiment.network.init(initialiser, key)


def _rule_state(experiment: Experiment, key: jax.Array, params: tuple[LayerParams, ...]) -> Any:
    narrow = cast_floats(params, "float32")
    with jax.enable_x64(False):
        state = experiment.learning_rule.init(key, narrow, experiment.network.shapes)
    return cast_floats(state, wide_dtype(experiment.training.dtype))


def rule_state(experiment: Experiment, params: tuple[LayerParams, ...]) -> Any:
    """The state of the learning rule before training, as `draw_state` has it, of any parameters."""
    rule_key = jax.random.split(jax.random.key(experiment.seed))[1]
    return _rule_state(experiment, rule_key, params)


initial_state = jax.jit(draw_state, compiler_options=SHORT_COMPILATION)
