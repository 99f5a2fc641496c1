"""What it costs to know of single examples and of curvature, in every step, here and elsewhere.

    python experiments/benchmarks/deltas.py [--quick] [--json FILE]

Each row is an epoch with a quantity over the same epoch without it. The peers compute the same
norms (checked) by BackPACK, Opacus and vmap(jax.grad), each over its own plain step, interleaved in
the same run. With --json it writes FILE, and beside it DELTAS.md and deltas.png.
    pip install torch==2.13.0 backpack-for-pytorch opacus          the peers, which may be missing
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import machine
import numpy as np
import timing
import ways
from tasks import Task, images, initial_params

import bpframe
from bpframe.deltas.example_gradients import ExampleGradients, total
from bpframe.training.precision import precision

PACKAGES = ("bpframe", "jax", "jaxlib", "numpy", "torch", "backpack-for-pytorch", "opacus")
WIDE = Task((1024, 1024), 128, cost="log_likelihood", activation="relu",
            output_activation="softmax", eta=0.01, images=128 * 40)  # fmt: skip
MLP = dataclasses.replace(WIDE, hidden=(1000, 500, 100))
MAPS = dataclasses.replace(WIDE, hidden=(100,), maps=(20,), m=64, images=64 * 20)
LARGE = dataclasses.replace(WIDE, m=1024, images=1024 * 8)
KFAC = dataclasses.replace(WIDE, hidden=(500, 250), m=512, images=512 * 10)
LINEAR_COST = "gradient_norms,gradient_variance,signal_to_noise,noise_scale,gradient_tests"

ROWS: list[tuple[str, Task, tuple[str, ...], float]] = [
    ("norms of single gradients", WIDE, ("metrics=[gradient_norms]",), 1.05),
    ("noise scale and gradient tests", MLP, ("metrics=[noise_scale,gradient_tests]",), 1.10),
    ("variance and signal to noise", MLP, ("metrics=[gradient_variance,signal_to_noise]",), 1.6),
    ("all of these", MLP, (f"metrics=[{LINEAR_COST}]",), 2.0),
    ("clipped gradients", WIDE, ("aggregation=clipped",), 1.3),
    ("private step: clipped, with noise", WIDE, ("aggregation=private",), 1.3),
    ("private step, large mini-batches", LARGE, ("aggregation=private",), 1.3),
    ("norms in a convolutional network", MAPS, ("metrics=[gradient_norms]",), 1.3),
    ("K-FAC, inverses every 10 steps", KFAC, ("optimiser=kfac",), 2.0),
    ("K-FAC, factors too", KFAC,
     ("optimiser=kfac", "optimiser.factors_every=10"), 2.0),
]  # fmt: skip
"""What is known, of which network, how one asks for it, and the most that it may cost."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two rounds of few images")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    arguments = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    rounds = 2 if arguments.quick else 9
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine.described(),
        "versions": machine.versions(PACKAGES),
        "rows": [row(*each, rounds, arguments.quick) for each in ROWS],
        "peers": peers(rounds, arguments.quick),
    }
    for text in table(results):
        print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
        write(results, arguments.json.absolute().parent)


def row(
    work: str, task: Task, more: tuple[str, ...], target: float, rounds: int, quick: bool
) -> dict[str, Any]:
    """The ratio of an epoch with and one without."""
    if quick:
        task = dataclasses.replace(task, images=task.m * 3)
    both = {
        "with": ways.bpframe_way(dataclasses.replace(task, more=more)).epoch,
        "without": ways.bpframe_way(task).epoch,
    }
    samples = timing.interleaved(both, rounds)
    step_ms = 1e3 * statistics.median(samples["without"]) / task.steps
    ratio = timing.median_ratio(samples, "with", "without")
    return {"work": work, "network": task.name, "ratio": ratio, "target": target, "ms": step_ms}


# The peers: norms of single gradients in every step of gradient descent on WIDE.


