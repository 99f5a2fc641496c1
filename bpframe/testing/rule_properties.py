"""Properties of learning rules: where no error may be, what is drawn, learned and told."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bpframe.contracts import Activation, ElementwiseActivation
from bpframe.equations import Dense, Unpaired
from bpframe.errors import ConfigError
from bpframe.learning import BackwardStep, Forward, TrainingStep, replaces
from bpframe.network import Network
from bpframe.testing import rounding
from bpframe.testing.expect import expect, expect_finite, key_data
from bpframe.testing.outcome import Check, CheckFailedError
from bpframe.testing.parameters import (
    Curved,
    SquaredError,
    dense_network,
    some_params,
    some_step,
)
from bpframe.testing.subjects import Subject
from bpframe.testing.tracing import run_traced
from bpframe.training.precision import precision

SIZES = (5, 6, 4, 3)
SMALL = ((5, 3), (5, 1, 3), (5, 4, 3), SIZES)
STEPS, ETA = 200, 0.3
FAINT = (0.0, 1 - 2.0**-23)
"""A layer so flat that its errors are smaller than the roundings of float32."""


class Flattened(ElementwiseActivation):
    """a = 0.3 share + (1 - share) z / sqrt(1 + z^2): constant where share is 1."""

    share: float = 0.0

    def __call__(self, z: Array) -> Array:
        """0.3 share + (1 - share) z / sqrt(1 + z^2)."""
        return 0.3 * self.share + (1 - self.share) * Curved()(z)

    def prime(self, z: Array) -> Array:
        """(1 - share) (1 + z^2)^(-3/2)."""
        return (1 - self.share) * Curved().prime(z)


class Tried(NamedTuple):
    """What a rule gives in a network 5-6-4-3.

    Attributes:
        state: of the rule, at the start.
        step: of training, with the deltas.
        learned: the state after it, where the parameters go to 0.9 of what they are.
        answer: to the first example, or None.

    """

    state: Any
    step: TrainingStep
    learned: Any
    answer: Any


class Keys(NamedTuple):
    """What `init`, the credit and `learn` may draw with, by their seeds."""

    init: Any = 3
    credit: Any = 12
    learn: Any = 12


PLAIN = Keys()


def tried(
    rule: Any,
    *,
    params: Any = None,
    x: Any = None,
    flat: tuple[float, float] = (0.0, 0.0),
    keys: Keys = PLAIN,
) -> Tried:
    """Try a rule; rules of one structure share one compiled program."""
    params = some_params(6, sizes=SIZES) if params is None else params
    x = jnp.asarray(np.random.default_rng(11).uniform(-0.9, 0.9, (3, 5))) if x is None else x
    return run_traced(_tried, rule, params, x, flat, keys)


@jax.jit
def _tried(rule: Any, params: Any, x: Any, flat: tuple[float, float], seeds: Keys) -> Tried:
    hidden = (
        Dense(n, activation=Flattened(share)) for n, share in zip(SIZES[1:], flat, strict=False)
    )
    network = Network(SIZES[:1], (*hidden, Dense(SIZES[-1], activation=Curved())))
    keys = Keys(*(jax.random.key(seed) for seed in seeds))
    state = rule.init(keys.init, params, network.shapes)
    step = some_step(params, rule, state, network=network, x=x, key=keys.credit)
    updated = jax.tree.map(lambda p: 0.9 * p, params)
    learned = rule.learn(state, step._replace(key=keys.learn), params, updated)
    first = jax.tree.map(lambda part: part[0], step.found.trace)
    answer = rule.answer(state, Forward(network, step.pair, params, first))
    return Tried(state, step, learned, answer)


def _accepted(subject: Subject) -> list[Any]:
    """The instances that take the kit's network."""
    network = dense_network(some_params(6, sizes=SIZES))
    return [rule for rule in subject.instances if not _refused(rule, network)]


def _refused(rule: Any, network: Network) -> bool:
    try:
        rule.check(network, Unpaired(SquaredError(), Curved()))
    except ConfigError:
        return True
    except Exception as error:
        raise CheckFailedError(
            f"check raises {type(error).__name__}: {error}",
            given=f"a network {_sizes(network)}",
            expected="a bpframe.ConfigError of one line, or nothing",
            method="check",
        ) from error
    return False


def _sizes(network: Network) -> str:
    return "-".join(str(shape[0]) for shape in network.shapes)


def works_or_refuses(subject: Subject) -> None:
    """A network that `check` lets pass can be trained: without hidden layers, too."""
    for rule, sizes in itertools.product(subject.instances, SMALL):
        params = some_params(6, sizes=sizes)
        network = dense_network(params)
        if _refused(rule, network):
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
                given=f"a network {_sizes(network)}, {rule}",
                expected="a rule that works, or a ConfigError from check",
                method="check",
            ) from error


