"""Run folders as a run leaves them, made without a run."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save

from bpframe.runs import array_writer
from bpframe.runs.arrays import InMemory
from bpframe.runs.checksums import checksum, sealed

ALGORITHM: list[dict[str, str]] = [
    {"heading": "Network 16-4-3"},
    {"prose": "Cost of one example with target y: CrossEntropy."},
    {"equation": "a^1 = x", "latex": "a^1 = x", "tag": ""},
    {"equation": "delta^3 = a^3 - y", "latex": r"\delta^{3} = a^{3} - y", "tag": "BP1"},
]
CONFIG: dict[str, Any] = {
    "seed": 7,
    "data": {"name": "animals"},
    "network": {"hidden": [4], "activation": "tanh", "output_activation": "sigmoid"},
    "cost": {"name": "cross_entropy"},
    "optimiser": {"name": "sgd", "eta": 0.25},
    "regulariser": {"name": "l2", "strength": 0.1},
    "learning_rule": {"name": "backprop"},
    "training": {"epochs": 5, "batch_size": 10},
}


def record(epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "train_cost": 2.0 / epoch,
        "validation_cost": 2.5 / epoch,
        "train_accuracy": 1 - 0.5 / epoch,
        "validation_accuracy": 1 - 0.6 / epoch,
        "seconds": 0.01,
        "delta_norm.steps.layer_2": 1e-3 / epoch,
        "delta_norm.steps.layer_3": 1.0 / epoch,
        "saturation.steps.layer_2": 0.1,
        "alignment.steps.layer_2": 45.0,
        "gradient_norms.steps.layer_2": 0.5,
        "gradient_norms.steps.layer_2.q10": 0.1,
        "gradient_norms.steps.layer_2.q50": 0.4,
        "gradient_norms.steps.layer_2.q90": 0.9,
        "largest_gradients.train.example": [5, 3],
        "largest_gradients.train.norm": [2.5, 1.5],
        "delta_norm.steps.layer_3.0": [1e-4, 1e-2, 1.0],
        "confusion_matrix.validation": [[8, 1, 0], [0, 9, 0], [2, 0, 7]],
    }


def summary(**changes: Any) -> dict[str, Any]:
    return {
        "status": "completed",
        "epochs": 5,
        "test_accuracy": 0.875,
        "test_cost": 0.5,
        "best_validation_accuracy": 0.88,
        "best_validation_cost": 0.5,
        "best_epoch": 4,
        "stopped": None,
        "error": None,
        "timing": {"compile_s": 1.5, "epoch_s": [0.1] * 5},
        "seed": 7,
        "sizes": [16, 4, 3],
        "device": "cpu:0",
        "versions": {"bpframe": "0.1.0", "jax": "0.10.2"},
        "changed": None,
        "data": {
            "shape": [4, 4, 1],
            "n_out": 3,
            "n_train": 90,
            "task": {"name": "Classification", "names": ["cat", "dog", "owl"], "middle": 0.5},
            "features": [],
            "mean": 0.0,
            "scale": 1.0,
        },
        "algorithm": ALGORITHM,
        **changes,
    }


def examples() -> dict[str, Any]:
    one = {"example": 3, "cost": 2.5, "norm": 1.5, "target": 2, "answer": 0}
    x = [math.sin(place) for place in range(16)]
    ones = [{**one, "x": x}, {**one, "example": 4, "answer": 2, "x": []}]
    return {"algorithm": ALGORITHM, "examples": {"split": "validation", "cost": ones}}


def recording(
    arrays: dict[str, np.ndarray], steps: dict[str, list[int]], **told: dict[str, Any]
) -> InMemory:
    """What recorders kept: `arrays` by NAME/KEY, and when; an epoch has ten steps.

    `told` changes what is said of a recorder.
    """
    meta: dict[str, Any] = {}
    for path, array in arrays.items():
        name, _, key = path.partition("/")
        is_param = name in ("weights", "gradients")
        m = None if is_param else array.shape[1]
        of = {"over": "validation", "examples": m, "steps_of_epoch": 10, "axes": {}}
        axes = ["neuron", "input"][: array.ndim - 1] if is_param else ["example"]
        axes += [f"axis_{at}" for at in range(array.ndim - 1 - len(axes))]
        meta.setdefault(name, of)["axes"][key] = axes
    for name, change in told.items():
        meta[name].update(change)
    stamps = {f"{name}/steps": np.array(of, np.int64) for name, of in steps.items() if name in meta}
    return InMemory(meta, {**arrays, **stamps})


def network_arrays(
    sizes: tuple[int, ...] = (16, 4, 3), times: int = 6, m: int = 5, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Activations, the input among them, deltas and weights, at random, by NAME/KEY."""
    generator = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return generator.normal(size=(times, *shape)).astype(np.float32)

    found = {"activations/layer_1": np.repeat(drawn(m, sizes[0])[:1], times, axis=0)}
    for layer, (n_in, n) in enumerate(itertools.pairwise(sizes), start=2):
        found[f"activations/layer_{layer}"] = drawn(m, n)
        found[f"deltas/layer_{layer}"] = drawn(m, n) / 100
        found[f"weights/layer_{layer}.w"] = drawn(n, n_in)
        found[f"weights/layer_{layer}.b"] = drawn(n)
    return found


def recorded(times: int = 6, every: int = 10, **of: Any) -> InMemory:
    """All that is drawn of a network, at times with `every` steps between them."""
    steps = list(range(0, times * every, every))
    stamps = {"activations": steps, "deltas": steps, "weights": steps}
    return recording(network_arrays(times=times, **of), stamps)


def write(
    folder: Path,
    *,
    records: list[Any] | None = None,
    config: Any = CONFIG,
    overrides: Any = ("optimiser.eta=0.25",),
    found: Any = None,
    recording: InMemory | None = None,
    **changes: Any,
) -> Path:
    """A folder of a run that has ended; `changes` are those of its summary."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
    sources = [{"provider": "main", "path": "/bpframe/conf"}]
    began = {"runtime": {"config_sources": sources}, "job": {"config_name": "config"}}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": began}))
    lines = [record(epoch) for epoch in range(1, 6)] if records is None else records
    metrics = "".join(json.dumps(line) + "\n" for line in lines).encode()
    generator = np.random.default_rng(0)
    arrays = {"layer_2.w": (4, 16), "layer_2.b": (4,), "layer_3.w": (3, 4), "layer_3.b": (3,)}
    params = save({k: generator.normal(size=n).astype(np.float32) for k, n in arrays.items()})
    files = {"metrics.jsonl": checksum(metrics), "params.safetensors": checksum(params)}
    (folder / "metrics.jsonl").write_bytes(metrics)
    (folder / "params.safetensors").write_bytes(params)
    (folder / "best.safetensors").write_bytes(params)
    if recording is not None:
        name = array_writer.write(folder, recording, durable=False)
        files[name] = checksum((folder / name).read_bytes())
    ended = sealed({**summary(**changes), "files": files})
    (folder / "summary.json").write_text(json.dumps(ended))
    if found is not None:
        (folder / "page.json").write_text(json.dumps(sealed(found)))
    return folder
