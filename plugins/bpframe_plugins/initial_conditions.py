"""Exact initial conditions for any network: an earlier run's parameters, or one value."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from bpframe import DataError, Formula, InitialCondition, Params, hookimpl, read_params

BPFRAME_API_VERSION = 1


class FromFile(InitialCondition):
    """The weights and biases of a file, such as the params.safetensors of a run.

    The file holds layer_2.w (n_2, n_1), layer_2.b (n_2,), layer_3.w, ... as the book numbers them.

    Attributes:
        path: the file, relative to the working directory.

    """

    path: str = "params.safetensors"

    formula = Formula("w, b as in the file", r"w, b \text{ as in the file}")

    def load(self, sizes: tuple[int, ...], seed: int) -> tuple[Params, ...]:
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
            params = read_params(path)
        except DataError as error:
            raise DataError(f"initialiser.path: {error}") from error
        if len(params) != len(sizes) - 1:
            raise DataError(
                f"initialiser.path: {path} holds the layers 2 to {len(params) + 1}; the network "
                f"needs 2 to {len(sizes)}"
            )
        return tuple(Params(*map(_exact, map(np.asarray, layer))) for layer in params)


class Constant(InitialCondition):
    """The same weight w everywhere, and the same bias b.

    For a single neuron it is its starting point. Source: Nielsen (2015), chapter 3, where one
    starts from w = 0.6, b = 0.9 and from w = b = 2.
    """

    w: float = 0.6
    b: float = 0.9

    formula = Formula("w and b the same everywhere", r"w_{jk} = w,\ b_j = b")

    def load(self, sizes: tuple[int, ...], seed: int) -> tuple[Params, ...]:
        """w_jk = w, b_j = b."""
        del seed
        return tuple(
            Params(_exact(np.full((n, n_prev), self.w)), _exact(np.full(n, self.b)))
            for n_prev, n in itertools.pairwise(sizes)
        )


def _exact(array: np.ndarray) -> Any:
    return array.astype(np.float64)


@hookimpl
def bpframe_initialisers() -> dict[str, type[InitialCondition]]:
    """The initial conditions by name."""
    return {"file": FromFile, "constant": Constant}
