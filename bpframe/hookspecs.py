"""The hooks of bpframe. A plugin is a module, or any object, with some of these functions.

Every hook returns what the plugin offers, by the name under which users choose it in a config.
"""

from __future__ import annotations

from collections.abc import Mapping

import pluggy

from bpframe.contracts import (
    Activation,
    Cost,
    Dataset,
    Initialiser,
    LearningRule,
    Optimiser,
    OutputPair,
    Regulariser,
)

hookspec = pluggy.HookspecMarker("bpframe")
hookimpl = pluggy.HookimplMarker("bpframe")


@hookspec
def bpframe_activations() -> Mapping[str, type[Activation]]:  # pyright: ignore[reportReturnType]
    """Activations, chosen as `network.activation=NAME` or inside `network.layers`."""


@hookspec
def bpframe_costs() -> Mapping[str, type[Cost]]:  # pyright: ignore[reportReturnType]
    """Costs, chosen as `cost=NAME`."""


@hookspec
def bpframe_output_pairs() -> Mapping[  # pyright: ignore[reportReturnType]
    tuple[str, str], type[OutputPair]
]:
    """Output pairs by (cost name, activation name); used whenever the two meet at the output."""


@hookspec
def bpframe_optimisers() -> Mapping[str, type[Optimiser]]:  # pyright: ignore[reportReturnType]
    """Optimisers, chosen as `optimiser=NAME`."""


@hookspec
def bpframe_initialisers() -> Mapping[str, type[Initialiser]]:  # pyright: ignore[reportReturnType]
    """Initialisers, chosen as `initialiser=NAME`."""


@hookspec
def bpframe_regularisers() -> Mapping[str, type[Regulariser]]:  # pyright: ignore[reportReturnType]
    """Regularisers, chosen as `regulariser=NAME`."""


@hookspec
def bpframe_datasets() -> Mapping[str, type[Dataset]]:  # pyright: ignore[reportReturnType]
    """Data sets, chosen as `data=NAME`."""


@hookspec
def bpframe_learning_rules() -> Mapping[  # pyright: ignore[reportReturnType]
    str, type[LearningRule]
]:
    """Learning rules, chosen as `learning_rule=NAME`."""
