"""The ways to train that are compared: bpframe, and what people would write instead of it.

Each is written as a good user of its library would write it, starts from the same parameters, and
takes the same steps on the same images. `Way.gradient` is what it computes for the first
mini-batch; the benchmark refuses to time ways whose gradients differ. For bpframe that is read off
one step of the very program that is timed.
"""

from __future__ import annotations

import dataclasses
import functools
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import convolutions
import feedback
import jax
import jax.numpy as jnp
import numpy as np
from tasks import Task, images, initial_params, mnist

import bpframe
from bpframe.training import compilation, devices, evaluation, initial_state, step
from bpframe.training.epoch import epochs, train_epoch
from bpframe.training.precision import precision

Gradient = list[np.ndarray]  # w and b of each layer after the input, w as (n_out, n_in)

READ_OFF_ETA = 30.0
"""For the step off which a gradient is read, so that the weights do not swallow its digits."""


@dataclasses.dataclass(frozen=True)
class Way:
    """One way, ready to run: an epoch, its first gradient, and the seconds that compiling took."""

    epoch: Callable[[], None]
    gradient: Callable[[], Gradient]
    compile_s: float = 0.0


class MissingWayError(Exception):
    """A peer that is not installed, or cannot do the task."""


def bpframe_way(task: Task) -> Way:
    """bpframe's own compiled epoch, as `bpframe.run` calls it."""
    return _of_bpframe(task, _recorded)


def bare_way(task: Task) -> Way:
    """The same steps, with nothing watched: no cost, no accuracy, no check that all is finite."""
    return _of_bpframe(task, _bare)


def watched_way(task: Task) -> Way:
    """The same with all that a run records: cost and accuracy in training and in validation."""
    return _of_bpframe(task, functools.partial(_watched, evaluate_train=False))


def evaluated_way(task: Task) -> Way:
    """The same with the whole training set evaluated after each epoch."""
    return _of_bpframe(task, functools.partial(_watched, evaluate_train=True))


class _Program(NamedTuple):
    """One epoch: (state, order) -> state, waited for; and what compiling it took."""

    epoch: Callable[[step.State, np.ndarray], step.State]
    compile_s: float


def _recorded(
    experiment: bpframe.Experiment, state: step.State, examples: devices.DeviceExamples
) -> _Program:
    order = np.arange(len(examples.x), dtype=np.int32)
    started = time.perf_counter()
    program = epochs.lower(experiment, state, examples, order[None], 1).compile()
    compile_s = time.perf_counter() - started

    def epoch(state: step.State, order: np.ndarray) -> step.State:
        state, totals, finite, *_ = program(experiment, state, examples, order[None], 1)
        jax.device_get((totals, finite))
        return jax.block_until_ready(state)

    return _Program(epoch, compile_s)


def _bare(
    experiment: bpframe.Experiment, state: step.State, examples: devices.DeviceExamples
) -> _Program:
    del state
    program = jax.jit(
        lambda *arguments: train_epoch(*arguments)[0],
        compiler_options=compilation.EPOCH_OPTIONS,
    )
    return _Program(
        lambda state, order: jax.block_until_ready(program(experiment, state, examples, order)), 0.0
    )


def _watched(
    experiment: bpframe.Experiment,
    state: step.State,
    examples: devices.DeviceExamples,
    evaluate_train: bool,
) -> _Program:
    del state
    validation = devices.to_device(mnist().validation, experiment.training.dtype)
    n = np.float32(len(examples.x))

    def epoch(state: step.State, order: np.ndarray) -> step.State:
        found = epochs(experiment, state, examples, jnp.asarray(order)[None], 1)
        state, train, finite, *_ = found
        if evaluate_train:
            train = evaluation.evaluate(
                experiment, step.answering(experiment, state), examples, jnp.asarray(n)
            )
        watched = evaluation.evaluate(
            experiment, step.answering(experiment, state), validation, jnp.asarray(n)
        )
        jax.device_get((train, watched, finite))
        return jax.block_until_ready(state)

    return _Program(epoch, 0.0)


