"""Checks of recorders: arrays called by their layers, of which each example is alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from bpframe.metrics import Observation
from bpframe.plugin_host.registry import Registry
from bpframe.recorders import LAYER, Recorder
from bpframe.testing import components
from bpframe.testing.expect import expect, expect_finite, expect_trees_close
from bpframe.testing.metrics import SIZES, observation, some_rows
from bpframe.testing.outcome import Check
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced, shape_of

M, GIVEN = 4, "four examples, a network 5-6-3"


def probe(registry: Registry) -> Callable[[Any], Any]:
    """The arrays that a recorder keeps of four examples."""
    return lambda recorder: recorder.record(observation(registry, M, 1))


def _recorded(recorder: Recorder, seen: Observation) -> Mapping[str, Any]:
    return recorder.record(seen)


def _each(subject: Subject) -> Iterator[tuple[Recorder, Mapping[str, Any]]]:
    for recorder in subject.instances:
        yield recorder, recorder.record(observation(subject.registry, M, 1))


def arrays_are_named_by_layers(subject: Subject) -> None:
    """`record` gives finite arrays called layer_2 or layer_2.w, of layers that there are."""
    for _, arrays in _each(subject):
        expect(
            isinstance(arrays, Mapping) and arrays,
            "record gives no arrays by name",
            found=arrays,
            expected="a mapping such as {'layer_2': ...}",
        )
        for name, array in arrays.items():
            found = LAYER.fullmatch(name) if isinstance(name, str) else None
            expect(
                found and 1 <= int(found[1]) <= len(SIZES),
                "an array is not called by its layer",
                given=GIVEN,
                found=name,
                expected="layer_2, or layer_2.w of several arrays",
            )
            expect(
                isinstance(array, jax.Array | np.ndarray),
                f"{name} is no array",
                found=type(array).__name__,
                expected="a jax.Array",
            )
            expect_finite(array, f"{name} is not finite", GIVEN)


def examples_are_alone(subject: Subject) -> None:
    """What is recorded of an example does not depend on the others; they are the first axis."""
    for recorder, whole in _each(subject):
        for name, array in whole.items():
            expect(
                array.shape[:1] == (M,),
                f"{name} has no axis for the examples in front; give it one, or set "
                "of_examples = False",
                given=GIVEN,
                found=array.shape,
            )
        for rows in (slice(0, 2), slice(1, 3), slice(2, 4)):  # the largest may be among some
            seen = some_rows(observation(subject.registry, M, 1), rows)
            expect_trees_close(
                dict(recorder.record(seen)),
                {name: array[rows] for name, array in whole.items()},
                "what is recorded of an example depends on the other examples",
                given="two of four examples, and all four",
            )


def axes_are_named(subject: Subject) -> None:
    """`axes` has a name for each axis of an array, but for that of the examples."""
    for recorder, arrays in _each(subject):
        for name, array in arrays.items():
            ndim = array.ndim - recorder.of_examples
            axes = recorder.axes(name, ndim)
            names = ("step", "example", *axes)
            expect(
                len(axes) == ndim and len(set(names)) == len(names),
                f"axes of {name} are not as many names as it has axes, each another one",
                given=f"{name!r}, {ndim}",
                found=axes,
            )


def layers_can_be_chosen(subject: Subject) -> None:
    """With `layers` of one layer there is that layer, with the arrays that it has among all."""
    seen = observation(subject.registry, M, 1)
    for recorder in subject.instances:
        every = dataclasses.replace(recorder, layers=()).chosen(seen)
        for layer in {int(name.removeprefix("layer_").partition(".")[0]) for name in every}:
            found = dataclasses.replace(recorder, layers=(layer,)).chosen(seen)
            own = (f"layer_{layer}", f"layer_{layer}.")
            expected = {n: a for n, a in every.items() if n == own[0] or n.startswith(own[1])}
            expect_trees_close(
                found, expected, "a layer is another one when it is chosen", given=f"[{layer}]"
            )


def dtype_is_that_of_training(subject: Subject) -> None:
    """Floats are float32 where all is, and float64 where all is."""
    for recorder in subject.instances:
        for dtype in ("float32", "float64"):
            seen = observation(subject.registry, M, 1, dtype)
            for name, info in run_traced(shape_of, lambda s, r=recorder: r.record(s), seen).items():
                expect(
                    info.dtype == dtype or not np.issubdtype(info.dtype, np.floating),
                    f"{name} has another dtype than what is seen",
                    given=f"{GIVEN}, {dtype}",
                    found=str(info.dtype),
                    expected=dtype,
                )


CHECKS = (
    *components.PURE,
    Check("arrays are named by layers", arrays_are_named_by_layers, "record"),
    Check(
        "examples are alone", examples_are_alone, "record", applies=lambda s: s.default.of_examples
    ),
    Check("axes are named", axes_are_named, "axes/record"),
    Check("layers can be chosen", layers_can_be_chosen, "record"),
    Check("dtype is that of training", dtype_is_that_of_training, "record"),
    *components.COMPILED,
)
