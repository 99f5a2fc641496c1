"""A handful of examples written in the config."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from bpframe import (
    Classification,
    ConfigError,
    Data,
    Dataset,
    Examples,
    MultiLabel,
    Regression,
    Shape,
    hyperparameter,
)

_TASKS = MappingProxyType(
    {"classification": Classification(), "multi_label": MultiLabel(), "regression": Regression()}
)


class Inline(Dataset):
    """The examples x with their targets y, row by row; they are training, validation and test set.

    The default is the one example of the learning slowdown: x = 1, y = 0.
    Source: Nielsen (2015), chapter 3, the cross-entropy cost function.

    Attributes:
        x: a row of inputs for each example.
        y: a row of targets for each example.
        task: what an answer is; unset, it is worked out from y: classes where y looks like it,
            else regression.

    """

    x: tuple[tuple[float, ...], ...] = ((1.0,),)
    y: tuple[tuple[float, ...], ...] = ((0.0,),)
    task: str | None = hyperparameter(default=None, choices=tuple(_TASKS))

    disjoint = False
    examples = ({"x": ((0.0, 1.0), (1.0, 0.5)), "y": ((1.0,), (0.0,))},)

    @property
    def shape(self) -> Shape:
        """The length of the first row of x."""
        return (len(self.x[0]) if self.x else 0,)

    @property
    def n_out(self) -> int:
        """The length of the first row of y."""
        return len(self.y[0]) if self.y else 0

    def load(self) -> Data:
        """The examples, three times; see `Dataset.load`.

        Raises:
            ConfigError: there are none, x and y differ in length, or rows do.

        """
        for name, rows in (("x", self.x), ("y", self.y)):
            if not rows or not rows[0] or len(set(map(len, rows))) > 1:
                raise ConfigError(
                    f"data.{name}: {_shown(rows)} has no rows of one length; write a row for each "
                    f"example, such as data.{name}=[[0,1],[1,1]]"
                )
        if len(self.x) != len(self.y):
            raise ConfigError(
                f"data.y: has {len(self.y)} rows, and data.x has {len(self.x)}; give a row of each "
                "for every example"
            )
        task = None if self.task is None else _TASKS[self.task]
        examples = Examples(np.array(self.x), np.array(self.y), n_out=self.n_out, task=task)
        return Data(train=examples, validation=examples, test=examples)


def _shown(rows: tuple[tuple[float, ...], ...]) -> str:
    return str([list(row) for row in rows])
