"""Opacus's table for MNIST: accuracy under differential privacy, and epsilon by two accountants."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from bpframe_plugins.privacy import epsilon_by_pld
from matplotlib.figure import Figure
from reproduction import curves
from reproduction.rules import Between, Within
from reproduction.runs import Run, Runs
from reproduction.study import NotRun, Row, Study

from bpframe.errors import ConfigError

ACCURACY = "accuracy.test"
SOURCE, ACCOUNTANT = "Opacus", "dp-accounting 0.6.0"
COMMAND = "bpframe +experiment=privacy privacy="
FEWER = (
    "The mean of 200 has a fifth more noise than the source's of 240; with 240 (and an epsilon of "
    "1.02) two seeds have 94.23 and 94.42 %."
)
OLDER = "Opacus turns divergences into epsilon by an older formula, which gives more."


class Published(NamedTuple):
    """A row of the table.

    Attributes:
        config: of conf/privacy.
        sigma: its noise multiplier; None for none.
        accuracy: in percent, the mean of ten runs.
        printed: the table's epsilon at delta = 1e-5.
        rdp: that of an accountant of our day by Renyi divergences.
        pld: the same by privacy loss distributions.

    """

    config: str
    sigma: float | None
    accuracy: float
    printed: float = 0.0
    rdp: float = 0.0
    pld: float = 0.0

    @property
    def title(self) -> str:
        return "without privacy" if self.sigma is None else f"noise multiplier {self.sigma:g}"


TABLE = (
    Published("without", None, 98.94),
    Published("sigma_0.7", 0.7, 97.09, 6.86, 6.094, 5.431),
    Published("sigma_1.1", 1.1, 96.78, 2.91, 2.503, 2.295),
    Published("sigma_1.3", 1.3, 94.63, 1.16, 0.922, 0.834),
)


def sigma(run: Run) -> float | None:
    return run.config["aggregation"].get("noise_multiplier")


def of(published: Published, runs: Runs) -> Runs:
    """The runs of a row of the table; there may be none."""
    return Runs(run for run in runs if sigma(run) == published.sigma)


def rows(runs: Runs, quick: bool) -> list[Row | NotRun]:
    """Of each row of the table the accuracy and, if it is private, epsilon three times."""
    found: list[Row | NotRun] = []
    for published in TABLE:
        own = of(published, runs)
        if own:
            found += _rows(published, own, quick)
        elif not quick:
            found.append(NotRun(f"{published.title}: test accuracy", COMMAND + published.config,
                                published.accuracy, "%", source=SOURCE))  # fmt: skip
    return found


def _rows(published: Published, own: Runs, quick: bool) -> list[Row | NotRun]:
    accuracy = tuple(100 * float(run.columns[ACCURACY][-1]) for run in own)
    rule = Between(5, 100) if quick else Within(published.accuracy, 0.5)
    found: list[Row | NotRun] = [
        Row(f"{published.title}: test accuracy", accuracy, rule, published.accuracy, "%",
            source=SOURCE, reason=FEWER)
    ]  # fmt: skip
    if published.sigma is None or quick:
        return found
    told = own[0].summary["privacy"]
    epsilon = f"{published.title}: epsilon by Renyi divergences"
    found += [
        Row(epsilon, (told["epsilon"],), Within(published.rdp, 0.01 * published.rdp),
            published.rdp, digits=3, source=ACCOUNTANT),
        Row(epsilon, (told["epsilon"],), Between(0, published.printed), published.printed,
            digits=3, source=f"{SOURCE}, printed", reason=OLDER),
    ]  # fmt: skip
    by_pld = f"{published.title}: epsilon by privacy loss distributions"
    given = told["sampling_rate"], published.sigma, told["steps"], told["delta"]
    try:
        found.append(Row(by_pld, (epsilon_by_pld(*given),),
                         Within(published.pld, 0.01 * published.pld), published.pld, digits=3,
                         source=ACCOUNTANT))  # fmt: skip
    except ConfigError:
        found.append(NotRun(by_pld, "pip install 'bpframe[privacy]'", published.pld, digits=3,
                            source=ACCOUNTANT))  # fmt: skip
    return found


def draw(runs: Runs, figure: Figure) -> None:
    """Test accuracy over the epochs, with what is published at the last."""
    axes = figure.subplots()
    for look, published in enumerate(TABLE):
        if not (own := of(published, runs)):
            continue
        values = np.stack([100 * run.columns[ACCURACY] for run in own])
        label = published.title
        if published.sigma is not None:
            label += rf", $\varepsilon$ = {own[0].summary['privacy']['epsilon']:.2f}"
        curves.band(axes, own[0].epoch, values, label=label, look=look)
        curves.published(axes, own[0].epoch[-1], published.accuracy, "published", look=look)
    axes.set_ylim(85, 100)
    curves.tidy(axes, y="test accuracy, %")


STUDY = Study(
    name="privacy",
    place=20,
    title="Differential privacy: the table of Opacus's example",
    rows=rows,
    draw=draw,
    question="How accurate is a network that learns under differential privacy?",
    shows="The smaller epsilon, the lower the accuracy (shade: range over seeds)",
    figsize=(8, 4.8),
    quick=("privacy=without,sigma_1.3", "seed=1", "data.train_size=1000", "training.epochs=1",
           "training.evaluate_every=1"),
)  # fmt: skip
