"""What plugins implement: one small, pure, stateless contract for each part of an experiment.

Shapes: n_in and n_out are neurons of the layer before and of the layer itself, m is the number
of examples in a mini-batch. Every contract but `Dataset` is written for one example; the core
vmaps it over the mini-batch.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.component import Component, arrays_shown, hyperparameter
from bpframe.data import Data, Examples
from bpframe.errors import ExamplesError
from bpframe.products import sum_of_products

Shape: TypeAlias = tuple[int, ...]
"""The neurons of a layer: (n,), or (rows, columns, channels) of an image."""
Shapes: TypeAlias = tuple[Shape, ...]

LayerParams: TypeAlias = Any
"""The parameters of one layer: a NamedTuple of arrays, `Params` or a layer's own; () for none.

Weights, which regularisers penalise, are those called `w`.
"""


class Params(NamedTuple):
    """Weights and biases of one layer: `w` (n_out, n_in) and `b` (n_out,)."""

    w: Array
    b: Array

    def __repr__(self) -> str:
        return arrays_shown(self)


class Stacked(NamedTuple):
    """The parameters of equal blocks: arrays with a leading axis for the blocks."""

    blocks: Any


class Trace(NamedTuple):
    """What the forward pass leaves behind, for layers 1 to L.

    `z` holds the weighted inputs of layers 2..L, each shaped like its layer; `a` the activations of
    layers 1..L, so `a[0]` is the input x; `kept` what each of the layers 2..L needs besides on the
    way back. A leading axis m stands before all of them after vmap.
    """

    z: tuple[Array, ...]
    a: tuple[Array, ...]
    kept: tuple[Any, ...]

    def __repr__(self) -> str:
        return arrays_shown(self)


class Settling(NamedTuple):
    """How activities settle that descend an energy in several steps, for one example.

    Attributes:
        energy: (steps + 1,) before the first step and after each.
        residual: (steps + 1, layers) norms of the energy's gradient by the activities of each layer
            that settles, of which layer 2 is the first; likewise.

    """

    energy: Array
    residual: Array


class Factors(NamedTuple):
    """The Kronecker factors of a layer, for m examples: E[g g^T] is about A kron G.

    g is an example's gradient as a matrix (neurons, fan-in + 1), whose last column is that of the
    bias. With one example and one place it is exact.

    Source: Martens and Grosse (2015); Grosse and Martens (2016), for layers that share weights.

    Attributes:
        a: A, (fan-in + 1, fan-in + 1): the mean over examples of the sum over places of a~ a~^T,
            where a~ is what a neuron looks at, and a 1.
        g: G, (neurons, neurons): the mean over examples and places of delta delta^T.

    """

    a: Array
    g: Array

    @classmethod
    def of(cls, a: Array, delta: Array) -> Factors:
        """From what the neurons look at, (m, places, fan-in), and their deltas, (m, places, n)."""
        m, places, _ = a.shape
        a = jnp.concatenate([a, jnp.ones_like(a[..., :1])], axis=2).reshape(m * places, -1)
        delta = delta.reshape(m * places, -1)
        return cls(sum_of_products(a, a) / m, sum_of_products(delta, delta) / (m * places))


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

    def second_derivative(self, z: Array) -> Array | None:
        """sigma''(z), likewise; None, as here, if it is not told, which `hessian_trace` refuses."""
        del z
        return None

    def pullback(self, z: Array, v: Array) -> Array:
        """v * sigma'(z)."""
        return v * self.prime(z)


