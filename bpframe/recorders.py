"""The contract of recorders: arrays kept over time, of a fixed probe, in the compiled program."""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from jax import Array

from bpframe.component import Component, hyperparameter
from bpframe.metrics import SPLITS, Observation

EPOCHS, STEPS = UNITS = ("epochs", "steps")
PROBE = 32
"""The examples of a probe, unless more or fewer are asked for."""
LAYER = re.compile(r"layer_(\d+)(\..+)?")
"""What the arrays of a recorder are called: by their layer, the input being layer 1."""


class Recorder(Component, ABC):
    """What is kept of training over time: arrays of some layers, for a fixed probe.

    The probe are the `first` examples of the split `over`; unless said 32, or all where there are
    fewer. They are seen without dropout, with the parameters that are evaluated.

    Something is kept before training and then after every `every` epochs, or steps, as `by` says;
    with `per_decade` instead after every * 10^(j / per_decade) of them, rounded, for j = 0, 1, ...;
    and nothing after `until`. `layers` are numbered as in the book; none stands for all that the
    recorder has.

    """

    over: str = hyperparameter(default="validation", choices=SPLITS)
    first: int | None = hyperparameter(default=None, ge=1)
    by: str = hyperparameter(default=EPOCHS, choices=UNITS)
    every: int = hyperparameter(default=1, ge=1)
    per_decade: int | None = hyperparameter(default=None, ge=1)
    until: int | None = hyperparameter(default=None, ge=0)
    layers: tuple[int, ...] = ()

    of_examples: ClassVar[bool] = True
    """Whether arrays have an axis for the examples of the probe, in front of all others."""

    @abstractmethod
    def record(self, seen: Observation) -> Mapping[str, Array]:
        """What is kept at one time, by `layer_3` or, of several arrays of a layer, `layer_3.w`.

        The names, shapes and dtypes are always the same. Layers that are not among `layers` are
        left out by the core.
        """

    def axes(self, name: str, ndim: int) -> tuple[str, ...]:
        """The names of the axes of an array, without the example's: those of a layer, as here.

        A layer has neurons, or rows, columns and channels where it is an image.
        """
        del name
        known = {0: (), 1: ("neuron",), 3: ("row", "column", "channel")}
        return known.get(ndim) or tuple(f"axis_{number}" for number in range(ndim))

    def times(self, last: int) -> np.ndarray:
        """When something is kept, in `by`, from 0 to `last`: whole numbers in order."""
        last = last if self.until is None else min(last, self.until)
        if self.per_decade is None:
            return np.arange(0, last + 1, self.every)
        decades = max(0.0, math.log10(max(1, last) / self.every)) + 1
        powers = np.arange(math.ceil(decades * self.per_decade) + 1) / self.per_decade
        times = np.unique(np.rint(self.every * 10.0**powers)).astype(int)
        return np.concatenate([[0], times[times <= last]])

    def steps(self, epochs: int, steps: int) -> np.ndarray:
        """After which steps something is kept in so many epochs of so many steps each."""
        return self.times(epochs) * steps if self.by == EPOCHS else self.times(epochs * steps)

    def probe_size(self, n: int) -> int:
        """How many of the n examples of its split the probe has."""
        return min(n, PROBE) if self.first is None else self.first

    def chosen(self, seen: Observation) -> dict[str, Array]:
        """What `record` gives of the layers that are wanted."""
        return {name: array for name, array in self.record(seen).items() if self._wants(name)}

    def _wants(self, name: str) -> bool:
        found = LAYER.fullmatch(name)
        return not self.layers or (found is not None and int(found[1]) in self.layers)


class NamedRecorder(Component):
    """A recorder with the name that its arrays get."""

    name: str
    recorder: Recorder


@dataclasses.dataclass(frozen=True)
class Probe:
    """What recorders that are asked at the same times, of the same examples, share."""

    over: str
    first: int | None
    by: str
    every: int
    per_decade: int | None
    until: int | None

    @classmethod
    def of(cls, recorder: Recorder) -> Probe:
        """That of a recorder."""
        return cls(*(getattr(recorder, field.name) for field in dataclasses.fields(cls)))
