"""What plugins implement of learning: credit is assigned, gathered, and becomes a step.

A learning rule gives each layer and example what BP3 and BP4 multiply, an aggregation makes one
gradient of those of the m examples of a mini-batch, and an optimiser makes a step of it. Rules are
written for one example, like the contracts in `contracts`; the others see all m of them.
"""

from __future__ import annotations

import dataclasses
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe.component import Component, arrays_shown
from bpframe.contracts import Formula, Layer, LayerParams, OutputPair, Settling, Shapes, Trace
from bpframe.errors import PluginError
from bpframe.network import Network


class BackwardStep(NamedTuple):
    """What a learning rule sees when the error of layer l + 1 goes back to layer l.

    Attributes:
        layer: layer l + 1, with its parameters `params`.
        a: a^l.
        kept: what layer l + 1 kept of the forward pass.
        delta: delta^(l+1).
        delta_out: delta^L.
        y: the target.
        key: of this layer and step of training, the same for all examples of the mini-batch.
        example_key: the same for this example alone.

    """

    layer: Layer
    params: LayerParams
    a: Array
    kept: Any
    delta: Array
    delta_out: Array
    y: Array
    key: Array
    example_key: Array


class Forward(NamedTuple):
    """A network and what the forward pass of one example left behind."""

    network: Network
    pair: OutputPair
    params: tuple[LayerParams, ...]
    trace: Trace


class Credit(NamedTuple):
    """What BP3 and BP4 multiply in the layers 2..L.

    Attributes:
        a: a^(l-1), of the layers 1..L-1.
        kept: what the layers 2..L kept when they saw it.
        delta: delta^l, of the layers 2..L.

    """

    a: tuple[Array, ...]
    kept: tuple[Any, ...]
    delta: tuple[Array, ...]

    def __repr__(self) -> str:
        return arrays_shown(self)


class Keys(NamedTuple):
    """What a rule draws with: a key for the mini-batch, and one for this example of it."""

    batch: Array
    example: Array


class Drawn(NamedTuple):
    """A mini-batch that is a sample of the training set, filled up to one size.

    Attributes:
        present: (m,) which examples are in the sample; the others count for nothing.
        expected: how many are in it on average, by which sums are divided.

    """

    present: Array
    expected: int


class SamplingPlan(NamedTuple):
    """How a training set is sampled.

    Attributes:
        n: training examples.
        m: of a mini-batch, on average.
        steps: steps of training that were made.
        is_poisson: whether mini-batches are Poisson samples; otherwise the set is shuffled.

    """

    n: int
    m: int
    steps: int
    is_poisson: bool


class BatchGradient(NamedTuple):
    """What backpropagation gives for a mini-batch of m examples.

    Attributes:
        mean: (1/m) sum_x dC_x/dparams, shaped like the parameters, or what the learning rule and
            the aggregation make of it.
        trace: z and a of every layer and example, each (m, ...).
        deltas: the errors delta^(x,l) of the layers 2..L, each (m, ...).
        credit: what BP3 and BP4 have multiplied, with a leading axis m: once, or as often as the
            learning rule assigns it; `deltas` are the sums of its deltas.

    """

    mean: tuple[LayerParams, ...]
    trace: Trace
    deltas: tuple[Array, ...]
    credit: tuple[Credit, ...]

    def __repr__(self) -> str:
        return arrays_shown(self)


class TrainingStep(NamedTuple):
    """What one step of training has computed for its mini-batch, before the update.

    Attributes:
        network: the layers.
        pair: the cost with the output's activation.
        params: at which the gradient was taken; like all that follow in the dtype of the products.
        y: (m, n_out) targets.
        found: the trace, the deltas and the mean gradient, without the penalty.
        key: of this step.

    """

    network: Network
    pair: OutputPair
    params: tuple[LayerParams, ...]
    y: Array
    found: BatchGradient
    key: Array


