"""The same quantities by BackPACK, Opacus and vmap(jax.grad), each beside its own plain step.

pip install torch==2.13.0 backpack-for-pytorch opacus          any of which may be missing
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import convolutions
import jax
import jax.numpy as jnp
import numpy as np
from bpframe_plugins.aggregations import Clipped
from tasks import Task, images, initial_params

import bpframe
from bpframe.deltas.example_gradients import ExampleGradients, total
from bpframe.equations import MEAN
from bpframe.training.precision import precision

WIDE = Task((1024, 1024), 128, cost="log_likelihood", activation="relu",
            output_activation="softmax", eta=0.01, images=128 * 40)  # fmt: skip
KFAC = dataclasses.replace(WIDE, hidden=(500, 250), m=512, images=512 * 10)
OPACUS = dataclasses.replace(
    WIDE, hidden=(32,), maps=(16, 32),
    convolutions="{name: convolution, maps: 16, size: 8, stride: 2, margin: 3, activation: relu}, "
    "{name: max_pooling, size: 2, stride: 1}, "
    "{name: convolution, maps: 32, size: 4, stride: 2, padding: cropped, activation: relu}, "
    "{name: max_pooling, size: 2, stride: 1}",
)  # fmt: skip
"""The network of Opacus's MNIST example, of 26,010 parameters."""
CLIP = 1.0


class Made(NamedTuple):
    """A way of a peer.

    Attributes:
        epoch: with the quantity in every step.
        plain: without it, in the peer's own framework.
        found: the quantity of the first mini-batch, flat.

    """

    epoch: Callable[[], Any]
    plain: Callable[[], Any]
    found: np.ndarray


class Comparison(NamedTuple):
    """A quantity that peers know too.

    Attributes:
        work: what it is.
        task: of which network.
        more: how one asks bpframe for it.
        target: bpframe's time over theirs, at most.
        same: what is compared for being equal, as a heading.
        expected: what bpframe has for the first mini-batch, flat.
        ways: the peers' makers by name; each may raise an ImportError.

    """

    work: str
    task: Task
    more: tuple[str, ...]
    target: float
    same: str
    expected: Callable[[Task], np.ndarray]
    ways: dict[str, Callable[[Task], Made]]


# What bpframe has.


def found_by_bpframe(task: Task, aggregation: bpframe.Aggregation = MEAN) -> Any:
    """The experiment, its parameters, and the gradient of the first mini-batch with its credit."""
    experiment = bpframe.compose(task.overrides())
    data = images()
    of_layers = [len(jax.tree.leaves(own)) for own in experiment.network.params]
    pairs = iter(initial_params(task))
    params = tuple(
        bpframe.Params(*map(jnp.asarray, next(pairs))) if has else () for has in of_layers
    )
    given = (params, jnp.asarray(data.x[: task.m]), jnp.asarray(data.y[: task.m]))
    whole = (experiment.network, experiment.cost, *given)
    found = bpframe.gradient(*whole, aggregation=aggregation)
    return experiment, params, found


def norms(task: Task) -> np.ndarray:
    """|g_x|, (m,)."""
    with precision(task.dtype):
        experiment, params, found = found_by_bpframe(task)
        of = ExampleGradients(experiment.network.layers, params, found.credit)
        return np.sqrt(np.asarray(total(of.squared_norms())))


def clipped_gradient(task: Task) -> np.ndarray:
    """The mean of the clipped gradients before any noise: w and b of the output layer."""
    with precision(task.dtype):
        mean = found_by_bpframe(task, Clipped(norm=CLIP))[-1].mean
    return np.concatenate([np.ravel(part) for part in mean[-1]])


def factor(task: Task) -> np.ndarray:
    """A of the first layer without the bias: the mean of a a^T."""
    x = images().x[: task.m]
    return np.ravel(x.T @ x / task.m)


# vmap(jax.grad).


