"""The contract of metrics: what is measured of training, inside the compiled program.

A metric's state goes in and comes out as a pytree of arrays whose structure, shapes and dtypes
never change, and it branches on no value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.component import Component, hyperparameter
from bpframe.contracts import Activation, LayerParams, Settling, Trace
from bpframe.deltas.curvature import Curvature
from bpframe.deltas.example_gradients import ExampleGradients

STEPS = "steps"
SPLITS = ("train", "validation", "test")


class Observation(NamedTuple):
    """What a metric sees of m examples: everything that backpropagation computed for them.

    Floats are float32, or float64 in an experiment of that dtype.

    Attributes:
        activations: sigma of the layers 2..L.
        params: the weights and biases at which the gradient was taken.
        rule: the state of the learning rule, such as its feedback matrices.
        feedback: weights and what stands for them on the way back, as `LearningRule.feedback` has
            them; None for a rule without feedback weights.
        settling: how the activities of each example settle, by phases, with a leading axis m; None
            for a rule whose activities do not.
        trace: z of the layers 2..L and a of the layers 1..L, each (m, n).
        deltas: delta^(x,l) of the layers 2..L, each (m, n).
        inner_deltas: by `layer_3.0`, ... those of layers inside of other layers, each (m, ..., n),
            with axes for equal layers that are repeated in front of the neurons.
        exact_deltas: dC_x/dz^l of the same, which other rules than backpropagation miss.
        example_gradients: what the deltas tell of the gradient of each example, as the learning
            rule has it, before any aggregation.
        curvature: what the deltas tell of the curvature of the cost; for metrics that say that
            they need it.
        gradient: the mean gradient of the cost over the m examples, without the penalty: what the
            learning rule and, over the steps, the aggregation make of it.
        exact_gradient: the mean of the exact gradients, likewise.
        y: (m, n_out) targets.
        answer: what the network answers, as the task has it: classes (m,), or a 0 or 1 for each
            label (m, n_out), as integers; the outputs in regression.
        target: what is right, likewise.
        right: (m,) whether each answer is right; None where none is, as in regression.
        cost: (m,) the cost of each example, without the penalty.

    """

    activations: tuple[Activation, ...]
    params: tuple[LayerParams, ...]
    rule: Any
    feedback: tuple[tuple[Array, Array] | None, ...] | None
    settling: tuple[Settling, ...] | None
    trace: Trace
    deltas: tuple[Array, ...]
    inner_deltas: Mapping[str, Array]
    exact_deltas: tuple[Array, ...]
    example_gradients: ExampleGradients
    curvature: Curvature
    gradient: tuple[LayerParams, ...]
    exact_gradient: tuple[LayerParams, ...]
    y: Array
    answer: Array
    target: Array
    right: Array | None
    cost: Array


class Metric(Component, ABC):
    """A quantity that is folded over mini-batches inside the compiled program.

    Most metrics are means over examples: derive those from `MeanMetric`, and from `ParamsMetric`
    those that look at the parameters alone. `over` says which
    examples are seen: those of the training steps, as each mini-batch saw them ("steps"), or those
    of a split after the epoch, with the parameters as they then are: all of them, or the `first`
    so many, a fixed probe.
    """

    over: str = hyperparameter(default=STEPS, choices=(STEPS, *SPLITS))
    first: int | None = hyperparameter(default=None, ge=1)

    needs_accuracy: ClassVar[bool] = False
    """Whether it means nothing where no answer is right or wrong, as in regression."""
    needs_classes: ClassVar[bool] = False
    """Whether it means nothing unless each answer is one class."""
    needs_feedback: ClassVar[bool] = False
    """Whether it means nothing for a learning rule without feedback weights."""
    needs_settling: ClassVar[bool] = False
    """Whether it means nothing for a learning rule whose activities do not settle."""

    needs_curvature: ClassVar[bool] = False
    """Whether it needs the curvature of the cost, which not every cost tells."""
    needs_hessian: ClassVar[bool] = False
    """Whether it needs that of the whole network: sigma'' too, and layers that are linear."""
    of_batches: ClassVar[bool] = False
    """Whether its value depends, by intention, on how examples are cut into mini-batches."""
    needs_pairs: ClassVar[bool] = False
    """Whether it means nothing for mini-batches of one example, such as a variance."""

    @abstractmethod
    def start(self, seen: Observation) -> Any:
        """The total before the first mini-batch, any pytree of arrays.

        `seen` has the shapes and dtypes of an observation, and no values.
        """

    @abstractmethod
    def add(self, total: Any, seen: Observation) -> Any:
        """The total with one more mini-batch in it; structure, shapes and dtypes are kept."""

    @abstractmethod
    def result(self, total: Any, params: tuple[LayerParams, ...]) -> Array | Mapping[str, Array]:
        """One array, or one for each column; `params` are those after the last mini-batch."""


class MeanMetric(Metric):
    """A metric that is the mean over examples of what `measure` gives."""

    @abstractmethod
    def measure(self, seen: Observation) -> Array | Mapping[str, Array]:
        """A value for each example, (m,) or (m, ...), or one such array for each column."""

    def start(self, seen: Observation) -> Any:
        """Sums of zero, and no examples."""
        wide = seen.y.dtype
        sums = jax.tree.map(
            lambda part: jnp.zeros(part.shape[1:], wide), jax.eval_shape(self.measure, seen)
        )
        return sums, jnp.zeros((), wide)

    def add(self, total: Any, seen: Observation) -> Any:
        """The sums over the examples so far, and their number."""
        sums, n = total
        parts = jax.tree.map(lambda part: jnp.sum(part, 0, dtype=n.dtype), self.measure(seen))
        return jax.tree.map(jnp.add, sums, parts), n + seen.y.shape[0]

    def result(self, total: Any, params: tuple[LayerParams, ...]) -> Array | Mapping[str, Array]:
        """The sums divided by the number of examples."""
        del params
        sums, n = total
        return jax.tree.map(lambda part: part / n, sums)


class ParamsMetric(Metric):
    """A metric that reads the parameters after the last mini-batch, and no example."""

    @abstractmethod
    def of(self, params: tuple[LayerParams, ...]) -> Array | Mapping[str, Array]:
        """One array, or one for each column, of the parameters of the layers 2..L."""

    def start(self, seen: Observation) -> Any:
        """Nothing."""
        del seen
        return ()

    def add(self, total: Any, seen: Observation) -> Any:
        """Nothing."""
        del seen
        return total

    def result(self, total: Any, params: tuple[LayerParams, ...]) -> Array | Mapping[str, Array]:
        """What the parameters give."""
        del total
        return self.of(params)


class Monitor(Component):
    """A metric with the name that its columns get."""

    name: str
    metric: Metric
