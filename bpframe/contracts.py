"""What plugins implement: one small, pure, stateless contract for each part of an experiment.

Shapes: n_in and n_out are neurons of the layer before and of the layer itself, m is the number
of examples in a mini-batch. Every contract but `Dataset` is written for one example; the core
vmaps it over the mini-batch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jax import Array

from bpframe.component import Component, hyperparameter
from bpframe.data import Data
from bpframe.errors import ExamplesError


class Params(NamedTuple):
    """Weights and biases of one layer: `w` (n_out, n_in) and `b` (n_out,)."""

    w: Array
    b: Array


class Trace(NamedTuple):
    """What the forward pass leaves behind, for layers 1 to L.

    `z` holds the weighted inputs of layers 2..L, each (n_out,); `a` the activations of layers
    1..L, so `a[0]` is the input x. A leading axis m stands before both after vmap.
    """

    z: tuple[Array, ...]
    a: tuple[Array, ...]


class Formula(NamedTuple):
    """A formula as `bpframe explain` prints it: as plain text, and as LaTeX."""

    text: str
    latex: str


class Activation(Component, ABC):
    """sigma, applied to a whole layer: a^l = sigma(z^l).

    Subclass `ElementwiseActivation` unless the neurons of the layer are coupled, as in softmax.
    """

    range: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """Bounds that no output leaves; a cost may ask for them (see `Cost.domain`)."""
    sums_to_one: ClassVar[bool] = False
    """Whether the outputs of a layer are a distribution, as those of softmax are."""
    min_neurons: ClassVar[int] = 1
    """The smallest layer on which the activation makes sense."""
    formula: ClassVar[Formula | None] = None
    prime_formula: ClassVar[Formula | None] = None

    @property
    def kinks(self) -> tuple[float, ...]:
        """The z at which sigma' jumps, so that it has two one-sided values: 0 for max(0, z)."""
        return ()

    @abstractmethod
    def __call__(self, z: Array) -> Array:
        """sigma(z), for z of shape (n_out,); shape and dtype are kept."""

    @abstractmethod
    def pullback(self, z: Array, v: Array) -> Array:
        """J^T v with J = d sigma / d z at z; v, z and the result are (n_out,)."""


class ElementwiseActivation(Activation):
    """An activation that treats every neuron alike: its Jacobian is the diagonal sigma'(z)."""

    @abstractmethod
    def prime(self, z: Array) -> Array:
        """sigma'(z), elementwise, for z of any shape; at a kink, one of the one-sided values."""

    def pullback(self, z: Array, v: Array) -> Array:
        """v * sigma'(z)."""
        return v * self.prime(z)


class Cost(Component, ABC):
    """C(a, y) for one example: a scalar that the output activations a^L and the target y give."""

    domain: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """The outputs for which C is defined; the output activation's range must lie inside."""
    targets: ClassVar[tuple[float, float] | None] = None
    """The targets for which C is defined; None: those that lie in `domain`."""
    needs_distribution: ClassVar[bool] = False
    """Whether C makes sense only for outputs that sum to one."""
    least_at_target: ClassVar[bool] = True
    """Whether no output has a smaller C than a = y."""
    decision_boundary: ClassVar[float | None] = None
    """The output above which a single neuron answers 1; None: the middle between the targets."""
    formula: ClassVar[Formula | None] = None
    prime_formula: ClassVar[Formula | None] = None

    @abstractmethod
    def __call__(self, a: Array, y: Array) -> Array:
        """C for one example; a and y are (n_out,), the result is a scalar."""

    @abstractmethod
    def prime(self, a: Array, y: Array) -> Array:
        """grad_a C, the rate of change of C with the output activations: (n_out,)."""

    def check_targets(self, y: np.ndarray, where: str) -> None:
        """Raise an ExamplesError if C is not defined for y: targets, or class labels as (n,)."""
        low, high = self.domain if self.targets is None else self.targets
        least, most = (0.0, 1.0) if y.ndim == 1 else (float(y.min()), float(y.max()))
        if not (low <= least and most <= high):
            change = "write 0 for -1" if (least, most, low) == (-1, 1, 0) else "change the targets"
            raise ExamplesError(
                f"cost: {type(self).__name__} is defined for targets from {low:g} to {high:g}, and "
                f"{where} has {least:g} to {most:g}; {change}, or choose a cost that takes them, "
                "such as quadratic"
            )