def _of_bpframe(task: Task, make: Callable[..., _Program]) -> Way:
    """A way of bpframe; its gradient is read off one step of the same kind of program."""
    experiment = bpframe.compose(task.overrides())
    with precision(task.dtype):
        examples = devices.to_device(mnist().train.first(task.images), task.dtype)
        state = initial_state.initial_state(experiment)
        program = make(experiment, state, examples)
    rng = np.random.default_rng(0)

    def epoch() -> None:
        nonlocal state
        with precision(task.dtype):
            state = program.epoch(state, rng.permutation(task.images).astype(np.int32))

    def gradient() -> Gradient:
        # The penalty is divided by the number of images, so it is made smaller with them.
        strength = task.strength * task.m / task.images
        one = dataclasses.replace(task, images=task.m, strength=strength, eta=READ_OFF_ETA)
        experiment = bpframe.compose(one.overrides())
        with precision(task.dtype):
            examples = devices.to_device(mnist().train.first(task.m), task.dtype)
            before = initial_state.initial_state(experiment)
            step = make(experiment, before, examples)
            after = step.epoch(before, np.arange(task.m, dtype=np.int32))
            pairs = zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True)
            return [np.asarray((old - new) / READ_OFF_ETA, np.float32) for old, new in pairs]

    return Way(epoch, gradient, program.compile_s)


def scan_over_grad(task: Task) -> Way:
    """`jax.lax.scan` over `jax.grad`, the order shuffled on the device, the state donated."""
    _only(task, maps=())
    params = [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in initial_params(task)]

    def as_ours(params: Any) -> Gradient:
        return [np.asarray(leaf) for w, b in params for leaf in (w.T, b)]

    return _scanned(task, _loss(task), params, images().x, as_ours)


def scan_over_grad_of_images(task: Task, layout: convolutions.Layout) -> Way:
    """The same for convolutions, in one of the layouts of their images."""
    params = convolutions.params(initial_params(task), layout)
    shaped = convolutions.images(images().x, layout)
    loss = convolutions.loss(task, layout)
    return _scanned(task, loss, params, shaped, lambda found: convolutions.as_ours(found, layout))


def _scanned(
    task: Task,
    loss: Callable[[Any, Any, Any], jax.Array],
    params: Any,
    all_images: np.ndarray,
    as_ours: Callable[[Any], Gradient],
) -> Way:
    x, y = jnp.asarray(all_images[: task.images]), jnp.asarray(images().y[: task.images])
    first = jax.tree.map(np.asarray, params)

    @functools.partial(jax.jit, donate_argnums=0)
    def program(params: Any, key: jax.Array, x: jax.Array, y: jax.Array) -> Any:
        rows = jax.random.permutation(key, task.images)[: task.steps * task.m]

        def step(params: Any, rows: jax.Array) -> tuple[Any, None]:
            gradient = jax.grad(loss)(params, x[rows], y[rows])
            return jax.tree.map(lambda p, g: p - task.eta * g, params, gradient), None

        return jax.lax.scan(step, params, rows.reshape(-1, task.m))[0]

    key = jax.random.key(0)
    started = time.perf_counter()
    compiled = program.lower(params, key, x, y).compile()
    compile_s = time.perf_counter() - started

    def epoch() -> None:
        nonlocal params, key
        key, shuffle = jax.random.split(key)
        params = jax.block_until_ready(compiled(params, shuffle, x, y))

    def gradient() -> Gradient:
        return as_ours(jax.grad(loss)(first, x[: task.m], y[: task.m]))

    return Way(epoch, gradient, compile_s)


def optax_loop(task: Task) -> Way:
    """A jitted step with optax.sgd, called from a Python loop over mini-batches in NumPy.

    Images on the device, gathered in the step, take 1.7 times as long on the CPU; calling the
    program compiled ahead of time takes as long as the jitted function.
    """
    import optax

    data = images()
    params = [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in initial_params(task)]
    first = [(np.asarray(w), np.asarray(b)) for w, b in params]
    loss = _loss(task)
    optimiser = optax.sgd(task.eta)
    state = optimiser.init(params)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, x: Any, y: Any) -> tuple[Any, Any]:
        updates, state = optimiser.update(jax.grad(loss)(params, x, y), state)
        return optax.apply_updates(params, updates), state

    started = time.perf_counter()
    step.lower(params, state, data.x[: task.m], data.y[: task.m]).compile()
    compile_s = time.perf_counter() - started
    rng = np.random.default_rng(0)

    def epoch() -> None:
        nonlocal params, state
        order = rng.permutation(task.images)[: task.steps * task.m].reshape(-1, task.m)
        for rows in order:
            params, state = step(params, state, data.x[rows], data.y[rows])
        jax.block_until_ready(params)

    def gradient() -> Gradient:
        found = jax.grad(loss)(first, data.x[: task.m], data.y[: task.m])
        return [np.asarray(leaf) for w, b in found for leaf in (w.T, b)]

    return Way(epoch, gradient, compile_s)


