"""The generalised Gauss-Newton matrix of a mini-batch: its diagonal, trace and eigenvalues.

    GGN = 1/m sum_x J_x^T H_x J_x = 1/m sum_x,k r_xk r_xk^T,   r_xk = J_x^T s_xk

J_x is the Jacobian of z^L in the parameters, H_x the curvature of the cost at z^L, and s_xk its
root, sum_k s_xk s_xk^T = H_x. BP2 to BP4 make r_xk of s_xk as they make g_x of delta^L, so that
r_xk is the gradient of one more example, and the layers know its norms, squares and products
without forming it.

It is the Hessian without the curvature of the network itself, and positive semidefinite.
Source: Martens (2020), New insights and perspectives on the natural gradient method, section 8;
Dangel, Tatzel and Hennig (2022), ViViT, for its eigenvalues.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bpframe import checks, equations
from bpframe.contracts import LayerParams, OutputPair, Trace
from bpframe.deltas.example_gradients import ExampleGradients, total
from bpframe.errors import ExamplesError
from bpframe.learning import Credit, Forward, Keys, TrainingStep
from bpframe.network import Network


class Curvature(NamedTuple):
    """What is needed to know of the curvature at a mini-batch, of exact backpropagation.

    Attributes:
        network: the layers.
        pair: the cost with the output's activation.
        params: at which the forward pass was made.
        trace: what that left behind, with a leading axis m.
        y: (m, n_out) targets.

    """

    network: Network
    pair: OutputPair
    params: tuple[LayerParams, ...]
    trace: Trace
    y: Array

    @classmethod
    def of(cls, step: TrainingStep) -> Curvature:
        """That of the mini-batch of a step of training."""
        return cls(step.network, step.pair, step.params, step.found.trace, step.y)

    def check(self) -> None:
        """Raise a DataError unless the targets, the outputs and the parameters fit each other."""
        wanted = (len(self.trace.a[0]), self.network.n_out)
        checks.check_real(self.y, "y", f"{wanted}")
        if self.y.shape != wanted:
            raise ExamplesError(f"y has shape {self.y.shape}; expected {wanted}, as in the trace")
        checks.check_params(self.params, self.network.params)

    def roots(self) -> Array:
        """s_xk, (m, k, n_out)."""
        z, a = self.trace.z[-1], self.trace.a[-1]
        found = jax.vmap(self.pair.curvature_root)(z, a, self.y)
        assert found is not None  # which has been checked when the experiment was assembled
        return found

    def sampled_root(self, key: Array) -> Array:
        """sum_k +-s_xk with random signs, (m, n_out): on average its square is H_x."""
        roots = self.roots()
        signs = jax.random.rademacher(key, roots.shape[:2], roots.dtype)
        return jnp.einsum("xk,xkj->xj", signs, roots)

    def carried_back(self, delta_out: Array) -> tuple[Array, ...]:
        """The deltas of the layers 2..L that BP2 makes of delta^L, (m, n_out)."""
        nothing = (None,) * len(self.network.layers)
        keys = Keys(*(jax.random.key(0),) * 2)  # which exact deltas do not look at

        def one(trace: Trace, y: Array, delta: Array) -> tuple[Array, ...]:
            seen = Forward(self.network, self.pair, self.params, trace)
            return equations.backward_from(delta, seen, y, equations.EXACT, nothing, keys)

        return jax.vmap(one)(self.trace, self.y, delta_out)

    def gradients(self, delta_out: Array) -> ExampleGradients:
        """The r_x that belong to one s_x each, (m, n_out)."""
        credit = Credit(self.trace.a[:-1], self.trace.kept, self.carried_back(delta_out))
        return ExampleGradients(self.network.layers, self.params, (credit,))

    def diagonal(self, key: Array | None = None) -> tuple[LayerParams, ...]:
        """The diagonal of the GGN, shaped like the parameters; with a key from one sampled root.

        Exactly it takes as many backward passes as there are outputs.
        """
        m = len(self.y)

        def squares(delta_out: Array) -> Any:
            return self.gradients(delta_out).sum_of_squares()

        summed = self._summed(squares) if key is None else squares(self.sampled_root(key))
        return jax.tree.map(lambda part: part / m, summed)

    def trace_of_layers(self) -> tuple[Array, ...]:
        """The trace of the block of each layer, exactly: as many backward passes as outputs."""
        m = len(self.y)

        def squares(delta_out: Array) -> Any:
            norms = self.gradients(delta_out).squared_norms()
            return tuple(jnp.sum(of_layer) for of_layer in norms)

        return tuple(part / m for part in self._summed(squares))

    def eigenvalues(self) -> Array:
        """Those of the GGN that can differ from 0, rising, (m k,): of the products r_xk . r_x'k'.

        Both matrices have the same: one is V V^T / m and the other V^T V / m, V the r_xk in
        columns.
        """
        roots = self.roots()
        m, k = roots.shape[:2]
        each = jax.tree.map(lambda part: jnp.repeat(part, k, axis=0), (self.trace, self.y))
        several = self._replace(trace=each[0], y=each[1])
        products = total(several.gradients(roots.reshape(m * k, -1)).inner_products()) / m
        return jnp.linalg.eigvalsh(products)

    def _summed(self, squares: Any) -> Any:
        """The sum over k of what is made of the s_xk."""
        roots = self.roots().swapaxes(0, 1)
        nothing = jax.tree.map(
            lambda part: jnp.zeros(part.shape, part.dtype), jax.eval_shape(squares, roots[0])
        )

        def add(sums: Any, delta_out: Array) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, sums, squares(delta_out)), None

        return jax.lax.scan(add, nothing, roots)[0]


def has_curvature(pair: OutputPair, n_out: int) -> bool:
    """Whether the cost tells its curvature, for so many outputs.

    Raises:
        DataError: `pair` is no output pair, such as `Experiment.cost`.

    """
    checks.check_kind(pair, OutputPair, "pair")
    if not isinstance(n_out, int) or n_out < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ExamplesError(f"n_out: {n_out!r} is no number of outputs; allowed: integers from 1")
    like = jax.ShapeDtypeStruct((n_out,), jnp.float32)
    return jax.eval_shape(pair.curvature_root, like, like, like) is not None
