"""Exact initial conditions for any network: an earlier run's parameters, or one value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from bpframe import DataError, Formula, InitialCondition, LayerParams, hookimpl, read_params

BPFRAME_API_VERSION = 2


class FromFile(InitialCondition):
    """The weights and biases of a file, such as the params.safetensors of a run.

    The file holds layer_2.w (n_2, n_1), layer_2.b (n_2,), layer_3.w, ... as the book numbers them.

    Attributes:
        path: the file, relative to the working directory.

    """

    path: str = "params.safetensors"

    formula = Formula("w, b as in the file", r"w, b \text{ as in the file}")

    def load(self, like: tuple[LayerParams, ...], seed: int) -> tuple[LayerParams, ...]:
        """The parameters as they stand in the file, whatever the seed.

        Raises:
            DataError: the file is missing or damaged, is no safetensors file, or lacks a layer.

        """
        del seed
        path = Path(self.path).expanduser()
        if not path.exists():
            raise DataError(
                f"initialiser.path: {path.absolute()} is missing; set it to the "
                "params.safetensors of a run"
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
        """w_jk = w, b_j = b."""
        del seed
        return tuple(
            own._replace(w=np.full(own.w.shape, self.w), b=np.full(own.b.shape, self.b))
            for own in like
        )


def _exact(array: Any) -> Any:
    return np.asarray(array, np.float64)


@hookimpl
def bpframe_initialisers() -> dict[str, type[InitialCondition]]:
    """The initial conditions by name."""
    return {"file": FromFile, "constant": Constant}
