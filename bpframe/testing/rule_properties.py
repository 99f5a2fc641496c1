"""Properties of learning rules: where no error may be, what is drawn, learned and told."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.contracts import Activation
from bpframe.equations import Dense
from bpframe.learning import replaces
from bpframe.network import Network
from bpframe.testing import feedback_properties, rounding
from bpframe.testing.expect import expect, expect_finite
from bpframe.testing.feedback_properties import has
from bpframe.testing.outcome import Check, CheckFailedError
from bpframe.testing.parameters import (
    Curved,
    dense_network,
    some_params,
    some_step,
)
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced
from bpframe.testing.tried_rules import (
    SIZES,
    Keys,
    accepted,
    draws,
    equal,
    numbers,
    refused,
    shown_sizes,
    tried,
)
from bpframe.training.precision import precision

SMALL = ((5, 3), (5, 1, 3), (5, 4, 3), SIZES)
FAINT = (0.0, 1 - 2.0**-23)
"""A layer so flat that its errors are smaller than the roundings of float32."""


def works_or_refuses(subject: Subject) -> None:
    """A network that `check` lets pass can be trained: without hidden layers, too."""
    for rule, sizes in itertools.product(subject.instances, SMALL):
        params = some_params(6, sizes=sizes)
        network = dense_network(params)
        if refused(rule, network):
            continue

        def trained(params: Any, rule: Any = rule, network: Network = network) -> Any:
            state = rule.init(jax.random.key(3), params, network.shapes)
            return rule.learn(state, some_step(params, rule, state, m=1), params, params)

        try:
            run_traced(jax.eval_shape, trained, params)
        except CheckFailedError:
            raise
        except Exception as error:
            text = (str(error).splitlines() or [""])[0]
            raise CheckFailedError(
                f"check lets a network pass that cannot be trained: {type(error).__name__}: {text}",
                given=f"a network {shown_sizes(network)}, {rule}",
                expected="a rule that works, or a ConfigError from check",
                method="check",
            ) from error


def has_no_error_of_a_constant_layer(subject: Subject) -> None:
    """Where a^l does not depend on z^l, delta^l is 0."""
    for rule, at in itertools.product(accepted(subject), (0, 1)):
        flat = (1.0, 0.0) if at == 0 else (0.0, 1.0)
        both = (tried(rule, flat=flat), tried(rule))
        delta, usual = (np.asarray(each.step.found.deltas[at]) for each in both)
        worst = np.unravel_index(np.argmax(np.abs(delta)), delta.shape)
        expect(
            np.abs(delta[worst]) <= 1e-6 * np.abs(usual).max(),  # what settles is rounded
            f"delta^{at + 2} is not 0 where a^{at + 2} is constant: sigma' is missing",
            given=f"a network 5-6-4-3 whose layer {at + 2} has a = 0.3, {rule}",
            found=delta[worst],
            expected="0: multiply by sigma'(z), as layer.activation.pullback(z, v) does",
            method="assign",
        )


class Coupled(Activation):
    """Softmax: the neurons of a layer are coupled."""

    min_neurons = 2

    def __call__(self, z: Array) -> Array:
        """e^(z_j) / sum_k e^(z_k)."""
        return jax.nn.softmax(z)

    def pullback(self, z: Array, v: Array) -> Array:
        """a * (v - <a, v>)."""
        a = self(z)
        return a * (v - jnp.sum(a * v))


def takes_coupled_neurons(subject: Subject) -> None:
    """Behind a layer of coupled neurons errors travel on, through all of the Jacobian."""
    params = some_params(6, sizes=SIZES)
    hidden = (Dense(n, activation=Coupled()) for n in SIZES[1:-1])
    network = Network(SIZES[:1], (*hidden, Dense(SIZES[-1], activation=Curved())))

    @jax.jit
    def deltas(rule: Any, params: Any) -> Any:
        state = rule.init(jax.random.key(3), params, network.shapes)
        return some_step(params, rule, state, network=network).found.deltas

    for rule in subject.instances:
        if refused(rule, network):
            continue
        for at, delta in enumerate(run_traced(deltas, rule, params)[:-1]):
            usual = np.abs(np.asarray(tried(rule).step.found.deltas[at])).max()
            found = np.abs(np.asarray(delta)).max()
            expect(
                not usual or found > 1e-9 * usual,
                f"delta^{at + 2} is 0 where the neurons of a layer are coupled",
                given=f"a network 5-6-4-3 with softmax in its hidden layers, {rule}",
                found=found,
                expected="J^T v: layer.activation.pullback(z, v)",
                method="assign/carry",
            )


def draws_apart(subject: Subject) -> None:
    """Layers of one shape do not start from the same random numbers."""
    params = some_params(6, sizes=(5, 4, 4, 4, 3))
    for rule in subject.instances:
        state = rule.init(jax.random.key(3), params, dense_network(params).shapes)
        leaves = jax.tree.leaves_with_path(state)
        for (path, one), (other_path, other) in itertools.combinations(leaves, 2):
            places = [a for a, b in zip(path, other_path, strict=False) if a != b]
            is_same_entry = len(path) == len(other_path) and len(places) == 1
            if not (is_same_entry and isinstance(places[0], jax.tree_util.SequenceKey)):
                continue
            if not jnp.issubdtype(one.dtype, jnp.floating) or one.shape != other.shape:
                continue
            expect(
                not np.array_equal(one, other) or np.ptp(np.asarray(one)) == 0,
                "two layers start from the same random numbers: the key is used twice",
                given="a network 5-4-4-4-3",
                found=f"{jax.tree_util.keystr(path)} equals {jax.tree_util.keystr(other_path)}",
                expected="jax.random.split(key, n), one for each layer",
                method="init",
            )


def draws_are_independent(subject: Subject) -> None:
    """Rows and columns of what is drawn at the start are not copies of each other."""
    params = some_params(6, sizes=(5, 40, 30, 20))
    rule = subject.default
    state = rule.init(jax.random.key(3), params, dense_network(params).shapes)
    for path, leaf in jax.tree.leaves_with_path(state):
        if not jnp.issubdtype(leaf.dtype, jnp.floating) or leaf.ndim != 2 or min(leaf.shape) < 5:
            continue
        matrix = np.asarray(leaf, np.float64)
        for name, lines in (("rows", matrix), ("columns", matrix.T)):
            equal = len(lines) - len(np.unique(lines, axis=0))
            expect(
                not equal or np.ptp(matrix) == 0,
                f"{name} of what is drawn are copies of each other",
                given=f"a network 5-40-30-20, {jax.tree_util.keystr(path)}",
                found=f"{equal} of {len(lines)} are",
                expected="none",
                method="init",
            )


def follows_float64(subject: Subject) -> None:
    """Deltas and gradients are the same in float32, but for rounding, where nothing is drawn."""
    for rule in accepted(subject):
        if any(draws(rule, method) for method in ("init", "carry/assign")):
            continue
        wide = some_params(6, sizes=SIZES)
        narrow = rounding.narrowed(wide, "float32")
        x = jnp.asarray(np.random.default_rng(11).uniform(-0.9, 0.9, (3, 5)), "float32")
        # What settles is a difference of activities, which has roundings of their size.
        for flat in ((0.0, 0.0),) if replaces(rule, "assign") else ((0.0, 0.0), FAINT):
            exact = tried(rule, params=rounding.widened(narrow), x=rounding.widened(x), flat=flat)
            with precision("float32"):
                found = tried(rule, params=narrow, x=x, flat=flat)
            for what, pair in (
                ("a delta", (found.step.found.deltas, exact.step.found.deltas)),
                ("a gradient", (found.step.found.mean, exact.step.found.mean)),
            ):
                for leaf, middle in zip(*map(jax.tree.leaves, pair), strict=True):
                    largest = float(np.abs(np.asarray(middle)).max(initial=0))
                    rounding.expect_near(
                        leaf,
                        middle,
                        100 * rounding.eps("float32") * largest,
                        "float32",
                        f"{what} is lost to rounding",
                        given=f"a network 5-6-4-3{' with faint errors' * any(flat)}, {rule}",
                        method="assign/carry",
                        floor=1e-20,
                    )


def draws_follow_their_keys(subject: Subject) -> None:
    """What draws random numbers draws others with another key."""
    rule = subject.default
    if rule not in accepted(subject):
        return
    seeds = range(4)
    for method, given in (
        ("init", [tried(rule, keys=Keys(init=seed)).state for seed in seeds]),
        ("carry/assign", [tried(rule, keys=Keys(credit=s)).step.found.deltas for s in seeds]),
        ("learn", [tried(rule, keys=Keys(learn=seed)).learned for seed in seeds]),
    ):
        first, *others = map(numbers, given)
        if all(equal(first, other) for other in others):
            expect(
                not draws(rule, method),
                "draws random numbers that are the same for every key",
                given="jax.random.key(0) to jax.random.key(3)",
                expected="numbers drawn with the key that it is given",
                method=method,
            )


def every_example_counts(subject: Subject) -> None:
    """If the state learns from one example of a mini-batch, it learns from any."""
    for rule in accepted(subject):
        usual = tried(rule)
        x = usual.step.found.trace.a[0]
        before = numbers(usual.learned)
        changed = (x.at[number].multiply(-0.7) for number in range(len(x)))
        counts = [not equal(before, numbers(tried(rule, x=x).learned)) for x in changed]
        expect(
            len(set(counts)) == 1,
            "the state learns from some examples of a mini-batch alone",
            given=f"a mini-batch of {len(counts)}, in which one example is changed",
            found=f"another state for {', '.join(str(n) for n, c in enumerate(counts) if c)} alone",
            expected="the mean over all of them",
            method="learn",
        )


def is_finite_at_zero(subject: Subject) -> None:
    """Inputs and parameters of 0 give finite errors, answers and states."""
    params = jax.tree.map(jnp.zeros_like, some_params(6, sizes=SIZES))
    for rule in accepted(subject):
        found = tried(rule, params=params, x=jnp.zeros((3, SIZES[0])))
        for method, what, tree in (
            ("carry/assign", "a delta", found.step.found.deltas),
            ("answer", "the answer", found.answer),
            ("learn", "the state after a step", found.learned),
        ):
            for leaf in jax.tree.leaves(tree):
                if jnp.issubdtype(leaf.dtype, jnp.floating):
                    expect_finite(
                        leaf, f"{what} is not finite", "inputs and parameters of 0", method
                    )


CHECKS = (
    Check("works or refuses", works_or_refuses, "check"),
    Check("no error of a constant layer", has_no_error_of_a_constant_layer, "assign"),
    Check("takes coupled neurons", takes_coupled_neurons, "assign"),
    Check("layers draw apart", draws_apart, "init"),
    Check("draws are independent", draws_are_independent, "init"),
    Check("same in every dtype", follows_float64, "carry"),
    Check("draws follow their keys", draws_follow_their_keys, "init"),
    Check(
        "every example counts",
        every_example_counts,
        "learn",
        applies=has("learn"),
    ),
    Check("finite at zero", is_finite_at_zero, "carry"),
    *feedback_properties.CHECKS,
)