def peers(rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Seconds of an epoch of each way with and without the norms, and whether norms agree."""
    task = dataclasses.replace(WIDE, images=WIDE.m * (2 if quick else 10))
    ours = dataclasses.replace(task, more=("metrics=[gradient_norms]",))
    epochs = {
        "bpframe": ways.bpframe_way(ours).epoch,
        "bpframe, plain": ways.bpframe_way(task).epoch,
    }
    expected, missing = norms_of_bpframe(task), {}
    errors = {"bpframe": 0.0}
    makers: dict[str, Callable[[Task], dict[str, Any]]] = {
        "vmap(jax.grad)": of_vmap,
        "BackPACK BatchL2Grad": of_backpack,
        "Opacus, ghost": of_ghost,
        "Opacus, hooks": of_hooks,
    }
    for name, make in makers.items():
        try:
            made = make(task)
        except ImportError as error:
            missing[name] = str(error)
            continue
        epochs |= {name: made["with"], f"{name}, plain": made["plain"]}
        errors[name] = float(np.abs(made["norms"] / expected - 1).max())
    samples = timing.interleaved(epochs, rounds)
    found = []
    for name in ["bpframe", *makers]:
        if name in missing:
            found.append({"way": name, "missing": missing[name]})
            continue
        found.append(
            {
                "way": name,
                "ms": 1e3 * statistics.median(samples[name]) / task.steps,
                "ratio": timing.median_ratio(samples, name, f"{name}, plain"),
                "ours": timing.median_ratio(samples, "bpframe", name),
                "error": errors[name],
            }
        )
    return found


def first_batch(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = images()
    return data.x[: task.m], data.y[: task.m], data.labels[: task.m]


def norms_of_bpframe(task: Task) -> np.ndarray:
    """|g_x|, (m,), of the first mini-batch."""
    experiment = bpframe.compose(task.overrides())
    x, y, _ = first_batch(task)
    params = tuple(bpframe.Params(jnp.asarray(w), jnp.asarray(b)) for w, b in initial_params(task))
    with precision(task.dtype):
        given = (params, jnp.asarray(x), jnp.asarray(y))
        found = bpframe.gradient(experiment.network, experiment.cost, *given)
        of = ExampleGradients(experiment.network.layers, params, found.credit)
        return np.sqrt(np.asarray(total(of.squared_norms())))


def of_vmap(task: Task) -> dict[str, Any]:
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
    return {
        "with": lambda: jax.block_until_ready(programs[0](params)),
        "plain": lambda: jax.block_until_ready(programs[1](params)),
        "norms": np.asarray(norms(each(params, x[: task.m], y[: task.m]))),
    }


def of_torch(
    task: Task, wrapped: Callable[[Any], Any], norms: Callable[[Any, Any, Any], Any]
) -> dict[str, Any]:
    """An epoch of torch.optim.SGD with the norms in every step, and one of the bare model.

    `norms(model, x, labels)` makes the gradients of the mean cost, and gives the norms (m,).
    """
    import torch  # pyright: ignore[reportMissingImports]  (an extra)

    data = images()
    x = torch.from_numpy(data.x[: task.images])
    labels = torch.from_numpy(data.labels[: task.images])

    def fresh() -> Any:
        parts: list[Any] = []
        for w, b in initial_params(task):
            layer = torch.nn.Linear(w.shape[1], w.shape[0])
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(w))
                layer.bias.copy_(torch.from_numpy(b))
            parts += [layer, torch.nn.ReLU()]
        return torch.nn.Sequential(*parts[:-1])

    def epoch(model: Any, gradients: Any) -> Callable[[], None]:
        optimiser = torch.optim.SGD(model.parameters(), lr=task.eta)

        def run() -> None:
            for start in range(0, task.steps * task.m, task.m):
                optimiser.zero_grad()
                rows = slice(start, start + task.m)
                gradients(model, x[rows], labels[rows])
                optimiser.step()

        return run

    def bare(model: Any, x: Any, labels: Any) -> None:
        torch.nn.functional.cross_entropy(model(x), labels).backward()

    found = norms(wrapped(fresh()), x[: task.m], labels[: task.m])
    return {
        "with": epoch(wrapped(fresh()), norms),
        "plain": epoch(fresh(), bare),
        "norms": np.asarray(found.detach()),
    }


def of_backpack(task: Task) -> dict[str, Any]:
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


def of_ghost(task: Task) -> dict[str, Any]:
    """Opacus's ghost norms, of one backward pass."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)
    from opacus.grad_sample import (  # pyright: ignore[reportMissingImports]  (a peer)
        GradSampleModuleFastGradientClipping,
    )

    def wrapped(model: Any) -> Any:
        return GradSampleModuleFastGradientClipping(model, max_grad_norm=1, use_ghost_clipping=True)

    def norms(model: Any, x: Any, labels: Any) -> Any:
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        return model.get_norm_sample()

    return of_torch(task, wrapped, norms)


def of_hooks(task: Task) -> dict[str, Any]:
    """Opacus's hooks, which form the gradients of single examples."""
    import torch  # pyright: ignore[reportMissingImports]  (an extra)
    from opacus.grad_sample import GradSampleModule  # pyright: ignore[reportMissingImports]

    def norms(model: Any, x: Any, labels: Any) -> Any:
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        each = [p.grad_sample.flatten(1) for p in model.parameters()]
        for p in model.parameters():
            p.grad = p.grad_sample.mean(0)
            p.grad_sample = None
        return torch.stack([(g**2).sum(1) for g in each]).sum(0).sqrt()

    return of_torch(task, GradSampleModule, norms)


def table(results: dict[str, Any]) -> list[str]:
    """The results as Markdown."""
    lines = [
        "| every step | network | the plain step | with it | at most | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in results["rows"]:
        met = "met" if row["ratio"] <= row["target"] else "**missed**"
        lines.append(
            f"| {row['work']} | {row['network']} | {row['ms']:.2f} ms | {row['ratio']:.2f} | "
            f"{row['target']:.2f} | {met} |"
        )
    lines += [
        "",
        f"Norms of single gradients, {WIDE.name.split(',')[0]}, m {WIDE.m}:",
        "",
        "| way | a step | over its own plain step | bpframe's time over its | norms differ by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for peer in results["peers"]:
        if "missing" in peer:
            lines.append(f"| {peer['way']} | not installed | | | |")
            continue
        lines.append(
            f"| {peer['way']} | {peer['ms']:.2f} ms | {peer['ratio']:.2f} | {peer['ours']:.3f} | "
            f"{peer['error']:.0e} |"
        )
    return lines


def write(results: dict[str, Any], folder: Path) -> None:
    """DELTAS.md and deltas.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    here = [(peer["way"], peer["ratio"]) for peer in results["peers"] if "ratio" in peer]
    figure, axes = pyplot.subplots(figsize=(7, 2.6), layout="constrained")
    names, ratios = zip(*reversed(here), strict=True)
    bars = axes.barh(names, ratios, color="#4477aa")
    axes.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], padding=3)
    axes.axvline(1, color="#888888", linewidth=1)
    axes.set(xscale="log", xlabel="a step with the norms of all examples, over a plain step")
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "deltas.png", dpi=150)
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    on = ", ".join(map(str, results["machine"].values()))
    measured = (
        f"Measured on {results['date']} with `python experiments/benchmarks/deltas.py --json "
        f"experiments/benchmarks/deltas.json`: {on}; {versions}."
    )
    text = [
        "# What it costs to know of single examples, and of curvature",
        "",
        measured,
        "",
        *table(results),
        "",
        "![A step with norms over a plain step](deltas.png)",
    ]
    (folder / "DELTAS.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
