"""Optimisers: the book's written out, others from optax, and some that change another one.

`eta` is the learning rate in all of them, as in the book; g is the mean gradient.
"""

from __future__ import annotations

from bpframe import Optimiser, hookimpl
from bpframe_plugins.optimisers.around import (
    ClipByGlobalNorm,
    LayerRates,
    MaxNorm,
    ParameterAverage,
)
from bpframe_plugins.optimisers.book import Momentum, Sgd
from bpframe_plugins.optimisers.optax_based import (
    Adagrad,
    Adam,
    AdamW,
    Lion,
    Nesterov,
    RmsProp,
)
from bpframe_plugins.optimisers.second_order import DiagonalGgn, Kfac

BPFRAME_API_VERSION = 2


@hookimpl
def bpframe_optimisers() -> dict[str, type[Optimiser]]:
    """The optimisers by name."""
    return {
        "sgd": Sgd,
        "momentum": Momentum,
        "nesterov": Nesterov,
        "adam": Adam,
        "adamw": AdamW,
        "rmsprop": RmsProp,
        "adagrad": Adagrad,
        "lion": Lion,
        "kfac": Kfac,
        "diagonal_ggn": DiagonalGgn,
        "clip_by_global_norm": ClipByGlobalNorm,
        "layer_rates": LayerRates,
        "max_norm": MaxNorm,
        "parameter_average": ParameterAverage,
    }
