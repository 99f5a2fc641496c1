"""The pytree rule: floats and components are leaves and subtrees, the rest is structure."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bpframe import Component, ConfigError, ElementwiseActivation, hyperparameter
from bpframe.component import check_fields
from bpframe.plugin_host.registry import PAIRS


class Bump(ElementwiseActivation):
    """exp(-(z/width)^2), with a static power for good measure."""

    width: float = hyperparameter(default=1.0, gt=0, lt=10)
    power: int = hyperparameter(default=2, ge=1)

    def __call__(self, z):
        return jnp.exp(-(jnp.abs(z / self.width) ** self.power))

    def prime(self, z):
        return -self.power * (z / self.width) ** (self.power - 1) / self.width * self(z)


class Pair(Component):
    left: Bump
    both: tuple[Bump, ...]
    name: str = hyperparameter(default="a", choices=("a", "b"))
    scale: float | None = None
    seed: int = hyperparameter(default=0, leaf=True)


def test_floats_are_leaves_and_the_rest_is_structure():
    leaves, structure = jax.tree.flatten(Pair(Bump(2.0), (Bump(3.0), Bump(4.0)), "b", None, 7))
    assert leaves == [2.0, 3.0, 4.0, 7]
    assert jax.tree.unflatten(structure, leaves) == Pair(
        Bump(2.0), (Bump(3.0), Bump(4.0)), "b", None, 7
    )
    assert jax.tree.structure(Bump(power=3)) != jax.tree.structure(Bump(power=2))
    assert jax.tree.structure(Bump(5.0)) == jax.tree.structure(Bump(6.0))


class Twin(Component):
    width: float = 1.0


class OtherTwin(Component):
    width: float = 1.0


def test_classes_with_equal_fields_are_different_structures():
    assert jax.tree.structure(Twin()) != jax.tree.structure(OtherTwin())
    assert hash(jax.tree.structure(Twin())) != hash(jax.tree.structure(OtherTwin()))


def _made(kind: str, component: type[Any]) -> Any:
    is_whole = all(f.default is not dataclasses.MISSING for f in dataclasses.fields(component))
    if kind != "layer":
        return component() if is_whole else component(**component.examples[0])
    return component(activation=Bump(), **(component.examples or ({},))[0])


def test_no_two_registered_components_share_a_structure(registry):
    structures = []
    for kind, offers in registry.offers.items():
        if kind != PAIRS:
            components = [offer.component for offer in offers.values()]
            structures += [jax.tree.structure(_made(kind, component)) for component in components]
    for first, second in itertools.combinations(structures, 2):
        assert first != second


def test_none_is_another_structure_than_a_float():
    assert jax.tree.structure(Pair(Bump(), ())) != jax.tree.structure(Pair(Bump(), (), scale=1.0))


def test_an_int_for_a_float_becomes_a_float():
    assert type(Bump(2).width) is float
    assert jax.tree.structure(Bump(2)) == jax.tree.structure(Bump(2.0))


def test_components_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Bump().width = 3.0  # pyright: ignore[reportAttributeAccessIssue]


def test_a_new_value_does_not_retrace_and_a_new_structure_does():
    traces = []

    @jax.jit
    def apply(f, z):
        traces.append(f.power)
        return f(z)

    z = jnp.linspace(-1, 1, 5)
    for width in (1.0, 2.0, 3):
        np.testing.assert_allclose(apply(Bump(width), z), Bump(width)(z), rtol=1e-14)
    apply(Bump(power=4), z)
    assert traces == [2, 4]


def test_a_lane_axis_works():
    lanes = jax.tree.map(lambda *leaves: jnp.stack(list(map(jnp.asarray, leaves))), Bump(), Bump(2))
    z = jnp.linspace(-1, 1, 5)
    both = jax.vmap(lambda f: f(z))(lanes)
    np.testing.assert_allclose(both, jnp.stack([Bump()(z), Bump(2)(z)]), rtol=1e-14)


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (Bump(0.0), "f.width: 0.0 is out of range; allowed: > 0 and < 10"),
        (Bump(10.0), "f.width: 10.0 is out of range"),
        (Bump(float("nan")), "f.width: nan is out of range"),
        (Bump(float("inf")), "f.width: inf is out of range"),
        (Bump(power=0), "f.power: 0 is out of range; allowed: >= 1"),
        (Pair(Bump(), (), "c"), "f.name: unknown 'c'; known: a, b"),
        (Pair(Bump(-1.0), ()), "f.left.width: -1.0 is out of range"),
        (Pair(Bump(), (), scale=float("inf")), "f.scale: inf is out of range; allowed: finite"),
    ],
)
def test_values_out_of_range_are_named(component, message):
    with pytest.raises(ConfigError, match="^" + message.replace("(", r"\(")):
        check_fields(component, "f")


def test_values_in_range_pass():
    check_fields(Pair(Bump(0.5, 3), (Bump(),), "b", 2.0, 5), "")