class OutputPair(Component, ABC):
    """A cost together with the output layer's activation, for delta^L and C computed from z^L.

    Where the two simplify each other (cross-entropy with sigmoid gives a - y), a plugin supplies
    the pair, so that neither overflows nor loses digits when neurons saturate.
    """

    cost_function: Cost
    activation: Activation

    delta_formula: ClassVar[Formula | None] = None

    @abstractmethod
    def delta(self, z: Array, a: Array, y: Array) -> Array:
        """(BP1) delta^L = dC/dz^L for one example; z, a, y and the result are (n_out,)."""

    @abstractmethod
    def cost(self, z: Array, a: Array, y: Array) -> Array:
        """C for one example, a scalar; z, a and y are (n_out,)."""


class Optimiser(Component, ABC):
    """How the mean gradient becomes a step. State goes in and comes out; it is any pytree."""

    formula: ClassVar[Formula | None] = None

    @abstractmethod
    def init(self, params: tuple[Params, ...]) -> Any:
        """The state before the first step."""

    @abstractmethod
    def update(
        self, gradient: tuple[Params, ...], state: Any, params: tuple[Params, ...]
    ) -> tuple[tuple[Params, ...], Any]:
        """The parameters and the state after one step along `gradient`."""


class Initialiser(Component, ABC):
    """The weights and biases that training starts from, layer by layer."""

    is_random: ClassVar[bool] = True
    """Whether another key gives other weights."""
    formula: ClassVar[Formula | None] = None

    @abstractmethod
    def __call__(self, key: Array, n_in: int, n_out: int) -> Params:
        """Fresh parameters of one layer, drawn with `key`."""

    @abstractmethod
    def variance(self, n_in: int, n_out: int) -> float:
        """The variance of the weights that `__call__` draws."""


class InitialCondition(Component, ABC):
    """The exact weights and biases that training starts from, all layers together.

    It is chosen like an initialiser. It is worked out on the host before anything is compiled, in
    float64, so that it may read a file, and may be known to more digits than are drawn.
    """

    formula: ClassVar[Formula | None] = None

    @abstractmethod
    def load(self, sizes: tuple[int, ...], seed: int) -> tuple[Params, ...]:
        """The parameters of the layers 2..L as NumPy arrays, for layers of these sizes, 1..L.

        `seed` is that of the experiment, for those that draw something all the same.

        Raises:
            ConfigError: a field does not fit a network of these sizes.
            DataError: a file is missing or is not what it should be.

        """


class Regulariser(Component, ABC):
    """A penalty R(params). The core adds R / n to the cost, n the number of training examples."""

    formula: ClassVar[Formula | None] = None

    @abstractmethod
    def cost(self, params: tuple[Params, ...]) -> Array:
        """R, a scalar."""

    @abstractmethod
    def gradient(self, params: tuple[Params, ...]) -> tuple[Params, ...]:
        """dR/dparams, shaped like `params`."""


class LearningRule(Component, ABC):
    """How the error travels back: what stands before `* sigma'(z^l)` in BP2.

    BP1, BP3 and BP4 are the same for all rules.
    """

    is_gradient: ClassVar[bool] = False
    """Whether the deltas are the exact gradient dC/dz."""
    formula: ClassVar[Formula | None] = None

    @abstractmethod
    def init(self, key: Array, params: tuple[Params, ...]) -> tuple[Any, ...]:
        """Fixed state such as feedback matrices: one entry for each of the layers 2..L-1.

        `params` are in float32 whatever the dtype of the run, to which the state's floats are cast,
        so that runs which differ in the dtype alone start with the same numbers.
        """

    @abstractmethod
    def carry(self, state: Any, w_next: Array, delta_next: Array, delta_out: Array) -> Array:
        """The error that arrives at layer l, (n,).

        `state` is this layer's entry, `w_next` is w^(l+1), (n_next, n), `delta_next` is
        delta^(l+1), (n_next,), and `delta_out` is delta^L, (n_out,).
        """


class Dataset(Component, ABC):
    """A data set: where the examples come from. The only contract that reads files."""

    train_size: int | None = hyperparameter(default=None, ge=1)
    disjoint: ClassVar[bool] = True
    """Whether no example of one split is in another one."""

    @property
    @abstractmethod
    def n_in(self) -> int:
        """The number of input neurons."""

    @property
    @abstractmethod
    def n_out(self) -> int:
        """The number of output neurons."""

    @abstractmethod
    def load(self) -> Data:
        """All examples, split into training, validation and test set.

        The core keeps the first `train_size` training examples, if that is set.

        Raises:
            DataError: a file is missing or is not what it should be.

        """
