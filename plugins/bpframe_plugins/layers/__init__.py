"""Kinds of layers: what z^l is of a^(l-1). The dense layer stands beside the equations."""

from __future__ import annotations

from bpframe import Dense, Layer, hookimpl
from bpframe_plugins.layers.blocks import Repeat, Residual
from bpframe_plugins.layers.convolution import Convolution
from bpframe_plugins.layers.dropout import Dropout
from bpframe_plugins.layers.normalisation import LayerNorm
from bpframe_plugins.layers.pooling import AveragePooling, MaxPooling

BPFRAME_API_VERSION = 2


@hookimpl
def bpframe_layers() -> dict[str, type[Layer]]:
    """The kinds of layers by name."""
    return {
        "dense": Dense,
        "convolution": Convolution,
        "max_pooling": MaxPooling,
        "average_pooling": AveragePooling,
        "dropout": Dropout,
        "layer_norm": LayerNorm,
        "residual": Residual,
        "repeat": Repeat,
    }