class LearningRule(Component):
    """How credit is assigned; as it stands here, by backpropagation: override what a rule changes.

    BP1, BP3 and BP4 are the same for all rules that leave `assign` alone.
    """

    is_gradient: ClassVar[bool] = False
    """Whether the deltas are the exact gradient dC/dz."""
    formula: ClassVar[Formula | None] = None
    """What stands before `* sigma'(z^l)` in BP2."""

    def check(self, network: Network, pair: OutputPair) -> None:
        """Raise a ConfigError, in one line, if the rule cannot work with these; as here, it can."""
        del network, pair

    def init(self, key: Array, params: tuple[LayerParams, ...], shapes: Shapes) -> Any:
        """State such as feedback matrices: for `carry`, one entry for each of the layers 2..L-1.

        `shapes` are those of the layers 1..L. `params` are in float32 whatever the dtype of the
        run, to which the state's floats are cast, so that runs which differ in the dtype alone
        start with the same numbers.
        """
        del key, shapes
        return (None,) * (len(params) - 1)

    def carry(self, state: Any, step: BackwardStep) -> Array:
        """The error that arrives at layer l, shaped like a^l; `state` is the entry of layer l.

        Here what layer l + 1 carries back of delta^(l+1): (w^(l+1))^T delta^(l+1) if it is dense.
        """
        del state
        return step.layer.carry(step.params, step.a, step.kept, step.delta)

    def assign(
        self, state: Any, forward: Forward, y: Array, key: Array
    ) -> tuple[Credit, ...] | None:
        """Credit in place of the backward pass; None, as here, for BP1 and BP2 with `carry`.

        Several of them are several terms of BP3 and BP4, whose gradients are added up. `key` is
        that of this example in this step.
        """
        del state, forward, y, key
        return None

    def answer(self, state: Any, forward: Forward) -> Array | None:
        """What the network answers, (n_out,), where that is not a^L; None, as here, if it is."""
        del state, forward
        return None

    def feedback(
        self, state: Any, params: tuple[LayerParams, ...]
    ) -> tuple[tuple[Array, Array] | None, ...] | None:
        """Weights of the layers 3..L and what stands for them on the way back, each flat.

        None for a layer without weights; None, as here, if there is no such thing. For metrics.
        """
        del state, params
        return None

    def settling(
        self, state: Any, forward: Forward, y: Array, key: Array
    ) -> tuple[Settling, ...] | None:
        """The phases in which activities settle on the way to `assign`; None, as here, if none do.

        For metrics, and to tell where settling diverges.
        """
        del state, forward, y, key
        return None

    def learn(
        self,
        state: Any,
        step: TrainingStep,
        params: tuple[LayerParams, ...],
        updated: tuple[LayerParams, ...],
    ) -> Any:
        """The state after a step that made `updated` of `params`; as here, it does not change.

        State and parameters are in wide precision, unlike `step`; the state has to keep its dtypes.
        """
        del step, params, updated
        return state


def replaces(rule: LearningRule, method: str) -> bool:
    """Whether a rule has its own way for one of the methods of the contract."""
    return getattr(type(rule), method) is not getattr(LearningRule, method)


def check_credit(rule: LearningRule, terms: Any, trace: Trace) -> None:
    """See that what `assign` gives is one credit or more of the layers 2..L, while it is traced.

    Raises:
        PluginError: it is not.

    """
    name, last = f"{type(rule).__name__}.assign", len(trace.a)
    if not isinstance(terms, tuple) or not all(isinstance(term, Credit) for term in terms):
        given = f"a tuple of {type(terms[0]).__name__}" if isinstance(terms, tuple) else ""
        raise PluginError(
            f"{name}: gives {given or type(terms).__name__}, and no tuple of Credit; for one "
            "credit return (Credit(a, kept, delta),)"
        )
    for term, field in itertools.product(terms, Credit._fields):
        value = getattr(term, field)
        if not isinstance(value, tuple) or len(value) != last - 1:
            found = f"{len(value)} entries" if isinstance(value, tuple) else type(value).__name__
            raise PluginError(
                f"{name}: the {field} of a Credit is no tuple with an entry for each of the layers "
                f"2..{last}, but {found}"
            )
    for term, (field, like) in itertools.product(terms, (("a", trace.a[:-1]), ("delta", trace.z))):
        for number, (value, wanted) in enumerate(
            zip(getattr(term, field), like, strict=True), start=2
        ):
            if jnp.shape(value) != wanted.shape:
                raise PluginError(
                    f"{name}: the {field} of layer {number} has the shape {jnp.shape(value)}; "
                    f"expected {wanted.shape}"
                )