class Layer(Component, ABC):
    """T^l with z^l = T^l(a^(l-1)) and a^l = sigma_l(z^l), and what T^l says to the way back.

    All is written for one example but for `gradient` and what follows it, which see m of them.
    """

    activation: Activation = dataclasses.field(kw_only=True)

    is_linear: ClassVar[bool] = False
    """Whether z^l is linear, by pieces, in a^(l-1) as well as in the parameters."""
    default_activation: ClassVar[str | None] = None
    """The activation where the config chooses none, by name; None: it has to choose one."""
    formula: ClassVar[Formula | None] = None
    gradient_formula: ClassVar[Formula | None] = None
    """What `gradient` sums, one formula for each array, with two spaces or a quad between them."""

    @abstractmethod
    def shape(self, shape_prev: Shape) -> Shape:
        """The shape of z^l, for a^(l-1) of shape `shape_prev`.

        Raises:
            ConfigError: the layer cannot stand there; the message says what it needs and was given.

        """

    @abstractmethod
    def init(self, initialiser: Initialiser, key: Array, shape_prev: Shape) -> LayerParams:
        """Fresh parameters, drawn with `key`."""

    @abstractmethod
    def forward(
        self, params: LayerParams, a_prev: Array, key: Array | None
    ) -> tuple[Array, LayerParams]:
        """z^l, and what the way back needs besides a^(l-1); `key` is None for evaluation."""

    @abstractmethod
    def carry(self, params: LayerParams, a_prev: Array, kept: Any, delta: Array) -> Array:
        """(dz^l/da^(l-1))^T delta^l, shaped like a^(l-1): what stands before sigma' in BP2."""

    @abstractmethod
    def gradient(self, params: LayerParams, a_prev: Array, kept: Any, delta: Array) -> LayerParams:
        """(BP3, BP4) sum_x dC_x/dparams, shaped like `params`.

        a_prev, kept and delta have a leading axis m. No gradient of a single example is formed.
        """

    def example_gradients(
        self, params: LayerParams, a_prev: Array, kept: Any, delta: Array
    ) -> LayerParams:
        """dC_x/dparams of each of the m examples, shaped like `params` after an axis m."""

        def one(a_prev: Array, kept: Any, delta: Array) -> LayerParams:
            single = jax.tree.map(lambda part: part[None], (a_prev, kept, delta))
            return self.gradient(params, *single)

        return jax.vmap(one)(a_prev, kept, delta)

    def squared_norms(self, params: LayerParams, a_prev: Array, kept: Any, delta: Array) -> Array:
        """|dC_x/dparams|^2 of each of the m examples, (m,); as here, from their gradients."""
        return squared_norms(self.example_gradients(params, a_prev, kept, delta), delta)

    def inner_products(self, params: LayerParams, a_prev: Array, kept: Any, delta: Array) -> Array:
        """Those of the gradients of every two of the m examples, (m, m); as here, from them."""
        return inner_products(self.example_gradients(params, a_prev, kept, delta), delta)

    def sum_of_squares(
        self, params: LayerParams, a_prev: Array, kept: Any, delta: Array
    ) -> LayerParams:
        """sum_x (dC_x/dparams)^2, parameter by parameter; as here, from the gradients."""
        return sum_of_squares(self.example_gradients(params, a_prev, kept, delta))

    def factors(self, params: LayerParams, a_prev: Array, kept: Any, delta: Array) -> Any:
        """The Kronecker factors of the layer's curvature, each `Factors` where `params` has Params.

        None, as here, for what has none; layers with layers inside give them in their structure.
        """
        del params, a_prev, kept, delta
        return None

    def inner_deltas(
        self, params: LayerParams, a_prev: Array, kept: Any, delta: Array
    ) -> Mapping[str, Array]:
        """The deltas of layers inside of this one, by name, for one example; as here, of none.

        Each is (..., n): the neurons, after axes for equal layers that are repeated.
        """
        del params, a_prev, kept, delta
        return {}


def squared_norms(gradients: LayerParams, like: Array) -> Array:
    """Of gradients with an axis m in front, (m,); zeros for no parameters."""
    parts = (jnp.sum(_flat(part) ** 2, axis=1) for part in jax.tree.leaves(gradients))
    return sum(parts, start=jnp.zeros(like.shape[:1], like.dtype))


def inner_products(gradients: LayerParams, like: Array) -> Array:
    """Of every two gradients with an axis m in front, (m, m); zeros for no parameters."""
    parts = (_flat(part) @ _flat(part).T for part in jax.tree.leaves(gradients))
    return sum(parts, start=jnp.zeros(like.shape[:1] * 2, like.dtype))


def sum_of_squares(gradients: LayerParams) -> LayerParams:
    """Over an axis m in front."""
    return jax.tree.map(lambda part: jnp.sum(part**2, axis=0), gradients)