def numpy_loop(task: Task) -> Way:
    """The book's equations in NumPy, vectorised over the mini-batch."""
    _only(task, cost="quadratic", activation="sigmoid", output_activation="sigmoid", strength=0.0)
    data = images()
    params = initial_params(task)
    first = initial_params(task)
    eta = np.float32(task.eta / task.m)
    rng = np.random.default_rng(0)

    def sigmoid(z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.float32(1) / (np.float32(1) + np.exp(-z))

    def sums(params: list[Any], x: np.ndarray, y: np.ndarray) -> list[Any]:
        outputs = [x]
        for w, b in params:
            outputs.append(sigmoid(outputs[-1] @ w.T + b))
        a = outputs[-1]
        delta = (a - y) * a * (1 - a)
        found = []
        for (w, _), a_prev in zip(reversed(params), reversed(outputs[:-1]), strict=True):
            found.append((delta.T @ a_prev, delta.sum(axis=0)))
            if a_prev is not x:
                delta = (delta @ w) * a_prev * (1 - a_prev)
        return found[::-1]

    def epoch() -> None:
        order = rng.permutation(task.images)[: task.steps * task.m].reshape(-1, task.m)
        for rows in order:
            found = sums(params, data.x[rows], data.y[rows])
            for (w, b), (nabla_w, nabla_b) in zip(params, found, strict=True):
                w -= eta * nabla_w
                b -= eta * nabla_b

    def gradient() -> Gradient:
        found = sums(first, data.x[: task.m], data.y[: task.m])
        return [leaf / task.m for pair in found for leaf in pair]

    return Way(epoch, gradient)


def pytorch_eager(task: Task, channels_last: bool = False) -> Way:
    """torch.nn and torch.optim.SGD, one mini-batch after another, on the GPU if there is one."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    data = images()
    shaped = data.x.reshape(-1, 1, 28, 28) if task.maps else data.x
    x = torch.from_numpy(shaped[: task.images]).to(device, memory_format=memory_format)
    y = torch.from_numpy(data.y[: task.images]).to(device)
    labels = torch.from_numpy(data.labels[: task.images]).to(device)
    activations = {"sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU}

    def fresh() -> torch.nn.Sequential:
        parts: list[torch.nn.Module] = []
        starts = convolutions.channels_first(initial_params(task))
        for index, (w, b) in enumerate(starts):
            if w.ndim == 4:
                layer = torch.nn.Conv2d(w.shape[1], w.shape[0], w.shape[2])
            else:
                layer = torch.nn.Linear(w.shape[1], w.shape[0])
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(w))
                layer.bias.copy_(torch.from_numpy(b))  # pyright: ignore[reportOptionalMemberAccess]
            parts.append(layer)
            if index < len(starts) - 1:
                parts.append(activations[task.activation]())
            if w.ndim == 4:
                parts.append(torch.nn.MaxPool2d(2))
                if index == len(task.maps) - 1:
                    parts.append(torch.nn.Flatten())
        model = torch.nn.Sequential(*parts).to(device)
        return model.to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]

    def loss(z: torch.Tensor, rows: Any) -> torch.Tensor:
        if task.cost == "quadratic":
            return 0.5 * ((torch.sigmoid(z) - y[rows]) ** 2).sum() / task.m
        if task.cost == "log_likelihood":
            return torch.nn.functional.cross_entropy(z, labels[rows])
        raise MissingWayError(f"no loss for {task.cost} here")

    model = fresh()
    optimiser = torch.optim.SGD(model.parameters(), lr=task.eta)
    generator = torch.Generator().manual_seed(0)

    def epoch() -> None:
        order = torch.randperm(task.images, generator=generator).to(device)
        for rows in order[: task.steps * task.m].split(task.m):
            optimiser.zero_grad()
            loss(model(x[rows]), rows).backward()
            optimiser.step()
        if device == "cuda":
            torch.cuda.synchronize()

    def gradient() -> Gradient:
        other = fresh()
        loss(other(x[: task.m]), slice(0, task.m)).backward()
        found = [p.grad.cpu().numpy() for p in other.parameters() if p.grad is not None]
        pairs = zip(found[::2], found[1::2], strict=True)
        return convolutions.rows_first(list(pairs))

    return Way(epoch, gradient)


def pytorch_feedback(task: Task) -> Way:
    """The rule of the task in PyTorch, from the feedback weights that bpframe starts from."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)

    return Way(*feedback.epoch_and_gradient(task, torch))


def scikit_learn(task: Task) -> Way:
    """MLPClassifier.partial_fit, an epoch a call: softmax and log-likelihood are all it has."""
    _only(task, cost="log_likelihood", activation="sigmoid", output_activation="softmax")
    from sklearn.neural_network import (  # pyright: ignore[reportMissingImports]  (an extra)
        MLPClassifier,
    )

    data = images()
    x, labels = data.x[: task.images], data.labels[: task.images]

    def fresh() -> MLPClassifier:
        model = MLPClassifier(
            hidden_layer_sizes=task.hidden,
            activation="logistic",
            solver="sgd",
            alpha=0.0,
            batch_size=task.m,  # pyright: ignore[reportArgumentType]  (documented as an integer)
            learning_rate_init=task.eta,
            momentum=0.0,
            nesterovs_momentum=False,
            random_state=0,
        )
        model.partial_fit(x[: task.m], labels[: task.m], classes=np.arange(10))
        # It draws its own parameters when it is first fitted; set in place, they stay in use.
        for w, b, (start_w, start_b) in zip(
            model.coefs_, model.intercepts_, initial_params(task), strict=True
        ):
            w[:], b[:] = start_w.T, start_b
        return model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fresh()

    def epoch() -> None:
        model.partial_fit(x, labels)

    def gradient() -> Gradient:
        other = fresh()
        before = [
            leaf.copy()
            for pair in zip(other.coefs_, other.intercepts_, strict=True)
            for leaf in pair
        ]
        other.partial_fit(x[: task.m], labels[: task.m])
        after = [
            leaf for pair in zip(other.coefs_, other.intercepts_, strict=True) for leaf in pair
        ]
        steps = [(old - new) / task.eta for old, new in zip(before, after, strict=True)]
        return [step.T if step.ndim == 2 else step for step in steps]

    return Way(epoch, gradient)


def _only(task: Task, **allowed: Any) -> None:
    for field, value in allowed.items():
        if getattr(task, field) != value:
            raise MissingWayError(f"has no {field} {getattr(task, field)} here")


def _loss(task: Task) -> Callable[[Any, Any, Any], jax.Array]:
    """The mean cost of a mini-batch, stable, as a user of jax.nn would write it."""
    activation = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}[task.activation]

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        a = x
        for w, b in params[:-1]:
            a = activation(a @ w + b)
        w, b = params[-1]
        z = a @ w + b
        if task.cost == "quadratic":
            cost = 0.5 * jnp.sum((jax.nn.sigmoid(z) - y) ** 2, axis=-1)
        elif task.cost == "cross_entropy":
            cost = -jnp.sum(y * jax.nn.log_sigmoid(z) + (1 - y) * jax.nn.log_sigmoid(-z), axis=-1)
        else:
            cost = -jnp.sum(y * jax.nn.log_softmax(z), axis=-1)
        if not task.strength:
            return jnp.mean(cost)
        penalty = task.strength / (2 * task.images) * sum(jnp.sum(w**2) for w, _ in params)
        return jnp.mean(cost) + penalty

    return loss


WAYS: dict[str, Callable[[Task], Way]] = {
    "bpframe": bpframe_way,
    "bpframe, nothing watched": bare_way,
    "bpframe, watched": watched_way,
    "bpframe, evaluate_train": evaluated_way,
    "lax.scan over jax.grad": scan_over_grad,
    **{
        f"scan over grad, {layout}": functools.partial(scan_over_grad_of_images, layout=layout)
        for layout in convolutions.LAYOUTS
    },
    "NumPy over the mini-batch": numpy_loop,
    "optax step in a loop": optax_loop,
    "PyTorch eager": pytorch_eager,
    "PyTorch, channels last": functools.partial(pytorch_eager, channels_last=True),
    "PyTorch, by hand": pytorch_feedback,
    "scikit-learn": scikit_learn,
}


def prepare(name: str, task: Task) -> Way:
    """A way, ready to run.

    Raises:
        MissingWayError: its library is not installed, or it cannot do the task.

    """
    jax.clear_caches()  # so that every way shows what compiling it costs
    try:
        return WAYS[name](task)
    except ImportError as error:
        raise MissingWayError(f"not installed ({error.name}); pip install -e '.[bench]'") from error
