"""Checks for exact initial conditions: shapes, finite numbers, the same every time."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np

from bpframe.contracts import LayerParams, Params
from bpframe.errors import BpframeError
from bpframe.testing.expect import expect
from bpframe.testing.outcome import Check, CheckSkippedError
from bpframe.testing.parameters import some_params
from bpframe.testing.purity import watched
from bpframe.testing.subjects import Subject

SIZES = ((6, 4, 3), (3, 5, 5, 2), (2, 1))
SEED = 7


def probe(condition: Any) -> Any:
    """The parameters of a small network; a skip where the class has none for it on this machine."""
    return load(condition, SIZES[0])


def load(condition: Any, sizes: tuple[int, ...], seed: int = SEED) -> tuple[LayerParams, ...]:
    """What it loads, or a skip with the reason that it gives in an error of bpframe."""
    try:
        return condition.load(some_params(sizes=sizes), seed)
    except BpframeError as error:
        raise CheckSkippedError(f"has no parameters for {sizes} here: {error}") from error


def gives_the_shapes_of_the_network(subject: Subject) -> None:
    """A Params for each of the layers 2..L, w (n_l, n_(l-1)), b (n_l,), of finite float64."""
    for condition in subject.instances:
        for sizes in SIZES:
            found = load(condition, sizes)
            given = f"sizes {sizes}, {condition}"
            expected = [((n, n_prev), (n,)) for n_prev, n in itertools.pairwise(sizes)]
            expect(
                all(isinstance(layer, Params) for layer in found),
                "returns something else than Params",
                given=given,
                found=[type(layer).__name__ for layer in found],
                expected="Params(w, b) for each layer",
            )
            shapes = [(np.shape(w), np.shape(b)) for w, b in found]
            expect(
                shapes == expected,
                "the parameters have other shapes than the network",
                given=given,
                found=shapes,
                expected=expected,
            )
            for part in (part for layer in found for part in layer):
                array = np.asarray(part)
                expect(
                    array.dtype == np.float64,
                    "parameters are not float64",
                    given=given,
                    found=str(array.dtype),
                )
                expect(np.isfinite(array).all(), "a parameter is not finite", given=given)


def is_deterministic(subject: Subject) -> None:
    """The same seed gives the same parameters, whatever the global generators are."""
    first = load(subject.default, SIZES[0])
    states = random.getstate(), np.random.get_state()
    try:
        random.seed(12345)
        np.random.seed(12345)
        again = load(subject.default, SIZES[0])
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
    same = all(
        np.array_equal(one, other)
        for layers in zip(first, again, strict=True)
        for one, other in zip(*layers, strict=True)
    )
    expect(same, "the same seed gives other parameters", given=f"seed {SEED}")


def has_no_side_effects(subject: Subject) -> None:
    """Loading prints nothing, writes nothing and changes nothing."""
    probe(subject.default)
    with watched(subject.component, subject.default):
        probe(subject.default)


CHECKS = tuple(
    check._replace(method="load", is_alone=True)
    for check in (
        Check("shapes of the network", gives_the_shapes_of_the_network),
        Check("deterministic", is_deterministic),
        Check("has no side effects", has_no_side_effects),
    )
)