def of_vmap(task: Task) -> Made:
    """Gradients of single examples by vmap(jax.grad), in a jitted scan."""
    data = images()
    x, y = jnp.asarray(data.x[: task.images]), jnp.asarray(data.y[: task.images])
    params = [(jnp.asarray(w), jnp.asarray(b)) for w, b in initial_params(task)]

    def loss(params: Any, x: Any, y: Any) -> Any:
        for w, b in params[:-1]:
            x = jax.nn.relu(w @ x + b)
        w, b = params[-1]
        return -jnp.sum(y * jax.nn.log_softmax(w @ x + b))

    each = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))

    def norms(gradients: Any) -> Any:
        leaves = jax.tree.leaves(gradients)
        return jnp.sqrt(sum(jnp.sum(g.reshape(len(g), -1) ** 2, 1) for g in leaves))

    def step(params: Any, rows: Any) -> Any:
        gradients = each(params, x[rows], y[rows])
        new = jax.tree.map(lambda p, g: p - task.eta * jnp.mean(g, 0), params, gradients)
        return new, jnp.mean(norms(gradients))

    def plain(params: Any, rows: Any) -> Any:
        mean = lambda p: jnp.mean(jax.vmap(loss, in_axes=(None, 0, 0))(p, x[rows], y[rows]))  # noqa: E731
        return jax.tree.map(lambda p, g: p - task.eta * g, params, jax.grad(mean)(params)), None

    rows = jnp.arange(task.steps * task.m).reshape(-1, task.m)
    programs = [jax.jit(lambda p, s=s: jax.lax.scan(s, p, rows)) for s in (step, plain)]
    return Made(
        lambda: jax.block_until_ready(programs[0](params)),
        lambda: jax.block_until_ready(programs[1](params)),
        np.asarray(norms(each(params, x[: task.m], y[: task.m]))),
    )


# PyTorch's.


def torch_model(task: Task) -> Any:
    """The task's network with its parameters."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)

    pairs = convolutions.channels_first(initial_params(task))
    parts: list[Any] = []
    if task.maps:
        nn = torch.nn
        parts = [nn.Conv2d(1, 16, 8, 2, padding=3), nn.ReLU(), nn.MaxPool2d(2, 1),
                 nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Flatten()]  # fmt: skip
    for w, _ in pairs[len(task.maps) :]:
        parts += [torch.nn.Linear(w.shape[1], w.shape[0]), torch.nn.ReLU()]
    model = torch.nn.Sequential(*parts[:-1])
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), (p for w in pairs for p in w), strict=True):
            parameter.copy_(torch.from_numpy(array))
    return model


def torch_batches(task: Task) -> list[tuple[Any, Any]]:
    """Inputs and labels of the mini-batches of an epoch."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)

    data = images()
    x = data.x if not task.maps else convolutions.images(data.x, "NCHW")
    return [
        (torch.from_numpy(x[start : start + task.m]),
         torch.from_numpy(data.labels[start : start + task.m]))
        for start in range(0, task.steps * task.m, task.m)
    ]  # fmt: skip


def of_torch(
    task: Task,
    wrapped: Callable[[Any], Any],
    quantity: Callable[[Any, Any, Any], Any],
    private: Callable[[Any, Any, float], Any] | None = None,
) -> Made:
    """An epoch of torch.optim.SGD with a quantity in every step, and one of the bare model.

    `quantity(model, x, labels)` makes the gradients of the mean cost, and gives the quantity;
    `private(model, optimiser, noise)` may wrap the optimiser.
    """
    import torch  # pyright: ignore[reportMissingImports]  (an extra)

    warnings.filterwarnings("ignore", "Full backward hook is firing")  # meant for inputs
    batches = torch_batches(task)

    def epoch(model: Any, gradients: Any, noise: float | None = 1.0) -> Callable[[], None]:
        optimiser = torch.optim.SGD(model.parameters(), lr=task.eta)
        if private and noise is not None:
            optimiser = private(model, optimiser, noise)

        def run() -> None:
            for x, labels in batches:
                optimiser.zero_grad()
                gradients(model, x, labels)
                optimiser.step()

        return run

    def bare(model: Any, x: Any, labels: Any) -> None:
        torch.nn.functional.cross_entropy(model(x), labels).backward()

    model = wrapped(torch_model(task))
    if private:
        batches, all_of_them = batches[:1], batches
        epoch(model, quantity, 0.0)()
        batches = all_of_them
        found = torch.cat([p.grad.flatten() for p in list(model.parameters())[-2:]])
    else:
        found = quantity(model, *batches[0])
    return Made(
        epoch(wrapped(torch_model(task)), quantity),
        epoch(torch_model(task), bare, None),
        found.detach().numpy().ravel(),
    )


def of_backpack(task: Task) -> Made:
    """BackPACK's BatchL2Grad."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)
    from backpack import backpack, extend  # pyright: ignore[reportMissingImports]  (a peer)
    from backpack.extensions import BatchL2Grad  # pyright: ignore[reportMissingImports]  (a peer)

    cost = extend(torch.nn.CrossEntropyLoss())

    def norms(model: Any, x: Any, labels: Any) -> Any:
        loss = cost(model(x), labels)
        with backpack(BatchL2Grad()):
            loss.backward()
        return task.m * torch.stack([p.batch_l2 for p in model.parameters()]).sum(0).sqrt()

    return of_torch(task, extend, norms)


def of_backpack_kfac(task: Task) -> Made:
    """BackPACK's KFAC, whose factors are sampled once: without any inverse or step by them."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)
    from backpack import backpack, extend  # pyright: ignore[reportMissingImports]  (a peer)
    from backpack.extensions import KFAC as FACTORS  # pyright: ignore[reportMissingImports]

    cost = extend(torch.nn.CrossEntropyLoss())

    def factors(model: Any, x: Any, labels: Any) -> Any:
        loss = cost(model(x), labels)
        with backpack(FACTORS()):
            loss.backward()
        return next(iter(model.parameters())).kfac[1]

    return of_torch(task, extend, factors)


