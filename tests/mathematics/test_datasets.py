"""The data sets: sizes and splits, every way a file can be wrong, and the downloads."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jax
import numpy as np
import platformdirs
import pytest
from bpframe_plugins.datasets import Digits, FashionMnist, Mnist, Xor, bpframe_datasets
from bpframe_plugins.datasets import mnist as mnist_module
from bpframe_plugins.datasets.idx import read_idx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bpframe import Data, DataError, Examples

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
COUNTS = {TRAIN_IMAGES: 60_000, TRAIN_LABELS: 60_000, TEST_IMAGES: 10_000, TEST_LABELS: 10_000}


def idx(array: np.ndarray, element_type: int = 0x08) -> bytes:
    """An IDX file, written from the format's description and not with the code under test."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, element_type, array.ndim, *array.shape)
    return header + array.tobytes()


def images(n: int, rows: int = 28, columns: int = 28) -> np.ndarray:
    """Images whose first two pixels count them, and whose last is 255."""
    x = np.zeros((n, rows * columns), np.uint8)
    x[:, 0], x[:, 1], x[:, -1] = np.arange(n) // 256, np.arange(n) % 256, 255
    return x.reshape(n, rows, columns)


def labels(n: int) -> np.ndarray:
    return (np.arange(n) % 10).astype(np.uint8)


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=1, mtime=0)


