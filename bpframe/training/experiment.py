"""An experiment: every part of a training run, assembled and checked."""

from __future__ import annotations

import dataclasses
import html
import math

from bpframe.component import Component, hyperparameter
from bpframe.contracts import (
    Dataset,
    InitialCondition,
    Initialiser,
    OutputPair,
    Regulariser,
)
from bpframe.learning import Aggregation, LearningRule, Optimiser, SamplingPlan
from bpframe.metrics import Monitor
from bpframe.network import Network
from bpframe.recorders import NamedRecorder
from bpframe.schedules import Schedule, Stopping
from bpframe.training.best import Criterion

DTYPES = ("float32", "float64", "bfloat16")
DEVICES = ("auto", "cpu", "gpu", "tpu")
SHUFFLED, POISSON = SAMPLINGS = ("shuffled", "poisson")
ALL = "all"
(PARAMS,) = SHARDS = ("params",)


RECORD_LIMIT = 256
"""MiB that are recorded of a run at most, unless more is allowed."""

LONGEST = 200
"""Characters of a part that are shown in a notebook."""


def _shown(part: object) -> str:
    text = "-".join(map(str, part.sizes)) if isinstance(part, Network) else repr(part)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


class Training(Component):
    """How long, in which portions and how precisely to train.

    With `bfloat16`, products and activations are computed in bfloat16 while sums over examples,
    parameters and optimiser state stay in float32. `device` is where to compute; "auto" leaves
    the choice to JAX, which prefers a TPU or a GPU to the CPU. With `shared_order` the order of
    the examples is that of seed 0 whatever the seed, so that the runs of a sweep see the same.

    Without a `batch_size` a mini-batch is the whole training set: full-batch gradient descent.
    With `evaluate_train` the whole training set is evaluated as well, after the epoch.
    A run is evaluated, recorded and steered every `evaluate_every` epochs, and after the last;
    with `evaluate_start` it is evaluated and recorded before the first as well, as epoch 0.
    Without `shuffle` every epoch sees the examples in the order of the data set.
    With `sampling=poisson` every example enters every mini-batch with the probability
    batch_size / n, whatever is in the others: mini-batches have batch_size examples on average, an
    example may come several times in an epoch or never, and the training set is evaluated after it.
    With several `devices`, a number or "all", each computes its share of every mini-batch; with
    `shard=params` they share the large arrays of the state as well; see `parallel`. With several
    `hosts`, a number or "all" of those that Slurm has begun, each has so many devices; see `hosts`.
    """

    epochs: int = hyperparameter(default=30, ge=1)
    batch_size: int | None = hyperparameter(default=10, ge=1)
    dtype: str = hyperparameter(default="float32", choices=DTYPES)
    evaluate_train: bool = False
    evaluate_every: int = hyperparameter(default=1, ge=1)
    evaluate_start: bool = False
    device: str = hyperparameter(default="auto", choices=DEVICES)
    devices: int | str = hyperparameter(default=1, ge=1)
    hosts: int | str = hyperparameter(default=1, ge=1)
    shard: str | None = hyperparameter(default=None, choices=SHARDS)
    shuffle: bool = True
    sampling: str = hyperparameter(default=SHUFFLED, choices=SAMPLINGS)
    shared_order: bool = False

    def m(self, n: int) -> int:
        """The size of a mini-batch, of n training examples."""
        return n if self.batch_size is None else self.batch_size

    def steps(self, n: int) -> int:
        """The steps of an epoch."""
        return -(-n // self.m(n))

    def rows(self, n: int) -> int:
        """The most examples of a mini-batch: m, and more where it is a Poisson sample.

        A sample is larger with a probability below 1e-12, by Bernstein's inequality.
        """
        m = self.m(n)
        if self.sampling == SHUFFLED:
            return m
        surprise = math.log(1e12)
        return min(n, math.ceil(m + surprise / 3 + math.sqrt(surprise**2 / 9 + 2 * m * surprise)))

    def order_length(self, n: int) -> int:
        """The entries of the order of an epoch."""
        return n if self.sampling == SHUFFLED else self.steps(n) * self.rows(n)

    def next_evaluated(self, epoch: int) -> int:
        """The first epoch after this one that is evaluated."""
        return min((epoch // self.evaluate_every + 1) * self.evaluate_every, self.epochs)


class Experiment(Component):
    """All parts of a run. Floats inside are pytree leaves, the rest is structure.

    `best` says which parameters are kept beside the last, `record_limit` how many MiB the
    recorders may keep of a run.
    """

    data: Dataset
    network: Network
    cost: OutputPair
    optimiser: Optimiser
    initialiser: Initialiser | InitialCondition
    regulariser: Regulariser
    learning_rule: LearningRule
    aggregation: Aggregation
    schedule: Schedule
    stopping: Stopping
    metrics: tuple[Monitor, ...]
    training: Training
    seed: int = hyperparameter(default=0, ge=0, lt=2**31, leaf=True)
    best: Criterion = Criterion()
    recorders: tuple[NamedRecorder, ...] = ()
    record_limit: int = hyperparameter(default=RECORD_LIMIT, ge=1)

    def _repr_html_(self) -> str:
        rows = [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
        cells = "".join(
            f"<tr><td>{name}</td><td>{html.escape(_shown(part))}</td></tr>" for name, part in rows
        )
        return f"<table>{cells}</table>"

    def plan(self, n: int, epochs: int) -> SamplingPlan:
        """How n training examples are sampled in so many epochs."""
        training = self.training
        steps = epochs * training.steps(n)
        return SamplingPlan(n, training.m(n), steps, training.sampling == POISSON)

    def fitted(self, n: int) -> Experiment:
        """The experiment with what depends on how n training examples are sampled.

        Raises:
            ConfigError: there is no such thing, such as noise for so small an epsilon.

        """
        aggregation = self.aggregation.fitted(self.plan(n, self.training.epochs))
        return dataclasses.replace(self, aggregation=aggregation)
