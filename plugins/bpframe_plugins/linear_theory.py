"""Deep linear networks, whose learning is known exactly: data, starting point and measures.

The data have whitened inputs and targets y = M x with M = U S V^T. Started from weights that are
aligned with U and V, every singular mode is learned by itself.

Source: Saxe, McClelland and Ganguli (2014), Exact solutions to the nonlinear dynamics of learning
in deep linear neural networks.
"""

from __future__ import annotations

import functools
import itertools

import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe import (
    ConfigError,
    Data,
    Dataset,
    Examples,
    Formula,
    InitialCondition,
    LayerParams,
    MeanMetric,
    Metric,
    Observation,
    Params,
    ParamsMetric,
    Regression,
    Shape,
    hookimpl,
    hyperparameter,
)

BPFRAME_API_VERSION = 2
AllParams = tuple[Params, ...]
Columns = dict[str, Array]


def singular_vectors(n: int, side: str, rotation: int) -> np.ndarray:
    """(n, n): an orthogonal matrix, the same for the same `side` ("u" or "v") and `rotation`."""
    rng = np.random.default_rng([rotation, ord(side)])
    q, r = np.linalg.qr(rng.normal(size=(n, n)))
    return q * np.sign(np.diag(r))  # uniform among the orthogonal matrices


class Whitened(Dataset):
    """y = U S V^T x, for inputs with mean 0 and covariance (1/n) sum_x x x^T = I, both exactly.

    All examples are training, validation and test set: what is asked is how they are learned.

    Attributes:
        inputs: n_in.
        outputs: n_out.
        size: the number of examples, more than there are inputs.
        singular_values: the diagonal of S, at most min(n_in, n_out) of them; the rest is 0.
        rotation: which U and V, and which inputs.

    """

    inputs: int = hyperparameter(default=8, ge=1)
    outputs: int = hyperparameter(default=6, ge=1)
    size: int = hyperparameter(default=32, ge=2)
    singular_values: tuple[float, ...] = hyperparameter(default=(4.0, 3.0, 2.0, 1.0), ge=0)
    rotation: int = hyperparameter(default=0, ge=0)

    disjoint = False

    @property
    def shape(self) -> Shape:
        """`inputs`."""
        return (self.inputs,)

    @property
    def n_out(self) -> int:
        """`outputs`."""
        return self.outputs

    def load(self) -> Data:
        """The examples, three times; see `Dataset.load`.

        Raises:
            ConfigError: there are too few examples for a covariance of I, or too many modes.

        """
        if self.size <= self.inputs:
            raise ConfigError(
                f"data.size: {self.size} examples cannot be whitened; allowed: more than "
                f"data.inputs, which is {self.inputs}"
            )
        s, most = np.array(self.singular_values), min(self.inputs, self.outputs)
        if len(s) > most:
            raise ConfigError(
                f"data.singular_values: has {len(s)}; allowed: at most {most}, the smaller of "
                "data.inputs and data.outputs"
            )
        rng = np.random.default_rng([self.rotation, ord("x")])
        beside_the_mean = np.column_stack(
            [np.ones(self.size), rng.normal(size=(self.size, self.inputs))]
        )
        x = np.linalg.qr(beside_the_mean)[0][:, 1:] * np.sqrt(self.size)
        u, v = (
            singular_vectors(n, side, self.rotation)[:, : len(s)]
            for n, side in ((self.outputs, "u"), (self.inputs, "v"))
        )
        examples = Examples(x, x @ (u * s @ v.T).T, n_out=self.outputs, task=Regression())
        return Data(train=examples, validation=examples, test=examples)