def refused(action: Callable[[], object]) -> str:
    """The message of the DataError that `action` raises, after a check that it is one line."""
    with pytest.raises(DataError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four files of the right sizes, each as NAME and as NAME.gz."""
    folder = tmp_path_factory.mktemp("made")
    for name, n in COUNTS.items():
        content = idx(images(n) if "images" in name else labels(n))
        (folder / name).write_bytes(content)
        (folder / f"{name}.gz").write_bytes(zipped(content))
    return folder


def link(made: Path, folder: Path, end: str = ".gz") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in COUNTS:
        (folder / f"{name}{end}").symlink_to(made / f"{name}{end}")


def check_made(data: Data) -> None:
    """`data` is what `made` holds, split as the book splits it."""
    assert [len(part) for part in data] == [50_000, 10_000, 10_000]
    for part, start in zip(data, (0, 50_000, 0), strict=True):
        x = part.x.reshape(len(part), -1)
        number = x[:, 0].astype(int) * 256 + x[:, 1]
        np.testing.assert_array_equal(number, start + np.arange(len(part)))
        np.testing.assert_array_equal(part.y, (start + np.arange(len(part))) % 10)
        assert (part.x.dtype, part.scale, part.n_out) == (np.uint8, 1 / 256, 10)
        assert part.shape == (28, 28, 1)


# The real files


@pytest.fixture(scope="session")
def real_mnist(data_dir: Path) -> Data:
    return Mnist(root=str(data_dir / "mnist")).load()


def test_real_mnist_holds_the_bytes_of_the_original_files(real_mnist: Data) -> None:
    train, validation, test = real_mnist
    x, y = np.concatenate([train.x, validation.x]), np.concatenate([train.y, validation.y])
    found = [
        hashlib.md5(idx(array)).hexdigest()
        for array in (x.reshape(-1, 28, 28), y, test.x.reshape(-1, 28, 28), test.y)
    ]
    assert found == [
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ]


def test_real_mnist_has_the_books_split(real_mnist: Data) -> None:
    train, validation, test = real_mnist
    assert [part.x.shape for part in real_mnist] == [
        (n, 28, 28, 1) for n in (50_000, 10_000, 10_000)
    ]
    assert train.y[:5].tolist() == [5, 0, 4, 1, 9]
    both = np.bincount(train.y) + np.bincount(validation.y)
    assert both.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert {(part.x.dtype.name, part.scale) for part in real_mnist} == {("uint8", 1 / 256)}
    assert (train.x.min(), train.x.max()) == (0, 255)


# Where the files are looked for


@pytest.mark.parametrize("end", [".gz", ""], ids=["gz", "plain"])
@pytest.mark.parametrize(
    ("dataset", "layout"),
    [(Mnist, "."), (Mnist, "MNIST/raw"), (FashionMnist, "."), (FashionMnist, "FashionMNIST/raw")],
)
def test_root_in_either_layout(
    dataset: type[Mnist | FashionMnist], layout: str, end: str, made: Path, tmp_path: Path
) -> None:
    link(made, tmp_path / layout, end)
    check_made(dataset(root=str(tmp_path)).load())


@pytest.mark.parametrize(("dataset", "name"), [(Mnist, "mnist"), (FashionMnist, "fashion_mnist")])
def test_folder_without_root(
    dataset: type[Mnist | FashionMnist],
    name: str,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("BPFRAME_DATA_DIR", str(tmp_path / "data"))
    assert f"looked in {tmp_path / 'data' / name} and" in refused(dataset().load)
    link(made, tmp_path / "data" / name)
    check_made(dataset().load())
    assert f"looked in {tmp_path} and" in refused(dataset(root=str(tmp_path)).load)
    monkeypatch.setenv("BPFRAME_DATA_DIR", "")
    assert f"looked in {tmp_path / 'cache' / 'bpframe' / name} and" in refused(dataset().load)
    monkeypatch.delenv("BPFRAME_DATA_DIR")
    assert f"looked in {tmp_path / 'cache' / 'bpframe' / name} and" in refused(dataset().load)
    link(made, tmp_path / "cache" / "bpframe" / name)
    check_made(dataset().load())


def test_missing_file_names_the_file_the_folders_and_the_fix(made: Path, tmp_path: Path) -> None:
    link(made, tmp_path)
    (tmp_path / f"{TEST_LABELS}.gz").unlink()
    message = refused(Mnist(root=str(tmp_path)).load)
    assert message.startswith(f"{TEST_LABELS}.gz is missing")
    assert f"{tmp_path} and {tmp_path / 'MNIST' / 'raw'};" in message
    for fix in ("data.root=", "BPFRAME_DATA_DIR", "data.download=true"):
        assert fix in message


def test_sizes_are_known_without_the_files(tmp_path: Path) -> None:
    for dataset in (Mnist, FashionMnist):
        missing = dataset(root=str(tmp_path / "none"))
        assert (missing.shape, missing.n_out) == ((28, 28, 1), 10)


# What is wrong with a file

HTML = b"<html>no such page</html>"
BAD_LABELS = np.where(np.arange(60_000) == 7, 10, labels(60_000)).astype(np.uint8)
ZIPPED_LABELS = zipped(idx(labels(60_000)))
CORRUPTIONS = {
    "truncated gzip": (f"{TRAIN_LABELS}.gz", ZIPPED_LABELS[:-9], ["complete gzip", "its end"]),
    "damaged gzip": (
        f"{TRAIN_LABELS}.gz",
        ZIPPED_LABELS[:-8] + bytes(4) + ZIPPED_LABELS[-4:],
        ["intact gzip data", "damage (CRC check failed"],
    ),
    "bytes after the gzip data": (
        f"{TRAIN_LABELS}.gz",
        ZIPPED_LABELS + b"more",
        ["intact gzip data", "damage ("],
    ),
    "not gzip": (f"{TRAIN_LABELS}.gz", HTML, ["gzip data (1f 8b)", "3c 68 at the start"]),
    "gzip without .gz": (TRAIN_LABELS, ZIPPED_LABELS, ["1f 8b", "does not end in .gz"]),
    "empty gz": (f"{TRAIN_IMAGES}.gz", b"", ["an IDX file", "an empty file"]),
    "empty plain": (TRAIN_IMAGES, b"", ["an IDX file", "an empty file"]),
    "nothing inside": (f"{TRAIN_IMAGES}.gz", zipped(b""), ["the magic number", "found nothing"]),
    "labels for images": (
        f"{TRAIN_IMAGES}.gz",
        ZIPPED_LABELS,
        ["magic number 00 00 08 03 (images)", "found 00 00 08 01 (labels)"],
    ),
    "images for labels": (
        TEST_LABELS,
        idx(images(3)),
        ["magic number 00 00 08 01 (labels)", "found 00 00 08 03 (images)"],
    ),
    "two axes": (TEST_LABELS, idx(np.zeros((2, 3), np.uint8)), ["found 00 00 08 02 (2 axes)"]),
    "floats": (
        TEST_IMAGES,
        idx(images(3), element_type=0x0D),
        ["found 00 00 0d 03", "elements of type 0x0d, not unsigned bytes"],
    ),
    "another format": (TEST_IMAGES, HTML, ["magic number", "found 3c 68 74 6d"]),
    "header cut": (TEST_IMAGES, idx(images(3))[:10], ["a header of 16 bytes", "only 10"]),
    "shorter than its header": (
        f"{TEST_LABELS}.gz",
        zipped(idx(labels(10_000))[:-1]),
        ["10008 bytes", "10000 elements", "found 10007 bytes"],
    ),
    "trailing bytes": (
        TEST_IMAGES,
        idx(images(3)) + b"x",
        ["2368 bytes", "3 x 28 x 28 elements", "found more"],
    ),
    "fewer images": (
        f"{TRAIN_IMAGES}.gz",
        zipped(idx(images(59_999))),
        ["60000 images, one for each label", "found 59999"],
    ),
    "fewer labels": (TRAIN_LABELS, idx(labels(59_999)), ["60000 labels", "found 59999"]),
    "no labels": (TRAIN_LABELS, idx(labels(0)), ["60000 labels", "found 0"]),
    "test set for training": (TRAIN_LABELS, idx(labels(10_000)), ["60000 labels", "found 10000"]),
    "other image size": (
        TEST_IMAGES,
        idx(images(10_000, 27, 28)),
        ["images of 28x28 pixels", "27x28"],
    ),
    "labels out of range": (TRAIN_LABELS, idx(BAD_LABELS), ["labels from 0 to 9", "label 10"]),
}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corrupt_file_is_refused_in_one_line(kind: str, made: Path, tmp_path: Path) -> None:
    name, content, parts = CORRUPTIONS[kind]
    link(made, tmp_path)
    (tmp_path / f"{name.removesuffix('.gz')}.gz").unlink()
    (tmp_path / name).write_bytes(content)
    message = refused(Mnist(root=str(tmp_path)).load)
    assert message.startswith(f"{tmp_path / name}: expected ")
    assert "found" in message
    assert "put the original file in its place" in message
    for part in parts:
        assert part in message


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    assert "expected a readable file" in refused(lambda: read_idx(tmp_path, 1))


arrays = npst.arrays(np.uint8, npst.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6))


@given(array=arrays, end=st.sampled_from([".gz", ""]))
def test_idx_round_trip(
    array: np.ndarray, end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"round-trip{end}"
    path.write_bytes(zipped(idx(array)) if end else idx(array))
    found = read_idx(path, array.ndim)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array, strict=True)


@given(array=arrays, end=st.sampled_from([".gz", ""]), data=st.data())
def test_every_truncation_is_refused(
    array: np.ndarray, end: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"truncated{end}"
    content = zipped(idx(array)) if end else idx(array)
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    refused(lambda: read_idx(path, array.ndim))


@pytest.mark.parametrize("end", [".gz", ""], ids=["gz", "plain"])
def test_all_truncations_of_one_file_are_refused(end: str, tmp_path: Path) -> None:
    content = zipped(idx(images(2, 3, 4))) if end else idx(images(2, 3, 4))
    path = tmp_path / f"small{end}"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        refused(lambda: read_idx(path, 3))


# Downloads


class Mirror:
    """A server on this machine: what it serves by path, and what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                if self.path not in mirror.files:
                    self.send_error(404)
                    return
                content = mirror.files[self.path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2 if self.path in mirror.cut else None])

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def mirror(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server with the files of `made` in /good, whose checksums Mnist and FashionMnist expect."""
    mirror = Mirror()
    served = {name: (made / f"{name}.gz").read_bytes() for name in COUNTS}
    mirror.files = {f"/good/{name}.gz": content for name, content in served.items()}
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in served.items()}
    for archive in ("_MNIST", "_FASHION_MNIST"):
        real = getattr(mnist_module, archive)
        monkeypatch.setattr(mnist_module, archive, real._replace(md5=md5))
    thread = threading.Thread(target=mirror.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield mirror
    mirror.server.shutdown()
    thread.join()
    mirror.server.server_close()


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("dataset", [Mnist, FashionMnist])
def test_download_once(
    dataset: type[Mnist | FashionMnist],
    mirror: Mirror,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = dataset(root=str(tmp_path / "new"), download=True, mirrors=(f"{mirror.url}/good/",))
    check_made(data.load())
    assert files_in(tmp_path) == sorted(f"new/{name}.gz" for name in COUNTS)
    assert sorted(mirror.asked) == sorted(mirror.files)
    check_made(data.load())
    assert len(mirror.asked) == 4
    assert capfd.readouterr() == ("", "")


def test_only_missing_files_are_downloaded(mirror: Mirror, made: Path, tmp_path: Path) -> None:
    link(made, tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / f"{TEST_LABELS}.gz").unlink()
    check_made(Mnist(root=str(tmp_path), download=True, mirrors=(f"{mirror.url}/good",)).load())
    assert mirror.asked == [f"/good/{TEST_LABELS}.gz"]


@pytest.mark.parametrize("fault", ["404", "wrong bytes", "cut short", "no server", "no address"])
def test_failing_mirror_is_passed_over(fault: str, mirror: Mirror, tmp_path: Path) -> None:
    wrong = {path.replace("good", "bad"): content for path, content in mirror.files.items()}
    if fault == "wrong bytes":
        mirror.files |= dict.fromkeys(wrong, HTML)
    elif fault == "cut short":
        mirror.files |= wrong
        mirror.cut |= set(wrong)
    addresses = {"no server": "http://127.0.0.1:1", "no address": "nowhere"}
    first = addresses.get(fault, f"{mirror.url}/bad/")
    data = Mnist(root=str(tmp_path), download=True, mirrors=(first, f"{mirror.url}/good/"))
    check_made(data.load())
    assert files_in(tmp_path) == sorted(f"{name}.gz" for name in COUNTS)


def test_all_mirrors_fail(mirror: Mirror, tmp_path: Path) -> None:
    name = f"{TRAIN_IMAGES}.gz"
    mirror.files |= {f"/wrong/{name}": HTML, f"/cut/{name}": mirror.files[f"/good/{name}"]}
    mirror.cut.add(f"/cut/{name}")
    mirrors = tuple(f"{mirror.url}/{folder}/" for folder in ("none", "wrong", "cut"))
    message = refused(Mnist(root=str(tmp_path), download=True, mirrors=mirrors).load)
    assert message.startswith(f"{name} could not be downloaded to {tmp_path}: ")
    for url, reason in zip(
        mirrors, ("404", "its MD5 checksum is not", "IncompleteRead"), strict=True
    ):
        assert reason in message.split(f"{url}{name}: ")[1].split("; ")[0]
    assert files_in(tmp_path) == []


def test_download_without_mirrors(tmp_path: Path) -> None:
    message = refused(Mnist(root=str(tmp_path), download=True, mirrors=()).load)
    assert "no mirrors are set" in message
    assert "data.mirrors=" in message


def test_download_into_a_place_that_is_no_folder(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    data = Mnist(root=str(tmp_path / "file"), download=True, mirrors=(f"{mirror.url}/good/",))
    assert "cannot write" in refused(data.load)
    assert mirror.asked == []


def test_published_checksums_and_mirrors() -> None:
    sums = [md5 for data in (Mnist(), FashionMnist()) for md5 in data.archive.md5.values()]
    assert len(set(sums)) == 8
    for data in (Mnist(), FashionMnist()):
        assert set(data.archive.md5) == set(COUNTS)
        assert all(url.startswith("http") for url in data.mirrors)


# The data sets that need no files


def test_digits_are_these_bytes_in_this_order() -> None:
    train, validation, test = Digits().load()
    assert [part.x.shape for part in (train, validation, test)] == [
        (1197, 8, 8, 1),
        (300, 8, 8, 1),
        (300, 8, 8, 1),
    ]
    x = np.concatenate([train.x, validation.x, test.x])
    y = np.concatenate([train.y, validation.y, test.y])
    assert hashlib.sha256(x.tobytes()).hexdigest() == (
        "22ccb51d1417f8119764af32a91d6d7351b6b6f703ee31920487dcfdf6a4e72a"
    )
    assert hashlib.sha256(y.tobytes()).hexdigest() == (
        "0f9ffd7948cafb397f7a000b667568d2e6ff757cc70e9e96e7ac289f51898d6f"
    )
    for part in (train, validation, test):
        assert (part.x.dtype, part.scale, part.n_out) == (np.uint8, 1 / 16, 10)
        assert part.shape == (8, 8, 1)
        assert set(part.y.tolist()) == set(range(10))
    assert (x.min(), x.max()) == (0, 16)


def test_digits_are_the_published_ones_shuffled_once() -> None:
    """Undoing the permutation gives the order and the class counts that UCI publishes."""
    data = Digits().load()
    order = np.random.RandomState(0).permutation(1797)
    x, y = np.empty((1797, 64), np.uint8), np.empty(1797, np.uint8)
    x[order] = np.concatenate([part.x.reshape(-1, 64) for part in data])
    y[order] = np.concatenate([part.y for part in data])
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert y[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert x[0, :8].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]


def test_no_digit_is_in_two_parts() -> None:
    """No two of the 1,797 images are equal, so equal rows would be the same row."""
    parts = [{row.tobytes() for row in part.x} for part in Digits().load()]
    assert [len(part) for part in parts] == [1197, 300, 300]
    assert len(set.union(*parts)) == 1797


def test_xor() -> None:
    data = Xor()
    train, validation, test = data.load()
    assert {tuple(x): y for x, (y,) in zip(train.x.tolist(), train.y.tolist(), strict=True)} == {
        (a, b): float(a != b) for a in (0.0, 1.0) for b in (0.0, 1.0)
    }
    for part in (train, validation, test):
        assert (part.x.shape, part.x.dtype) == ((4, 2), np.float32)
        assert (part.y.shape, part.y.dtype) == ((4, 1), np.float32)
        np.testing.assert_array_equal(part.x, train.x)
        np.testing.assert_array_equal(part.y, train.y)
    assert (data.shape, data.n_out) == ((2,), 1)


# The plugin


def test_the_data_sets_by_name() -> None:
    own = ["csv", "npz", "parquet", "shards"]
    assert list(bpframe_datasets()) == ["digits", "mnist", "fashion_mnist", "xor", "inline", *own]


WITHOUT_NUMBERS = [bpframe_datasets()[name] for name in ("digits", "mnist", "fashion_mnist", "xor")]


@pytest.mark.parametrize("dataset", WITHOUT_NUMBERS)
def test_data_sets_are_static_structure(dataset: type) -> None:
    assert jax.tree.leaves(dataset()) == []
    assert hash(dataset(train_size=100)) != hash(dataset())


@pytest.mark.slow
def test_importing_the_plugin_does_not_import_pooch() -> None:
    """Slow: runs whole commands."""
    code = "import sys, bpframe_plugins.datasets; sys.exit('pooch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0.0, 0.2, 0.4]), r"y has shape \(3,\) and dtype float64; .* here \(3, 1\)"),
        (np.array([[0.0], [np.nan], [1.0]]), "y holds values that are not finite"),
        (np.array([[0.0], [np.inf], [1.0]]), "y holds values that are not finite"),
        (np.array(["a", "b", "c"]), "class labels"),
        (np.array([["a"], ["b"], ["c"]]), "y has dtype <U1; expected numbers"),
    ],
)
def test_targets_that_are_none_are_refused(y: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Examples(np.zeros((3, 2)), y, n_out=1)


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("promised", [5, 2**31])
def test_no_more_is_read_than_the_header_promises(end: str, promised: int, tmp_path: Path) -> None:
    """100 MB of zeros after a header, which gzip and a sparse file hold in next to nothing."""
    header = bytes((0, 0, 8, 1)) + promised.to_bytes(4, "big")
    path = tmp_path / f"labels{end}"
    if end:
        with gzip.open(path, "wb", compresslevel=1) as stream:
            stream.write(header)
            for _ in range(100):
                stream.write(bytes(2**20))
    else:
        path.write_bytes(header)
        os.truncate(path, 100 * 2**20)
    tracemalloc.start()
    message = refused(lambda: read_idx(path, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21
    expected = "found more" if promised == 5 else f"a header that promises {promised}"
    assert expected in message
