"""MNIST and Fashion-MNIST: 28x28 grey images in ten classes, read from their original files."""

from __future__ import annotations

import dataclasses
import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import platformdirs

from bpframe import Classification, Data, DataError, Dataset, Examples, Shape
from bpframe_plugins.datasets.download import download
from bpframe_plugins.datasets.idx import corrupt, read_idx

_SIDE = 28
_CLASSES = 10
_N_TRAIN_FILE = 60_000
_N_TEST_FILE = 10_000
_N_TRAIN = 50_000


class Archive(NamedTuple):
    """How the files of a data set are published.

    `folder` is their folder below the data folder, `torchvision` the one that torchvision keeps
    them in, and `md5` gives the checksum of each NAME.gz by NAME.
    """

    folder: str
    torchvision: str
    md5: Mapping[str, str]


class _IdxImages(Dataset):
    """Images in four IDX files: x (n, 784) bytes with scale 1/256, y (n,) labels 0..9.

    The book's files hold grey values from 0 to 255/256, so that is the scale here too; other
    programs divide by 255. The split is the book's: the first 50,000 images of the training file
    are for training, the last 10,000 for validation, and the test file for testing.
    Source: Nielsen (2015), chapters 1 and 3.

    Attributes:
        root: the folder with the files, each as NAME.gz or NAME, directly or in torchvision's
            layout. If not set, it is the data set's folder in $BPFRAME_DATA_DIR or, where that is
            not set either, in the user's cache.
        download: whether to fetch missing files into that folder.
        mirrors: addresses of the folders to fetch from, tried in turn.
        expand: whether to train on each image and on its four shifts by a pixel, as in chapter 6
            of the book. `train_size` counts images before they are shifted.

    """

    root: str | None = None
    download: bool = False
    mirrors: tuple[str, ...] = ()
    expand: bool = False

    @property
    @abstractmethod
    def archive(self) -> Archive:
        """How the files are published."""

    @property
    def shape(self) -> Shape:
        """(28, 28, 1)."""
        return (_SIDE, _SIDE, 1)

    @property
    def n_out(self) -> int:
        """10."""
        return _CLASSES

    def load(self) -> Data:
        """50,000 training, 10,000 validation and 10,000 test images.

        Raises:
            DataError: a file is missing, cannot be downloaded or is not the original.

        """
        x, y = self._read("train", _N_TRAIN_FILE)
        test_x, test_y = self._read("t10k", _N_TEST_FILE)
        return Data(
            train=_examples(x[:_N_TRAIN], y[:_N_TRAIN]),
            validation=_examples(x[_N_TRAIN:], y[_N_TRAIN:]),
            test=_examples(test_x, test_y),
        )

    @property
    def expansion(self) -> int:
        """5 with `expand`: an image and its shifts."""
        return 5 if self.expand else 1

    def expanded(self, train: Examples) -> Examples:
        """With `expand`, each image followed by its shifts down, up, right and left.

        That is the order of the book's `expand_mnist.py` before it shuffles. Vacated pixels are 0.
        """
        if not self.expand:
            return train
        x = np.zeros((len(train), self.expansion, *train.shape), train.x.dtype)
        x[:, 0] = train.x
        x[:, 1, 1:] = train.x[:, :-1]
        x[:, 2, :-1] = train.x[:, 1:]
        x[:, 3, :, 1:] = train.x[:, :, :-1]
        x[:, 4, :, :-1] = train.x[:, :, 1:]
        y = np.repeat(train.y, self.expansion, axis=0)
        return dataclasses.replace(train, x=x.reshape(-1, *train.shape), y=y)

    def _read(self, part: str, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, 28, 28, 1) and labels (n,) of one part, both checked."""
        images_path = self._path(f"{part}-images-idx3-ubyte")
        labels_path = self._path(f"{part}-labels-idx1-ubyte")
        y = read_idx(labels_path, 1)
        if len(y) != n:
            raise corrupt(labels_path, f"{n} labels", f"{len(y)}")
        if y.max() >= _CLASSES:
            raise corrupt(labels_path, f"labels from 0 to {_CLASSES - 1}", f"label {y.max()}")
        x = read_idx(images_path, 3)
        if x.shape[1:] != (_SIDE, _SIDE):
            size = f"{x.shape[1]}x{x.shape[2]}"
            raise corrupt(images_path, f"images of {_SIDE}x{_SIDE} pixels", size)
        if len(x) != n:
            raise corrupt(images_path, f"{n} images, one for each label", f"{len(x)}")
        return x[..., None], y

    def _path(self, name: str) -> Path:
        """Where the file stands, after a download if need be."""
        folder = self._folder()
        folders = (folder, folder / self.archive.torchvision / "raw")
        for path in (place / f"{name}{end}" for place in folders for end in (".gz", "")):
            if os.path.isfile(path):  # unlike Path.is_file, silent about a closed folder
                return path
        if self.download:
            return download(f"{name}.gz", self.archive.md5[name], self.mirrors, folder)
        raise DataError(
            f"{name}.gz is missing; looked in {' and '.join(map(str, folders))}; set "
            "data.root=FOLDER or BPFRAME_DATA_DIR (with the files in its folder "
            f"{self.archive.folder}), or data.download=true"
        )

    def _folder(self) -> Path:
        if self.root is not None:
            return Path(self.root).expanduser()
        base = os.environ.get("BPFRAME_DATA_DIR")
        if base:
            return Path(base).expanduser() / self.archive.folder
        return platformdirs.user_cache_path("bpframe") / self.archive.folder


def _examples(x: np.ndarray, y: np.ndarray) -> Examples:
    return Examples(x, y, n_out=_CLASSES, scale=1 / 256, task=Classification())


_MNIST = Archive(
    "mnist",
    "MNIST",
    MappingProxyType(
        {
            "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
        }
    ),
)

_FASHION_MNIST = Archive(
    "fashion_mnist",
    "FashionMNIST",
    MappingProxyType(
        {
            "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
        }
    ),
)


class Mnist(_IdxImages):
    """Handwritten digits, 28x28. Source: LeCun, Cortes and Burges (1998); LeCun et al. (1998)."""

    mirrors: tuple[str, ...] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    )

    @property
    def archive(self) -> Archive:
        """The four files of the MNIST database."""
        return _MNIST


class FashionMnist(_IdxImages):
    """Articles of clothing, 28x28, in the format of MNIST. Source: Xiao, Rasul, Vollgraf (2017)."""

    mirrors: tuple[str, ...] = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)

    @property
    def archive(self) -> Archive:
        """The four files of Fashion-MNIST, named like those of MNIST."""
        return _FASHION_MNIST
