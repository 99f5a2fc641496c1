"""The study of chapter 6: its networks, what it makes of runs, and what it says of missing ones."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from test_reproduction import CONFIG, write_run

import bpframe

sys.path.append(str(Path(__file__).parents[2] / "experiments"))

from nielsen_chapter_6 import study
from reproduction.runs import Run, Runs
from reproduction.study import NotRun, Row

CONF = Path(__file__).parents[2] / "conf" / "nielsen_chapter_6"
# (maps or neurons, and weights and biases of each) counted by hand.
PARAMETERS = {
    "dense": 784 * 100 + 100 + 1010,
    "one_convolution": 20 * 26 + 2880 * 100 + 100 + 1010,
    "two_convolutions": 20 * 26 + 40 * (20 * 25 + 1) + 640 * 100 + 100 + 1010,
    "rectified": 20 * 26 + 40 * (20 * 25 + 1) + 640 * 100 + 100 + 1010,
    "expanded": 20 * 26 + 40 * (20 * 25 + 1) + 640 * 100 + 100 + 1010,
    "dropout": 20 * 26 + 40 * (20 * 25 + 1) + 640 * 1000 + 1000 + 1000 * 1001 + 10_010,
}
VALIDATION, TEST = (0.5, 0.9, 0.8, 0.9, 0.7), (0.1, 0.2, 0.3, 0.4, 0.5)


def composed(name: str) -> bpframe.Experiment:
    return bpframe.compose(["+experiment=nielsen_chapter_6", f"nielsen_chapter_6={name}"])


def read(folder: Path, name: str, **data: Any) -> Run:
    """A run of the network as its file describes it, with five epochs."""
    config: Mapping[str, Any] = {
        **CONFIG,
        "network": OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml").network),
        "data": {"name": "mnist", "train_size": None, **data},
    }
    lines = [
        {"epoch": epoch, "validation_accuracy": validation, "accuracy.test": test}
        for epoch, (validation, test) in enumerate(zip(VALIDATION, TEST, strict=True), start=1)
    ]
    write_run(folder, config, lines)
    return Run.read(folder)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_networks_are_those_of_the_book(name: str) -> None:
    experiment = composed(name)
    params = experiment.network.params
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == PARAMETERS[name]
    [net] = (net for net in study.NETS if net.config == name)
    assert experiment.training.epochs == net.epochs
    # The program shuffles the expanded images, once, and never the others.
    expanded = name in ("expanded", "dropout")
    assert experiment.training.shuffle == expanded
    assert getattr(experiment.data, "expand") == expanded  # noqa: B009


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_networks_start_as_in_network3(name: str) -> None:
    """Its softmax layer is zero, so each digit has the probability of a tenth."""
    experiment = composed(name)
    assert isinstance(experiment.initialiser, bpframe.InitialCondition)
    params = experiment.initialiser.load(experiment.network.params, 1)
    assert not params[-1].w.any()
    assert not params[-1].b.any()
    hidden = params[-2] if params[-2] else params[-3]
    expected = 1 / hidden.w.shape[0]
    assert hidden.w.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / hidden.w.size))


@pytest.mark.parametrize(("name", "eta", "strength"), [("dense", 0.1, 0), ("rectified", 0.03, 0.1)])
def test_a_step_shrinks_the_weights_as_in_network3(name: str, eta: float, strength: float) -> None:
    """The program has eta lambda / (number of mini-batches); ours is eta strength / n."""
    experiment, n = composed(name), 50_000
    w = np.full((2, 3), 2.0)
    gradient = experiment.regulariser.gradient((bpframe.Params(w, np.ones(2)),))[0]  # pyright: ignore[reportArgumentType]
    assert jax.tree.leaves(experiment.optimiser) == [eta]
    step = eta * np.asarray(gradient.w) / n
    batches = n // experiment.training.m(n)
    np.testing.assert_allclose(step, eta * strength * w / batches, rtol=1e-12)


def test_runs_are_told_apart_by_their_networks(tmp_path: Path) -> None:
    for net in study.NETS[:4]:
        run = read(tmp_path / net.config, net.config)
        assert study.config_of(run) == net.config
        assert list(study.of(net, Runs([run]))) == [run]
    assert study.config_of(read(tmp_path / "a", "rectified", expand=True)) == "expanded"
    assert study.config_of(read(tmp_path / "b", "dropout", expand=True)) == "dropout"


def test_the_last_of_the_best_epochs_counts(tmp_path: Path) -> None:
    run = read(tmp_path / "run", "dense")
    assert study.test_accuracy(run) == pytest.approx(40)


def test_rows_say_what_was_trained_and_what_was_not(tmp_path: Path) -> None:
    runs = Runs([read(tmp_path / "0", "dense"), read(tmp_path / "1", "rectified", train_size=5000)])
    found = study.rows(runs, False)
    assert [type(row) for row in found] == [Row, NotRun, NotRun, Row, NotRun, NotRun]
    dense, one, _, rectified, *_ = found
    assert dense.quantity == "784-100-10: test accuracy, 5 epochs"
    assert rectified.quantity == "two convolutions, ReLU: test accuracy, 5 epochs, 5,000 images"
    assert isinstance(dense, Row)
    assert (dense.verdict, dense.reason) == (
        "disagrees", "the book trains 60 epochs, and ours had 5 epochs."
    )  # fmt: skip
    assert isinstance(one, NotRun)
    assert one.command == "bpframe +experiment=nielsen_chapter_6 nielsen_chapter_6=one_convolution"


def test_the_kernels_are_drawn_as_in_the_book(tmp_path: Path) -> None:
    kernels = np.random.default_rng(0).normal(size=(20, 5, 5, 1)).astype(np.float32)
    arrays = {"layer_2.w": kernels, "layer_2.b": np.zeros(20, np.float32)}
    run = dataclasses.replace(read(tmp_path / "run", "one_convolution"), arrays=arrays)
    figure = Figure(layout="constrained")
    study.draw(Runs([run]), figure)
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(images) == 20
    for image, kernel in zip(images, kernels, strict=True):
        np.testing.assert_array_equal(image.get_array(), kernel[..., 0])
        dark, light = (image.cmap(image.norm(edge))[0] for edge in (kernel.max(), kernel.min()))
        assert dark < light
