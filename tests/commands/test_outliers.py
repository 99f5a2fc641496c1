"""`bpframe outliers`: what it finds, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from test_cli import Main, main

import bpframe
from bpframe import Data, Dataset, Examples, hookimpl
from bpframe.plugin_host.host import load_registry
from bpframe.training import loading, outliers

__all__ = ("main",)  # a fixture
WRONG = (3, 17, 60, 101)


class Mislabelled(Dataset):
    """The digits, four of them with a label that is one too large."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (8, 8, 1)

    @property
    def n_out(self) -> int:
        return 10

    def load(self) -> Data:
        found: Any = load_registry().get("data", "digits", "")().load()
        y = found.train.y.copy()
        y[list(WRONG)] = (y[list(WRONG)] + 1) % 10
        train = Examples(found.train.x, y, 10, scale=found.train.scale)
        return Data(train, found.validation, found.test)


class Plugin:
    BPFRAME_API_VERSION = 2

    @hookimpl
    def bpframe_datasets(self) -> dict[str, Any]:
        return {"mislabelled": Mislabelled}


@pytest.mark.slow
def test_mislabelled_examples_have_the_largest_gradients() -> None:
    """Slow: trains."""
    experiment = bpframe.compose(["data=mislabelled", "training.epochs=12"], plugins=[Plugin()])
    result = bpframe.run(experiment)
    train = loading.load(experiment).train
    found = outliers.largest(experiment, result.params, train, 40)  # of 1,197
    assert set(WRONG) <= {one.example for one in found}
    norms = [one.norm for one in found]
    assert norms == sorted(norms, reverse=True)
    for one in found[:5]:
        x = jnp.asarray(train.x[[one.example]] * train.scale, jnp.float32)
        y = jnp.asarray(np.eye(10)[[train.y[one.example]]], jnp.float32)
        g = bpframe.gradient(experiment.network, experiment.cost, result.params, x, y).mean
        norm = np.sqrt(sum(float((leaf**2).sum()) for own in g for leaf in own))
        np.testing.assert_allclose(one.norm, norm, rtol=1e-4)


@pytest.mark.slow
def test_the_command_prints_and_draws(main: Main, tmp_path: Path) -> None:
    """Slow: trains."""
    folder = tmp_path / "run"
    assert main("training.epochs=1", "data.train_size=50", f"hydra.run.dir={folder}").status == 0
    ended = main("outliers", "--split", "validation", "--count", "3", str(folder))
    assert ended.status == 0
    assert len(re.findall(r"^│ +\d+ │", ended.out, re.M)) == 3
    picture = folder / "outliers_validation.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_inputs_that_are_no_images_are_not_drawn(main: Main, tmp_path: Path) -> None:
    """Slow: trains."""
    folder = tmp_path / "run"
    settings = ("data=xor", "training.batch_size=4", "training.epochs=1")
    assert main(*settings, f"hydra.run.dir={folder}").status == 0
    assert main("outliers", str(folder)).status == 0
    assert not list(folder.glob("outliers*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{}",), "holds no run (metrics.jsonl and .hydra)"),
        (("{}", "--count", "0"), "--count: '0' is no number of examples; give 1 or more"),
        (("{}", "--split", "all"), "invalid choice: 'all'"),
        ((), "the following arguments are required: RUN"),
    ],
)
def test_bad_words_are_one_line(
    main: Main, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = main("outliers", *(text.format(tmp_path) for text in arguments))
    assert ended.status == 1
    assert message in ended.err
    assert ended.err.count("\n") == 1
