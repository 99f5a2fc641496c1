"""Initial conditions of whole networks: an earlier run's parameters, one value, network3.py's."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bpframe import (
    ConfigError,
    DataError,
    Formula,
    InitialCondition,
    LayerParams,
    Params,
    hookimpl,
    hyperparameter,
    read_params,
)

BPFRAME_API_VERSION = 2

_PARAMS = "params.safetensors"


class FromFile(InitialCondition):
    """The weights and biases of a run, or of a file.

    The file holds layer_2.w (n_2, n_1), layer_2.b (n_2,), layer_3.w, ... as the book numbers them.

    Attributes:
        path: the file, or the folder of a run, which stands for its params.safetensors; relative to
            the working directory.

    """

    path: str = _PARAMS

    formula = Formula("w, b as in the file", r"w, b \text{ as in the file}")

    def load(self, like: tuple[LayerParams, ...], seed: int) -> tuple[LayerParams, ...]:
        """The parameters as they stand in the file, whatever the seed.

        Raises:
            DataError: the file is missing or damaged, is no safetensors file, or lacks a layer.

        """
        del seed
        path = Path(self.path).expanduser()
        if path.is_dir():
            path /= _PARAMS
        if not path.exists():
            raise DataError(
                f"initialiser.path: {path.absolute()} is missing; set it to the folder of a run "
                f"that has ended, or to its {_PARAMS}"
            )
        try:
            return jax.tree.map(_exact, read_params(path, like))
        except DataError as error:
            raise DataError(f"initialiser.path: {error}") from error


class Constant(InitialCondition):
    """The same weight w everywhere, and the same bias b.

    For a single neuron it is its starting point. Source: Nielsen (2015), chapter 3, where one
    starts from w = 0.6, b = 0.9 and from w = b = 2.
    """

    w: float = 0.6
    b: float = 0.9

    formula = Formula("w and b the same everywhere", r"w_{jk} = w,\ b_j = b")

    def load(self, like: tuple[LayerParams, ...], seed: int) -> tuple[LayerParams, ...]:
        """w_jk = w, b_j = b.

        Raises:
            ConfigError: a layer has parameters of another kind.

        """
        del seed
        return _layer_by_layer(
            lambda own: own._replace(
                w=np.full(own.w.shape, self.w), b=np.full(own.b.shape, self.b)
            ),
            like,
        )


class Network3(InitialCondition):
    """w ~ N(0, 1/n_out), b ~ N(0, 1), and the last layer 0, so that all its answers are equal.

    n_out is the number of neurons of a dense layer, and maps x size^2 / pooled of a convolution.
    Source: Nielsen (2015), chapter 6, network3.py.

    Attributes:
        pooled: how many neurons a window of the pooling layers holds.

    """

    pooled: int = hyperparameter(default=4, ge=1)

    formula = Formula(
        "w ~ N(0, 1/n_out), b ~ N(0, 1), w^L = b^L = 0",
        r"w \sim N(0, 1/n_{out}),\ b \sim N(0, 1),\ w^L = b^L = 0",
    )

    def load(self, like: tuple[LayerParams, ...], seed: int) -> tuple[LayerParams, ...]:
        """The parameters, drawn with the seed.

        Raises:
            ConfigError: a layer with parameters is neither dense nor a convolution.

        """
        rng = np.random.default_rng(seed)

        def drawn(own: Params) -> Params:
            if own.w.ndim not in (2, 4):
                raise ConfigError(
                    "initialiser: network3 is for dense layers and convolutions, and the network "
                    f"has a layer with weights of shape {own.w.shape}; choose another"
                )
            n_out = math.prod(own.w.shape[:-1]) / (self.pooled if own.w.ndim == 4 else 1)
            w = rng.normal(size=own.w.shape) / math.sqrt(n_out)
            return own._replace(w=w, b=rng.normal(size=own.b.shape))

        last = jax.tree.map(lambda array: np.zeros(array.shape), like[-1])
        return (*_layer_by_layer(drawn, like[:-1]), last)


def _layer_by_layer(
    new: Callable[[Params], Params], like: tuple[LayerParams, ...]
) -> tuple[LayerParams, ...]:
    """`new` of the weights and biases of every layer, also of those inside of blocks."""

    def checked(own: object) -> Params:
        if isinstance(own, Params):
            return new(own)
        raise ConfigError("initialiser: is for layers with weights and biases; choose another")

    return jax.tree.map(checked, like, is_leaf=lambda part: isinstance(part, Params))


def _exact(array: Any) -> Any:
    return np.asarray(array, np.float64)


@hookimpl
def bpframe_initialisers() -> dict[str, type[InitialCondition]]:
    """The initial conditions by name."""
    return {"file": FromFile, "constant": Constant, "network3": Network3}