class Aggregation(Component):
    """How the gradients g_x of the m examples become that of a mini-batch; as here, their mean.

    They are never formed one by one: BP4 runs once, on deltas whose rows are weighted.
    """

    formula: ClassVar[Formula | None] = None

    def weights(self, squared_norms: Callable[[], Array]) -> Array | None:
        """c_x, (m,), by which example x counts; None, as here, if all count alike.

        `squared_norms` gives |g_x|^2 over the parameters of all layers, (m,).
        """
        del squared_norms
        return None

    def gradient(
        self, total: tuple[LayerParams, ...], m: int, key: Array
    ) -> tuple[LayerParams, ...]:
        """The gradient of a mini-batch from sum_x c_x g_x; here the sum divided by m.

        `key` is that of the step. Of a Poisson sample m is its size on average.
        """
        del key
        return jax.tree.map(lambda part: part / m, total)

    def fitted(self, plan: SamplingPlan) -> Aggregation:
        """The same with what depends on the training set and its plan; as here, nothing does.

        Floats may change, and nothing else. A ConfigError, in one line, if there is no such thing.
        """
        del plan
        return self

    def privacy(self, plan: SamplingPlan) -> Mapping[str, Any] | None:
        """What may be claimed of the parameters that training gave; None, as here, for nothing.

        Plain values for summary.json, of which `text` is a line for people.
        """
        del plan
        return None


class Optimiser(Component, ABC):
    """How the gradient becomes a step. State goes in and comes out; it is any pytree."""

    formula: ClassVar[Formula | None] = None

    def check(self, network: Network, pair: OutputPair) -> None:
        """Raise a ConfigError, in one line, if it cannot work with these; as here, it can."""
        del network, pair

    @abstractmethod
    def init(self, params: tuple[LayerParams, ...]) -> Any:
        """The state before the first step."""

    @abstractmethod
    def update(
        self,
        gradient: tuple[LayerParams, ...],
        state: Any,
        params: tuple[LayerParams, ...],
        step: TrainingStep,
    ) -> tuple[tuple[LayerParams, ...], Any]:
        """The parameters and the state after a step along `gradient`, which has the penalty in it.

        `step` is all that backpropagation computed on the way: most optimisers do not look.
        """

    is_noisy: ClassVar[bool] = False
    """Whether a step draws random numbers by intention, so that it may go uphill."""
    sees_examples: ClassVar[bool] = False
    """Whether `update` looks at the examples of the step, so that none may be filled up."""

    def evaluated(self, state: Any, params: tuple[LayerParams, ...]) -> tuple[LayerParams, ...]:
        """The parameters that are evaluated and saved, where training goes on with others."""
        del state
        return params

    def scaled(self, factor: Array) -> Optimiser:
        """The optimiser with its eta, or that of the ones in it, times the factor of a schedule."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "eta":
                changes["eta"] = value * factor
            elif isinstance(value, Optimiser):
                changes[field.name] = value.scaled(factor)
        return dataclasses.replace(self, **changes)

    @property
    def has_eta(self) -> bool:
        """Whether `scaled` changes anything."""
        return any(
            field.name == "eta" or (isinstance(inner, Optimiser) and inner.has_eta)
            for field in dataclasses.fields(self)
            for inner in (getattr(self, field.name),)
        )