def _flat(part: Array) -> Array:
    return part.reshape(len(part), -1)


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

    def curvature_root(self, a: Array, y: Array) -> Array | None:
        """s_k, (k, n_out), with sum_k s_k s_k^T = d^2 C / da^2; None, as here, if it is not told.

        For what asks for curvature, such as K-FAC, which then refuses the cost.
        """
        del a, y
        return None

    def check_targets(self, y: np.ndarray, where: str) -> None:
        """Raise a DataError if C is not defined for y: targets, or class labels as (n,)."""
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
    is_convex: ClassVar[bool] = False
    """Whether C is convex in z^L, and `curvature_root` that of all of d^2 C / dz^2."""

    @abstractmethod
    def delta(self, z: Array, a: Array, y: Array) -> Array:
        """(BP1) delta^L = dC/dz^L for one example; z, a, y and the result are (n_out,)."""

    @abstractmethod
    def cost(self, z: Array, a: Array, y: Array) -> Array:
        """C for one example, a scalar; z, a and y are (n_out,)."""

    def curvature_root(self, z: Array, a: Array, y: Array) -> Array | None:
        """s_k, (k, n_out), with sum_k s_k s_k^T the curvature of C at z^L; None if it is not told.

        As here sigma_L'(z)^T d^2 C/da^2 sigma_L'(z), without the curvature of sigma_L itself, so
        that it has no negative direction. A pair with `is_convex` gives d^2 C / dz^2.
        """
        roots = self.cost_function.curvature_root(a, y)
        if roots is None:
            return None
        return jax.vmap(self.activation.pullback, in_axes=(None, 0))(z, roots)


class Initialiser(Component, ABC):
    """The weights and biases that training starts from, layer by layer."""

    is_random: ClassVar[bool] = True
    """Whether another key gives other weights."""
    by_shape: ClassVar[bool] = False
    """Whether the shape of w counts beside the fans, and `variance` is that of dense layers."""
    formula: ClassVar[Formula | None] = None

    @abstractmethod
    def __call__(self, key: Array, shape: Shape, n_in: int, n_out: int) -> Params:
        """Weights of a shape (neurons, ...) and biases (neurons,), drawn with `key`.

        n_in is the fan-in, the number of weights into a neuron, and n_out the fan-out, the number
        of weights out of a neuron of the layer before. A dense layer has w (n_out, n_in).
        """

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
    def load(self, like: tuple[LayerParams, ...], seed: int) -> tuple[LayerParams, ...]:
        """The parameters of the layers 2..L as NumPy arrays, of the shapes of those of `like`.

        `seed` is that of the experiment, for those that draw something all the same.

        Raises:
            ConfigError: a field does not fit a network with such parameters.
            DataError: a file is missing or is not what it should be.

        """


class Regulariser(Component, ABC):
    """A penalty R(params). The core adds R / n to the cost, n the number of training examples."""

    formula: ClassVar[Formula | None] = None

    @abstractmethod
    def cost(self, params: tuple[LayerParams, ...]) -> Array:
        """R, a scalar."""

    @abstractmethod
    def gradient(self, params: tuple[LayerParams, ...]) -> tuple[LayerParams, ...]:
        """dR/dparams, shaped like `params`."""


class Dataset(Component, ABC):
    """A data set: where the examples come from. The only contract that reads files.

    `train_size` keeps the first so many training examples. With `standardise` inputs have mean 0
    and standard deviation 1 over the training examples that are kept: each feature of a row by
    itself, each channel of an image over all of its pixels.
    """

    train_size: int | None = hyperparameter(default=None, ge=1)
    standardise: bool = False
    disjoint: ClassVar[bool] = True
    """Whether no example of one split is in another one."""

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """The shape of an input: (n,), or (rows, columns, channels) of an image."""

    @property
    @abstractmethod
    def n_out(self) -> int:
        """The number of output neurons."""

    @abstractmethod
    def load(self) -> Data:
        """All examples, split into training, validation and test set.

        They say by their `task` what an answer is. The core keeps the first `train_size` training
        examples, if that is set, and then standardises.

        Raises:
            DataError: a file is missing or is not what it should be.

        """

    @property
    def shuffle_block(self) -> int | None:
        """How many training examples that follow each other are read together, in every epoch.

        None: an epoch sees the examples in an order of which all are equally likely. Else see
        `orders.by_blocks`, for files too slow to be read row by row.
        """
        return None

    @property
    def expansion(self) -> int:
        """How many examples `expanded` makes of each."""
        return 1

    def expanded(self, train: Examples) -> Examples:
        """What to train on in place of the training examples that are kept: by default, these."""
        return train
