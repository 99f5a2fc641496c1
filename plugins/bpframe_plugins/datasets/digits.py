"""Handwritten digits, 8x8: small enough to come with the package."""

from __future__ import annotations

from importlib import resources

import numpy as np

from bpframe import Classification, Data, Dataset, Examples, Shape

_ENDS = (1197, 1497)
"""The rows at which the training and the validation set end."""


class Digits(Dataset):
    """Handwritten digits, 8x8: x (n, 8, 8, 1) bytes 0..16 with scale 1/16, y (n,) labels 0..9.

    Each value counts the pixels that are set in a 4x4 block of a 32x32 bitmap. The 1,797 images
    are the test portion of the original, in a random order that was fixed once: 1,197 are for
    training, 300 for validation, 300 for testing.
    Source: Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository. It departs from its source in the split: there, all of these images
    come from other writers than the 3,823 training images, which are not used here.
    """

    @property
    def shape(self) -> Shape:
        """(8, 8, 1)."""
        return (8, 8, 1)

    @property
    def n_out(self) -> int:
        """10."""
        return 10

    def load(self) -> Data:
        """1,197 training, 300 validation and 300 test images; see `Dataset.load`."""
        file = resources.files("bpframe_plugins.datasets") / "data" / "digits.npz"
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
        x = x.reshape(-1, *self.shape)
        parts = zip(np.split(x, _ENDS), np.split(y, _ENDS), strict=True)
        return Data(
            *(
                Examples(x, y, n_out=self.n_out, scale=1 / 16, task=Classification())
                for x, y in parts
            )
        )