def has_no_error_of_a_constant_layer(subject: Subject) -> None:
    """Where a^l does not depend on z^l, delta^l is 0."""
    for rule, at in itertools.product(_accepted(subject), (0, 1)):
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
    for rule in subject.instances:
        if _refused(rule, network):
            continue

        @jax.jit
        def deltas(rule: Any, params: Any, network: Network = network) -> Any:
            state = rule.init(jax.random.key(3), params, network.shapes)
            return some_step(params, rule, state, network=network).found.deltas

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
    for rule in _accepted(subject):
        if any(_draws(rule, method) for method in ("init", "carry/assign")):
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
    if rule not in _accepted(subject):
        return
    seeds = range(4)
    for method, given in (
        ("init", [tried(rule, keys=Keys(init=seed)).state for seed in seeds]),
        ("carry/assign", [tried(rule, keys=Keys(credit=s)).step.found.deltas for s in seeds]),
        ("learn", [tried(rule, keys=Keys(learn=seed)).learned for seed in seeds]),
    ):
        first, *others = map(_numbers, given)
        if all(_equal(first, other) for other in others):
            expect(
                not _draws(rule, method),
                "draws random numbers that are the same for every key",
                given="jax.random.key(0) to jax.random.key(3)",
                expected="numbers drawn with the key that it is given",
                method=method,
            )


def _draws(rule: Any, method: str) -> bool:
    """Whether random numbers are drawn in a method."""
    params = some_params(6, sizes=SIZES)
    key, shapes = jax.random.key(0), dense_network(params).shapes
    state, step, *_ = tried(rule)
    programs = {
        "init": lambda: rule.init(key, params, shapes),
        "carry/assign": lambda: some_step(params, rule, state),
        "learn": lambda: rule.learn(state, step, params, params),
    }
    return "random_bits" in str(jax.make_jaxpr(programs[method])())


def _equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _numbers(tree: Any) -> list[np.ndarray]:
    """The leaves, keys as numbers."""
    return [np.asarray(key_data(leaf)) for leaf in jax.tree.leaves(tree)]


def every_example_counts(subject: Subject) -> None:
    """If the state learns from one example of a mini-batch, it learns from any."""
    for rule in _accepted(subject):
        usual = tried(rule)
        x = usual.step.found.trace.a[0]
        before = _numbers(usual.learned)
        changed = (x.at[number].multiply(-0.7) for number in range(len(x)))
        counts = [not _equal(before, _numbers(tried(rule, x=x).learned)) for x in changed]
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
    for rule in _accepted(subject):
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


def tells_its_feedback(subject: Subject) -> None:
    """`feedback` gives what carry multiplies the error by, up to a factor."""
    for rule in _accepted(subject):
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
    for rule in _accepted(subject):
        state, step, *_ = tried(rule)
        if rule.feedback(state, step.params) is None:
            continue

        @jax.jit
        def trained(params: Any, state: Any, rule: Any = rule) -> Any:
            def one(number: Array, carried: Any) -> Any:
                params, state = carried
                step = some_step(params, rule, state, key=jax.random.key(number))
                new = jax.tree.map(lambda p, g: p - ETA * g, params, step.found.mean)
                return new, rule.learn(state, step, params, new)

            return jax.lax.fori_loop(0, STEPS, one, (params, state))

        params = jax.tree.map(lambda p: 0.3 * p, step.params)
        before, after = _cosine(rule, state, params), _cosine(rule, *trained(params, state)[::-1])
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


def _has(*methods: str) -> Any:
    def applies(subject: Subject) -> bool:
        return all(replaces(subject.default, method) for method in methods)

    return applies


CHECKS = (
    Check("works or refuses", works_or_refuses, "check"),
    Check("no error of a constant layer", has_no_error_of_a_constant_layer, "assign"),
    Check("takes coupled neurons", takes_coupled_neurons, "assign"),
    Check("layers draw apart", draws_apart, "init"),
    Check("draws are independent", draws_are_independent, "init"),
    Check("same in every dtype", follows_float64, "carry"),
    Check("draws follow their keys", draws_follow_their_keys, "init"),
    Check("every example counts", every_example_counts, "learn", applies=_has("learn")),
    Check("finite at zero", is_finite_at_zero, "carry"),
    Check("feedback is that of the error", tells_its_feedback, "feedback",
          applies=lambda s: _has("feedback")(s) and not _has("assign")(s)),
    Check("learned feedback comes nearer", learned_feedback_comes_nearer, "learn",
          applies=_has("feedback", "learn")),
)  # fmt: skip
