"""What can be kept of training over time: the terms of the four equations, and the parameters.

Source: Nielsen, Neural Networks and Deep Learning, chapter 2, whose names they have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jax import Array

from bpframe import Observation, Recorder, hookimpl, named_params

BPFRAME_API_VERSION = 2


def _by_layer(arrays: Iterable[Array], start: int = 2) -> dict[str, Array]:
    return {f"layer_{number}": array for number, array in enumerate(arrays, start)}


class Deltas(Recorder):
    """delta^(x,l) of the layers 2..L, as the learning rule has it, for each example."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        """(m, n) each."""
        return _by_layer(seen.deltas)


class Activations(Recorder):
    """a^(x,l) of the layers 2..L for each example; of the input, layer 1, where it is named."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        """(m, n) each."""
        start = 1 if 1 in self.layers else 2
        return _by_layer(seen.trace.a[start - 1 :], start)


class WeightedInputs(Recorder):
    """z^(x,l) of the layers 2..L for each example."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        """(m, n) each."""
        return _by_layer(seen.trace.z)


class _OfParams(Recorder):
    """Arrays shaped like the parameters."""

    of_examples = False

    def axes(self, name: str, ndim: int) -> tuple[str, ...]:
        """Of a dense layer neuron and input, as w has them in the book."""
        if name.endswith(".w") and ndim == 2:
            return "neuron", "input"
        return super().axes(name, ndim) if ndim == 1 else tuple(f"axis_{i}" for i in range(ndim))


class Weights(_OfParams):
    """w^l, b^l and whatever else the layers 2..L have, as params.safetensors names them."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        """Shaped like the parameters."""
        return named_params(seen.params)


class Gradients(_OfParams):
    """The mean over the probe of dC_x/dw^l and dC_x/db^l, as the learning rule has it."""

    def record(self, seen: Observation) -> Mapping[str, Array]:
        """Shaped like the parameters."""
        return named_params(seen.gradient)


@hookimpl
def bpframe_recorders() -> dict[str, type[Recorder]]:
    """By the name that follows `record=`."""
    return {
        "deltas": Deltas,
        "activations": Activations,
        "weighted_inputs": WeightedInputs,
        "weights": Weights,
        "gradients": Gradients,
    }
