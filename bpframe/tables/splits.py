"""Dividing examples into training, validation and test set, by chance and in every class alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bpframe.errors import ConfigError, DataError


class Shares(NamedTuple):
    """How examples are divided.

    Attributes:
        validation: the share of the validation set; None where it is given.
        test: that of the test set, likewise; the rest is for training.
        seed: of the draw; the same examples are divided the same way by the same seed.

    """

    validation: float | None = 0.15
    test: float | None = 0.15
    seed: int = 0

    def check(self) -> None:
        """Raise a ConfigError unless something is left for each split."""
        for name in ("validation", "test"):
            share = getattr(self, name)
            if share is not None and not 0 < share < 1:
                raise ConfigError(f"data.{name}: {share!r} is out of range; allowed: > 0 and < 1")
        if (self.validation or 0) + (self.test or 0) >= 1:
            raise ConfigError(
                f"data.validation and data.test: {self.validation} and {self.test} leave nothing "
                "for training; let their sum be below 1"
            )


SHARES = Shares()


def divided(y: np.ndarray, shares: Shares) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of the training, validation and test set, in random order.

    Class labels (n,) are divided class by class, so that every split has them in the same shares;
    a class goes into training first. Targets (n, n_out) are divided as a whole.

    Raises:
        ConfigError: the shares leave no room.
        DataError: there are too few examples.

    """
    shares.check()
    n = len(y)
    if n < 3:
        raise DataError(f"data: {n} examples cannot be divided into three sets; give at least 3")
    generator = np.random.default_rng(shares.seed)
    order = generator.permutation(n)
    groups = [order] if y.ndim == 2 else [order[y[order] == label] for label in np.unique(y)]
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    owed = np.zeros(2)
    for group in groups:
        owed += len(group) * np.array([shares.validation or 0, shares.test or 0])
        least = max(len(group) - 1, 0)  # one stays for training
        validation = min(round(owed[0]), least)
        test = min(round(owed[1]), least - validation)
        owed -= validation, test
        cuts = np.cumsum([test, validation])
        for part, rows in zip(parts, reversed(np.split(group, cuts)), strict=True):
            part.append(rows)
    train, validation, test = (generator.permutation(np.concatenate(part)) for part in parts)
    for name, rows in (("validation", validation), ("test", test)):
        if not len(rows) and getattr(shares, name) is not None:
            alone = sum(len(group) == 1 for group in groups)
            why = (
                f", since {alone} classes have one alone, which is trained on" if alone > 1 else ""
            )
            raise DataError(
                f"data: of {n} examples none is left for the {name} set{why}; give more, or a "
                f"larger data.{name}"
            )
    return train, validation, test
