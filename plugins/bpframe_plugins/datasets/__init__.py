"""Data sets: MNIST and Fashion-MNIST, digits and XOR built in, one's own files, or inline."""

from __future__ import annotations

from bpframe import Dataset, hookimpl
from bpframe_plugins.datasets.digits import Digits
from bpframe_plugins.datasets.inline import Inline
from bpframe_plugins.datasets.mnist import FashionMnist, Mnist
from bpframe_plugins.datasets.shards import Shards
from bpframe_plugins.datasets.tables import Csv, Npz, Parquet
from bpframe_plugins.datasets.xor import Xor

BPFRAME_API_VERSION = 2


@hookimpl
def bpframe_datasets() -> dict[str, type[Dataset]]:
    """The data sets by name."""
    return {
        "digits": Digits,
        "mnist": Mnist,
        "fashion_mnist": FashionMnist,
        "xor": Xor,
        "inline": Inline,
        "csv": Csv,
        "npz": Npz,
        "parquet": Parquet,
        "shards": Shards,
    }