class Decoupled(InitialCondition):
    """w^L ... w^2 = strength U V^T with each factor aligned to its neighbours, b = 0.

    Every singular mode starts with the same `strength`, spread evenly over the layers, and none
    with a part in another; so none ever has. `rotation` is that of the data.
    Source: Saxe et al. (2014), there for one hidden layer.
    """

    strength: float = hyperparameter(default=0.01, gt=0)
    rotation: int = hyperparameter(default=0, ge=0)

    formula = Formula(
        "w^l = strength^(1/(L-1)) R_l R_(l-1)^T with R_1 = V, R_L = U, b = 0",
        r"w^l = u_0^{1/(L-1)} R_l R_{l-1}^T,\ R_1 = V,\ R_L = U,\ b = 0",
    )

    def load(self, like: tuple[LayerParams, ...], seed: int) -> AllParams:
        """The parameters; `seed` turns the hidden layers, which changes nothing that is learned.

        Raises:
            ConfigError: a layer is not dense.

        """
        if not all(isinstance(own, Params) and own.w.ndim == 2 for own in like):
            raise ConfigError("initialiser: decoupled is for dense layers; choose another")
        sizes = (like[0].w.shape[1], *(own.w.shape[0] for own in like))
        modes = min(sizes)
        rng = np.random.default_rng(seed)
        hidden = [np.linalg.qr(rng.normal(size=(n, modes)))[0] for n in sizes[1:-1]]
        v, u = (
            singular_vectors(n, side, self.rotation)[:, :modes]
            for n, side in ((sizes[0], "v"), (sizes[-1], "u"))
        )
        factor = self.strength ** (1 / (len(sizes) - 1))
        return tuple(
            Params(factor * after @ before.T, np.zeros(len(after)))  # pyright: ignore[reportArgumentType]
            for before, after in itertools.pairwise([v, *hidden, u])
        )


class ModeStrengths(ParamsMetric):
    """u_k^T W v_k with W = w^L ... w^2: how far each singular mode of the data is learned.

    Column mode_1 belongs to the first singular value. `rotation` is that of the data.
    Source: Saxe et al. (2014), the time course of learning.
    """

    over: str = hyperparameter(default="train", choices=("steps", "train", "validation", "test"))
    rotation: int = hyperparameter(default=0, ge=0)

    def of(self, params: AllParams) -> Columns:
        """The diagonal of U^T W V."""
        w = functools.reduce(lambda product, layer: layer.w @ product, params[1:], params[0].w)
        n_out, n_in = w.shape
        modes = min(n_out, n_in)
        u, v = (
            jnp.asarray(singular_vectors(n, side, self.rotation)[:, :modes], w.dtype)
            for n, side in ((n_out, "u"), (n_in, "v"))
        )
        strengths = jnp.sum(u * (w @ v), axis=0)
        return {f"mode_{k}": strength for k, strength in enumerate(strengths, start=1)}


class Balancedness(ParamsMetric):
    """(w^(l+1))^T w^(l+1) - w^l (w^l)^T - b^l (b^l)^T, (n_l, n_l) for each hidden layer l.

    In a linear network without penalty it is conserved by full-batch gradient descent, in the
    limit of a small eta. Biases count as weights of an input that is 1.
    Source: Du, Hu and Lee (2018), Algorithmic regularization in learning deep homogeneous models,
    there without biases.
    """

    over: str = hyperparameter(default="train", choices=("steps", "train", "validation", "test"))

    def of(self, params: AllParams) -> Columns:
        """A matrix for each of the layers 2..L-1."""
        return {
            f"layer_{number}": after.w.T @ after.w - w @ w.T - jnp.outer(b, b)
            for number, ((w, b), after) in enumerate(itertools.pairwise(params), start=2)
        }


class WeightGradientProduct(MeanMetric):
    """<w^l, dC/dw^l>, the inner product of a layer's weights with their gradient; per layer.

    In a linear network whose biases are zero it is the same for all layers. It is taken example
    by example as delta^l . (z^l - b^l), since w^l a^(l-1) = z^l - b^l, without forming a gradient.
    """

    over: str = hyperparameter(default="train", choices=("steps", "train", "validation", "test"))

    def measure(self, seen: Observation) -> Columns:
        """(m,) a layer."""
        layers = zip(seen.deltas, seen.trace.z, seen.params, strict=True)
        return {
            f"layer_{number}": jnp.sum(delta * (z - layer.b[None]), axis=1)
            for number, (delta, z, layer) in enumerate(layers, start=2)
        }


@hookimpl
def bpframe_datasets() -> dict[str, type[Dataset]]:
    """The data set by name."""
    return {"whitened": Whitened}


@hookimpl
def bpframe_initialisers() -> dict[str, type[InitialCondition]]:
    """The initial condition by name."""
    return {"decoupled": Decoupled}


@hookimpl
def bpframe_metrics() -> dict[str, type[Metric]]:
    """The metrics by name."""
    return {
        "mode_strengths": ModeStrengths,
        "balancedness": Balancedness,
        "weight_gradient_product": WeightGradientProduct,
    }
