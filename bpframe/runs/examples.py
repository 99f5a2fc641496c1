"""What the page of a run shows and only the run itself can tell: its worst examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bpframe.contracts import LayerParams
from bpframe.data import Data, Examples
from bpframe.explanation import algorithm
from bpframe.explanation.items import as_plain
from bpframe.files import write_whole
from bpframe.runs.checksums import sealed
from bpframe.runs.page.reading import FOUND
from bpframe.training import outliers
from bpframe.training.experiment import Experiment
from bpframe.training.outliers import Outlier

COUNT = 12
"""How many examples are shown."""
_LARGEST = 128 * 128 * 3
"""The most numbers of an input that is kept."""


def write(
    folder: Path,
    experiment: Experiment,
    params: tuple[LayerParams, ...],
    data: Data,
    *,
    split: str = "validation",
    rule_name: str = "",
) -> None:
    """Write what the page of a run adds if it finds it: examples, and the algorithm.

    Raises:
        OSError: it cannot be written.

    """
    found = {
        "algorithm": as_plain(algorithm.items(experiment, rule_name)),
        "examples": worst(experiment, params, getattr(data, split)) | {"split": split},
    }
    content = (json.dumps(sealed(found), separators=(",", ":")) + "\n").encode()
    write_whole(folder / FOUND, content, durable=False)


def worst(
    experiment: Experiment, params: tuple[LayerParams, ...], examples: Examples
) -> dict[str, Any]:
    """The examples with the largest cost and those with the largest gradient, as plain values."""
    all_of = outliers.largest(experiment, params, examples, len(examples))
    by_cost = sorted(all_of, key=lambda one: (-one.cost, one.example))
    return {
        name: [_plain(one, examples) for one in listed[:COUNT] if np.isfinite(one.norm + one.cost)]
        for name, listed in (("cost", by_cost), ("gradient", all_of))
    }


def _plain(one: Outlier, examples: Examples) -> dict[str, Any]:
    x: Sequence[Any] = ()
    if np.prod(examples.shape) <= _LARGEST:
        x = np.asarray(examples.x[one.example], float).round(4).ravel().tolist()
    return {
        "example": one.example,
        "cost": one.cost,
        "norm": one.norm,
        "target": np.asarray(one.target).tolist(),
        "answer": np.asarray(one.answer).tolist(),
        "x": x,
    }
