"""Recorders with one defect each; see faulty_plugins.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array
from sound_plugins import Slopes

from bpframe import Observation


class NamedByPlace(Slopes):
    """Called by places that no layer has."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        return {name.replace("layer_", "at "): a for name, a in super().record(seen).items()}


class LayersFromNought(Slopes):
    """Numbered from 0, as Python counts."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        return {f"layer_{number}": a for number, a in enumerate(super().record(seen).values())}


class AgainstTheLargest(Slopes):
    """Measured against the largest of all examples."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        return {name: a / jnp.max(jnp.abs(a)) for name, a in super().record(seen).items()}


class MeanOfExamples(Slopes):
    """Without the examples that it says it has."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        return {name: jnp.mean(a, axis=0) for name, a in super().record(seen).items()}


class AxesOfAll(Slopes):
    """Names the axis of the examples once more."""

    def axes(self, name: str, ndim: int) -> tuple[str, ...]:
        return "example", "neuron"


class SecondWhenChosen(Slopes):
    """Numbers the layers that are chosen from the front."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        whole = super().record(seen)
        if not self.layers:
            return whole
        return {f"layer_{n}": whole["layer_2"] for n in self.layers}


class Halved(Slopes):
    """Always float32, to save room."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        return {name: a.astype(jnp.float32) for name, a in super().record(seen).items()}


COMPONENTS: dict[type[Any], str] = {
    NamedByPlace: "arrays are named by layers",
    LayersFromNought: "arrays are named by layers",
    AgainstTheLargest: "examples are alone",
    MeanOfExamples: "examples are alone",
    AxesOfAll: "axes are named",
    SecondWhenChosen: "layers can be chosen",
    Halved: "dtype is that of training",
}
