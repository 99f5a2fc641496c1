"""XOR, the smallest problem that needs a hidden layer."""

from __future__ import annotations

import numpy as np

from bpframe import Classification, Data, Dataset, Examples, Shape


class Xor(Dataset):
    """Exclusive or: x (4, 2) and targets y (4, 1), both of zeros and ones.

    Training, validation and test set are the same four patterns: there are no others, so the
    question is whether a network can represent and learn the function, not whether it generalises.
    Source: Minsky and Papert (1969), Perceptrons; learned by backpropagation in Rumelhart, Hinton
    and Williams (1986), Learning internal representations by error propagation.
    """

    disjoint = False

    @property
    def shape(self) -> Shape:
        """(2,)."""
        return (2,)

    @property
    def n_out(self) -> int:
        """1."""
        return 1

    def load(self) -> Data:
        """The four patterns, three times; see `Dataset.load`."""
        x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
        y = np.array([[0], [1], [1], [0]], np.float32)
        examples = Examples(x, y, n_out=self.n_out, task=Classification())
        return Data(train=examples, validation=examples, test=examples)
