"""A table of one's own for tests of runs, and what NumPy and pandas make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles import sigmoid
from safetensors.numpy import load_file

from bpframe.errors import BpframeError, DataError

KINDS = ("ape", "bee", "cow")
SITES = ("east", "north", "west")
SPLITS = ("train", "train", "train", "validation", "test")
PLUGIN = """
import bpframe
import jax
import jax.numpy as jnp


class Bent(bpframe.ElementwiseActivation):
    def __call__(self, z):
        return jnp.arctan(z)

    def prime(self, z):
        return 1 / (1 + z**2)


@bpframe.hookimpl
def bpframe_activations():
    return {"bent": Bent}
"""


def frame(n: int = 100, seed: int = 0) -> Any:  # a pandas frame, whose types pyright cannot tell
    """Sizes and weights in units of their own, a site, a kind, a price, and a split by rows."""
    draw = np.random.default_rng(seed)
    kind = draw.integers(3, size=n)
    size = draw.normal(5 + 2 * kind, 1)
    weight = draw.normal(900 - 100 * kind, 50)
    return pd.DataFrame(
        {
            "size": size,
            "weight": weight,
            "site": np.array(SITES)[draw.integers(3, size=n)],
            "kind": np.array(KINDS)[kind],
            "price": 1000 + 20 * size - weight / 4 + draw.normal(size=n),
            "part": [SPLITS[row % len(SPLITS)] for row in range(n)],
        }
    )


def encoded(table: Any) -> np.ndarray:
    """Size, weight, and a 1 for the site, (n, 5)."""
    sites = [(table["site"] == site).to_numpy(float) for site in SITES]
    return np.column_stack([table["size"], table["weight"], *sites])


def scaled(table: Any, of: Any) -> np.ndarray:
    """The same with mean 0 and deviation 1 over the training rows of another table."""
    x = encoded(of[of["part"] == "train"])
    return (encoded(table) - x.mean(axis=0)) / x.std(axis=0)


def outputs(folder: Path, x: np.ndarray, last: Any = sigmoid, name: str = "params") -> np.ndarray:
    """The forward pass of a saved network with sigmoid neurons, (n, n_out)."""
    saved = {k: v.astype(float) for k, v in load_file(folder / f"{name}.safetensors").items()}
    layers = sorted({int(key.split("_")[1].split(".")[0]) for key in saved})
    for layer in layers:
        z = x @ saved[f"layer_{layer}.w"].T + saved[f"layer_{layer}.b"]
        x = last(z) if layer == layers[-1] else sigmoid(z)
    return x


ZOO = (
    "data=csv",
    "data.target=kind",
    "data.features=[size,weight,site]",
    "data.one_hot=[site]",
    "data.split=part",
)
PRICES = (
    "data=csv",
    "data.target=price",
    "data.features=[size,weight,site]",
    "data.one_hot=[site]",
    "data.split=part",
    "data.task=regression",
)
SHORT = ("network.hidden=[6]", "training.epochs=4", "optimiser.eta=0.3")


def refusal(call: Callable[[], Any], kind: type[BpframeError] = DataError) -> str:
    """The line of an error that stands alone."""
    with pytest.raises(kind) as raised:
        call()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    return str(raised.value)
