"""What backpropagation gives in a linear network, beside the one affine map that the network is."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from omegaconf import OmegaConf
from reproduction.runs import Runs

import bpframe
from bpframe.configuration import assembly
from bpframe.plugin_host import host

Arrays = tuple[tuple[np.ndarray, np.ndarray], ...]


class Pass(NamedTuple):
    """Forward and back through a network with the last parameters of a run, in float64.

    `x` is (m, n_in), `outputs` (m, n_out), `deltas` those of the layers 2..L, each (m, n), and
    `nabla` the mean gradient, shaped like `params`.
    """

    params: Arrays
    x: np.ndarray
    outputs: np.ndarray
    deltas: list[np.ndarray]
    nabla: Arrays


def passes(runs: Runs) -> Iterator[Pass]:
    """What bpframe.gradient gives for the training set, run by run; all runs have one network."""
    jax.config.update("jax_platforms", "cpu")  # a GPU is left to the sweeps
    settings = OmegaConf.create(dict(runs[0].config))
    experiment = assembly.assemble(settings, host.load_registry())
    train = experiment.data.load().train
    for run in runs:
        with jax.enable_x64(True):
            params = tuple(bpframe.Params(*map(jnp.asarray, layer)) for layer in run.params())
            x, y = jnp.asarray(train.x), jnp.asarray(train.y)
            found = bpframe.gradient(experiment.network, experiment.cost, params, x, y)
        yield Pass(
            params=run.params(),
            x=train.x.reshape(len(train), -1),
            outputs=np.asarray(found.trace.a[-1]),
            deltas=list(map(np.asarray, found.deltas)),
            nabla=tuple((np.asarray(w), np.asarray(b)) for w, b in found.mean),
        )


def affine(params: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """W = w^L ... w^2 and c with a^L = W x + c."""
    n_in = params[0][0].shape[1]
    w, c = np.eye(n_in), np.zeros(n_in)
    for w_next, b_next in params:
        w, c = w_next @ w, w_next @ c + b_next
    return w, c


def output_error(found: Pass) -> float:
    """The network's outputs against W x + c."""
    w, c = affine(found.params)
    return _error(found.outputs, found.x @ w.T + c)


def delta_error(found: Pass) -> float:
    """delta^l of the hidden layers against (w^L ... w^(l+1))^T delta^L."""
    weights = [w for w, _ in found.params]
    return max(
        _error(delta, found.deltas[-1] @ functools.reduce(lambda w, w_next: w_next @ w, after))
        for delta, after in zip(
            found.deltas[:-1], (weights[layer:] for layer in range(1, len(weights))), strict=True
        )
    )


def bias_error(found: Pass) -> float:
    """<w', dC/dw'> - <w, dC/dw> - <b, dC/db>, of a layer (w, b) and the next one (w', b').

    Relative to |w'| |dC/dw'|, the largest that the first of them can be.
    """
    errors = []
    for ((w, b), (dw, db)), ((w_next, _), (dw_next, _)) in itertools.pairwise(
        zip(found.params, found.nabla, strict=True)
    ):
        difference = (w_next * dw_next).sum() - (w * dw).sum() - (b * db).sum()
        scale = np.linalg.norm(w_next) * np.linalg.norm(dw_next)
        errors.append(abs(float(difference / scale)))
    return max(errors)


def _error(value: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest value that is expected."""
    return float(np.abs(value - expected).max() / np.abs(expected).max())
