"""Checks for every component: the pytree rule, jit and vmap, no state, no side effects."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from bpframe.component import Component
from bpframe.contracts import Formula
from bpframe.testing.expect import expect, expect_trees_close, expect_trees_equal
from bpframe.testing.outcome import Check, CheckFailedError
from bpframe.testing.purity import watched
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced


def is_documented(subject: Subject) -> None:
    """The class has a docstring of its own."""
    doc = vars(subject.component).get("__doc__") or ""
    generated = f"{subject.component.__name__}("
    expect(
        doc.strip() and not doc.startswith(generated),
        "has no docstring; say what it computes, and name its source",
    )
    for name in ("formula", "prime_formula", "delta_formula"):
        of_fields = isinstance(getattr(subject.component, name, None), property)
        for holder in subject.instances if of_fields else (subject.component,):
            formula = getattr(holder, name, None)
            expect(
                formula is None or isinstance(formula, Formula),
                f"{name} is no Formula, which `bpframe explain` needs",
                found=formula,
                expected="Formula(text, latex)",
                method=name,
            )


def can_be_made(subject: Subject) -> None:
    """It has instances to check: with its default values, with others, and with its examples."""
    expect(subject.instances, "has no instance to check")


def obeys_the_pytree_rule(subject: Subject) -> None:
    """Float fields are leaves, the rest is hashable structure, and both rebuild the instance."""
    types = subject.component.field_types()
    for instance in subject.instances:
        leaves, structure = jax.tree.flatten(instance)
        try:
            hash(instance)
        except TypeError as error:
            raise CheckFailedError(
                f"a field that is not a leaf cannot be hashed ({error}); make it a tuple, a number "
                "or a text",
                given=instance,
            ) from error
        for leaf in leaves:
            expect(
                isinstance(leaf, int | float) and not isinstance(leaf, bool),
                "a leaf is no number",
                given=instance,
                found=leaf,
                expected="a float",
            )
        held = {id(leaf) for leaf in leaves}
        for name, hint in types.items():
            value = getattr(instance, name)
            expect(
                not isinstance(value, float) or id(value) in held,
                f"field {name} holds a float and is no leaf, so every new value compiles anew",
                given=instance,
                found=f"{name}: {getattr(hint, '__name__', hint)}",
                expected=f"{name}: float",
            )
        numbers = [n for n, hint in types.items() if hint is float]
        for name in numbers:
            value = getattr(instance, name)
            expect(
                isinstance(value, float),
                f"field {name} is annotated float and holds something else",
                found=value,
                expected="a float",
            )
        if not any(isinstance(getattr(instance, name), Component) for name in types):
            static = jax.tree.leaves(dataclasses.replace(instance, **dict.fromkeys(numbers, 0.123)))
            expect(
                static.count(0.123) == len(numbers),
                "a float field is no leaf",
                given=instance,
                found=leaves,
            )
        expect(
            jax.tree.unflatten(structure, leaves) == instance,
            "taking it apart and putting it together gives another instance",
            given=instance,
            found=jax.tree.unflatten(structure, leaves),
            expected=instance,
        )


def eta_is_a_float(subject: Subject) -> None:
    """The learning rate is a leaf, so that schedules and sweeps can change it."""
    hint = subject.component.field_types()["eta"]
    expect(
        hint is float,
        "eta is not annotated float, so every new value compiles anew and no schedule can scale it",
        found=getattr(hint, "__name__", str(hint)),
        expected="eta: float",
    )


def does_not_retrace(subject: Subject) -> None:
    """Other values of the leaves run the same compiled program, and matter not to its shape."""
    traces = 0

    def counted(instance: Any) -> Any:
        nonlocal traces
        traces += 1
        return subject.probe(instance)

    program = jax.jit(counted)
    for instance in subject.same_structure:
        run_traced(program, instance)
        expect(
            traces == 1,
            "a new value of a float field compiles anew",
            given=instance,
            found=f"{traces} compilations",
            expected="1",
        )


def jit_equals_eager(subject: Subject) -> None:
    """Compiled and not compiled, it gives the same."""
    for instance in subject.of_each_structure():
        expect_trees_close(
            run_traced(subject.compiled, instance),
            subject.probe(instance),
            "the compiled program gives another value",
            given=instance,
            rtol=1e-9,
            atol=1e-11,
        )


def has_a_lane_axis(subject: Subject) -> None:
    """Instances that are stacked and vmapped give what they give one by one."""
    instances = subject.same_structure
    lanes = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *instances)
    together = run_traced(jax.jit(jax.vmap(subject.probe)), lanes)
    for index, instance in enumerate(instances):
        expect_trees_close(
            jax.tree.map(lambda part, index=index: part[index], together),
            run_traced(subject.compiled, instance),
            "a lane of a sweep gives another value than the instance alone",
            given=instance,
            rtol=1e-9,
            atol=1e-11,
        )


def has_no_hidden_state(subject: Subject) -> None:
    """The same input gives the same bits, whatever was computed in between."""
    first = jax.device_get(subject.probe(subject.default))
    for instance in subject.of_each_structure(most=1):
        subject.probe(instance)
    for again in (subject.default, subject.made(**_values(subject))):
        expect_trees_equal(
            jax.device_get(subject.probe(again)),
            first,
            "the same input gives another value the second time",
            given=again,
        )


def has_no_side_effects(subject: Subject) -> None:
    """It prints nothing, writes nothing and changes nothing."""
    subject.probe(subject.default)  # what JAX does at a first call is not the component's
    with watched(subject.component, subject.default):
        subject.probe(subject.default)


def _values(subject: Subject) -> dict[str, Any]:
    parts = ("cost_function", "activation") if subject.kind == "output_pair" else ()
    fields = dataclasses.fields(subject.default)
    return {f.name: getattr(subject.default, f.name) for f in fields if f.name not in parts}


def _has_several(subject: Subject) -> bool:
    return len(subject.same_structure) > 1


# First among the checks, before others have brought a hidden state to where it stays.
PURE = (
    Check("has no hidden state", has_no_hidden_state),
    Check("has no side effects", has_no_side_effects, is_alone=True),
)
MADE = (
    Check("is documented", is_documented),
    Check("can be made", can_be_made),
)
STRUCTURE = (
    Check("obeys the pytree rule", obeys_the_pytree_rule),
    Check(
        "eta is a float field",
        eta_is_a_float,
        applies=lambda s: "eta" in s.component.field_types(),
    ),
)
COMPILED = (
    Check("jit equals eager", jit_equals_eager),
    Check("a new value does not retrace", does_not_retrace, applies=_has_several),
    Check("a lane axis works", has_a_lane_axis, applies=_has_several),
)
