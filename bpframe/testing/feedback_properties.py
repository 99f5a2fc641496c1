"""Properties of feedback weights: they carry the error, and come nearer where they learn."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.learning import BackwardStep, TrainingStep, replaces
from bpframe.testing.expect import expect
from bpframe.testing.outcome import Check
from bpframe.testing.parameters import (
    some_step,
)
from bpframe.testing.subjects import Subject
from bpframe.testing.tried_rules import SIZES, accepted, tried

STEPS, ETA = 200, 0.3


def tells_its_feedback(subject: Subject) -> None:
    """`feedback` gives what carry multiplies the error by, up to a factor."""
    for rule in accepted(subject):
        state, step, *_ = tried(rule)
        told = rule.feedback(state, step.params)
        for at, pair in enumerate(told or ()):
            found = None if pair is None else _carried(rule, state[at], step, at)
            if pair is None or found is None:
                continue
            stated = np.asarray(pair[1]).reshape(-1)
            expect(
                stated.shape == found.shape,
                f"feedback of layer {at + 3} has another size than its weights",
                found=stated.shape,
                expected=found.shape,
                method="feedback",
            )
            cosine = stated @ found / np.linalg.norm(stated) / np.linalg.norm(found)
            expect(
                cosine > 1 - 1e-9,
                f"feedback of layer {at + 3} is not what carry multiplies the error by",
                given="a network 5-6-4-3",
                found=f"a cosine of {cosine:.3f}",
                expected="1: flat, shaped like w, which is (n_out, n_in)",
                method="feedback",
            )


def _carried(rule: Any, entry: Any, step: TrainingStep, at: int) -> np.ndarray | None:
    """What carry brings of each error of layer at + 3, flat like w; None if of none, or random."""
    after, trace = at + 1, jax.tree.map(lambda part: part[0], step.found.trace)
    key = jax.random.key(0)

    def carry(delta: Array) -> Array:
        seen = BackwardStep(
            *(step.network.layers[after], step.params[after], trace.a[after], trace.kept[after]),
            *(delta, jnp.zeros(SIZES[-1]), jnp.zeros(SIZES[-1]), key, key),
        )
        return rule.carry(entry, seen)

    errors = jnp.eye(SIZES[after + 1])
    found = np.asarray(jax.jit(jax.vmap(carry))(errors)).reshape(-1)
    draws = "random_bits" in str(jax.make_jaxpr(carry)(errors[0]))
    return None if draws or not found.any() else found


def learned_feedback_comes_nearer(subject: Subject) -> None:
    """Feedback weights that learn turn towards the weights, and not away from them."""

    @jax.jit
    def trained(rule: Any, params: Any, state: Any) -> Any:
        def one(number: Array, carried: Any) -> Any:
            params, state = carried
            step = some_step(params, rule, state, key=jax.random.key(number))
            new = jax.tree.map(lambda p, g: p - ETA * g, params, step.found.mean)
            return new, rule.learn(state, step, params, new)

        return jax.lax.fori_loop(0, STEPS, one, (params, state))

    for rule in accepted(subject):
        state, step, *_ = tried(rule)
        if rule.feedback(state, step.params) is None:
            continue
        params = jax.tree.map(lambda p: 0.3 * p, step.params)
        learned_params, learned = trained(rule, params, state)
        before, after = _cosine(rule, state, params), _cosine(rule, learned, learned_params)
        expect(
            after > before - 1e-6,
            "feedback weights that learn turn away from the weights",
            given=f"{STEPS} steps of gradient descent, a network 5-6-4-3, {rule}",
            found=f"a mean cosine of {before:.3f} before and of {after:.3f} after",
            expected="a larger one after",
            method="learn",
        )


def _cosine(rule: Any, state: Any, params: Any) -> float:
    """The mean over layers, between weights and what stands for them."""
    pairs = [pair for pair in rule.feedback(state, params) if pair is not None]
    cosines = [w @ b / (jnp.linalg.norm(w) * jnp.linalg.norm(b)) for w, b in pairs]
    return float(np.mean(cosines))


def has(*methods: str) -> Any:
    """Whether a rule has methods of its own."""

    def applies(subject: Subject) -> bool:
        return all(replaces(subject.default, method) for method in methods)

    return applies


CHECKS = (
    Check("feedback is that of the error", tells_its_feedback, "feedback",
          applies=lambda s: has("feedback")(s) and not has("assign")(s)),
    Check("learned feedback comes nearer", learned_feedback_comes_nearer, "learn",
          applies=has("feedback", "learn")),
)  # fmt: skip