def ghost(model: Any) -> Any:
    """Opacus's module that makes ghost norms in the backward pass."""
    from opacus.grad_sample import (  # pyright: ignore[reportMissingImports]  (a peer)
        GradSampleModuleFastGradientClipping,
    )

    clip: Any = CLIP
    return GradSampleModuleFastGradientClipping(model, max_grad_norm=clip, use_ghost_clipping=True)


def hooked(model: Any) -> Any:
    """Opacus's module whose hooks form the gradients of single examples."""
    from opacus.grad_sample import GradSampleModule  # pyright: ignore[reportMissingImports]

    return GradSampleModule(model)


def of_ghost(task: Task) -> Made:
    """Opacus's ghost norms, of one backward pass."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)

    def norms(model: Any, x: Any, labels: Any) -> Any:
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        return model.get_norm_sample()

    return of_torch(task, ghost, norms)


def of_hooks(task: Task) -> Made:
    """Opacus's hooks."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)

    def norms(model: Any, x: Any, labels: Any) -> Any:
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        each = [p.grad_sample.flatten(1) for p in model.parameters()]
        for p in model.parameters():
            p.grad = p.grad_sample.mean(0)
            p.grad_sample = None
        return torch.stack([(g**2).sum(1) for g in each]).sum(0).sqrt()

    return of_torch(task, hooked, norms)


def of_private_ghost(task: Task) -> Made:
    """Opacus's private step by ghost norms and a second backward pass."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)
    from opacus.optimizers import (  # pyright: ignore[reportMissingImports]  (a peer)
        DPOptimizerFastGradientClipping,
    )
    from opacus.utils.fast_gradient_clipping_utils import (  # pyright: ignore[reportMissingImports]
        DPLossFastGradientClipping,
    )

    optimisers: dict[int, Any] = {}

    def private(model: Any, optimiser: Any, noise: float) -> Any:
        optimisers[id(model)] = DPOptimizerFastGradientClipping(
            optimiser, noise_multiplier=noise, max_grad_norm=CLIP, expected_batch_size=task.m
        )
        return optimisers[id(model)]

    def step(model: Any, x: Any, labels: Any) -> None:
        cost = DPLossFastGradientClipping(
            model, optimisers[id(model)], torch.nn.CrossEntropyLoss(), "mean"
        )
        cost(model(x), labels).backward()

    return of_torch(task, ghost, step, private)


def of_private_hooks(task: Task) -> Made:
    """Opacus's private step by hooks."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)
    from opacus.optimizers import DPOptimizer  # pyright: ignore[reportMissingImports]  (a peer)

    def private(model: Any, optimiser: Any, noise: float) -> Any:
        del model
        return DPOptimizer(
            optimiser, noise_multiplier=noise, max_grad_norm=CLIP, expected_batch_size=task.m
        )

    def step(model: Any, x: Any, labels: Any) -> None:
        torch.nn.functional.cross_entropy(model(x), labels).backward()

    return of_torch(task, hooked, step, private)


NORMS = {"Opacus, ghost": of_ghost, "Opacus, hooks": of_hooks}
COMPARISONS = (
    Comparison("norms of single gradients", WIDE, ("metrics=[gradient_norms]",), 1.0,
               "norms differ by", norms,
               {"vmap(jax.grad)": of_vmap, "BackPACK BatchL2Grad": of_backpack, **NORMS}),
    Comparison("norms of single gradients", OPACUS, ("metrics=[gradient_norms]",), 0.3,
               "norms differ by", norms, NORMS),
    Comparison("private steps", WIDE, ("aggregation=private",), 0.4,
               "gradients without noise differ by", clipped_gradient,
               {"Opacus, ghost": of_private_ghost, "Opacus, hooks": of_private_hooks}),
    Comparison("K-FAC, for BackPACK its factors alone", KFAC, ("optimiser=kfac",), 1.0,
               "factors differ by", factor, {"BackPACK KFAC": of_backpack_kfac}),
)  # fmt: skip
