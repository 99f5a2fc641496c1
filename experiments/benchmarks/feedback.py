"""Feedback alignment and direct feedback alignment in PyTorch, as its users write them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from tasks import Task, images, initial_params

import bpframe
from bpframe.training import initial_state


def feedback(task: Task) -> list[np.ndarray]:
    """The B^l of bpframe's own rule, which starts both: (n_l, n_(l+1)), or (n_l, n_L)."""
    rule = jax.device_get(initial_state.initial_state(bpframe.compose(task.overrides())).rule)
    return [np.array(getattr(own, "w", own)) for own in rule]


def epoch_and_gradient(task: Task, torch: Any) -> tuple[Any, Any]:
    """An epoch of torch.optim.SGD, and the first gradient."""
    direct = "direct_feedback_alignment" in task.more[0]
    data = images()
    x, y = (torch.from_numpy(part[: task.images]) for part in (data.x, data.y))
    back = [torch.from_numpy(b) for b in feedback(task)]
    activation = {"sigmoid": torch.sigmoid, "relu": torch.relu}[task.activation]

    class Linear(torch.autograd.Function):
        """w a + b, whose error goes back by other weights."""

        @staticmethod
        def forward(context: Any, a: Any, w: Any, b: Any, back: Any) -> Any:
            context.save_for_backward(a, back)
            return torch.nn.functional.linear(a, w, b)

        @staticmethod
        def backward(context: Any, error: Any) -> Any:
            a, back = context.saved_tensors
            return error @ back, error.t() @ a, error.sum(0), None

    def fresh() -> list[Any]:
        found = [torch.from_numpy(leaf) for pair in initial_params(task) for leaf in pair]
        return [leaf.requires_grad_() for leaf in found]

    def loss(z: Any, y: Any) -> Any:
        if task.cost == "quadratic":
            return 0.5 * ((torch.sigmoid(z) - y) ** 2).sum() / task.m
        bce = torch.nn.functional.binary_cross_entropy_with_logits
        return bce(z, y, reduction="sum") / task.m

    def aligned(params: list[Any], x: Any, y: Any) -> None:
        a = activation(torch.nn.functional.linear(x, *params[:2]))
        for at, b in enumerate(back[:-1], start=1):
            a = activation(Linear.apply(a, *params[2 * at : 2 * at + 2], b))
        loss(Linear.apply(a, *params[-2:], back[-1]), y).backward()

    def directly(params: list[Any], x: Any, y: Any) -> None:
        hidden, a = [], x
        for at in range(len(back)):
            linear = torch.nn.functional.linear(a.detach(), *params[2 * at : 2 * at + 2])
            hidden.append(activation(linear))
            a = hidden[-1]
        z = torch.nn.functional.linear(a.detach(), *params[-2:])
        z.retain_grad()
        loss(z, y).backward()
        torch.autograd.backward(hidden, [z.grad @ b.t() for b in back])

    backward = directly if direct else aligned
    params = fresh()
    optimiser = torch.optim.SGD(params, lr=task.eta)
    generator = torch.Generator().manual_seed(0)

    def epoch() -> None:
        order = torch.randperm(task.images, generator=generator)
        for rows in order[: task.steps * task.m].split(task.m):
            optimiser.zero_grad()
            backward(params, x[rows], y[rows])
            optimiser.step()

    def gradient() -> list[np.ndarray]:
        other = fresh()
        backward(other, x[: task.m], y[: task.m])
        return [leaf.grad.numpy() for leaf in other]

    return epoch, gradient
