"""Checks for data sets: deterministic, of the promised sizes, in range, split without overlap."""

from __future__ import annotations

import dataclasses
import functools
import os
import random
import subprocess
import sys
import zlib
from typing import Any

import numpy as np

from bpframe.data import Data, Examples
from bpframe.errors import DataError, ExamplesError
from bpframe.tables.streamed import in_memory
from bpframe.testing.expect import expect
from bpframe.testing.outcome import Check, CheckFailedError, CheckSkippedError
from bpframe.testing.purity import watched
from bpframe.testing.subjects import Subject
from bpframe.training.standardisation import standardised

SPLITS = ("train", "validation", "test")
NEAR = 1e-5
"""In standard deviations of the data: rows that differ by less are the same example."""
NEIGHBOURS = 3
LARGEST = 100  # below the 255 of bytes, above what standardised inputs reach


def load(subject: Subject) -> Data:
    """The data, or a skip with the reason why they cannot be had on this machine."""
    return _loaded(subject.default)


def _whole(data: Any) -> Any:
    """What a data set gives, with all examples in memory; what is no data stays as it is."""
    return in_memory(data) if isinstance(data, Data) else data


@functools.lru_cache(maxsize=1)
def _loaded(dataset: Any) -> Data:
    try:
        return _whole(dataset.load())
    except ExamplesError as error:
        raise CheckFailedError(str(error), method="load") from error
    except DataError as error:
        raise CheckSkippedError(f"its files are not on this machine: {error}") from error


def _own_fields(subject: Subject) -> dict[str, Any]:
    """The values of the fields that are not those of the class, to make the same once more."""
    values = {f: getattr(subject.default, f.name) for f in dataclasses.fields(subject.component)}
    return {f.name: value for f, value in values.items() if value != f.default}


def has_the_promised_sizes(subject: Subject) -> None:
    """Load gives Data with three splits, none empty, of the promised shape."""
    data, dataset = load(subject), subject.default
    expect(
        isinstance(data, Data),
        "load returns no Data",
        found=type(data).__name__,
        expected="Data(train, validation, test)",
    )
    for split in SPLITS:
        examples = getattr(data, split)
        expect(
            isinstance(examples, Examples),
            f"the {split} set is no Examples",
            found=type(examples).__name__,
        )
        expect(len(examples) > 0, f"the {split} set is empty")
        sizes, promised = (examples.shape, examples.n_out), (dataset.shape, dataset.n_out)
        expect(
            sizes == promised,
            f"the {split} set has another shape than shape and n_out promise",
            found=sizes,
            expected=promised,
        )


def is_in_range(subject: Subject) -> None:
    """Inputs and targets are finite, inputs of a size to train with, labels are integers."""
    data = standardised(load(subject)) if subject.default.standardise else load(subject)
    for split in SPLITS:
        examples = getattr(data, split)
        mean = 0 if examples.mean is None else examples.mean
        x = (examples.x.astype(np.float64) - mean) * examples.scale
        expect(
            np.isfinite(x).all() and np.isfinite(examples.y).all(),
            f"the {split} set holds values that are not finite",
            method="load",
        )
        largest = float(np.abs(x).max())
        expect(
            largest <= LARGEST,
            f"inputs of the {split} set are too large to train with; set `scale`",
            found=largest,
            expected=f"at most {LARGEST}",
        )
        if examples.y.ndim == 1:
            kind = examples.y.dtype.kind
            expect(
                kind in "iu",
                f"labels of the {split} set are no integers",
                found=str(examples.y.dtype),
            )


def is_deterministic(subject: Subject) -> None:
    """Loading again gives the same examples in the same order, whatever the global seeds are."""
    first = load(subject)
    states = random.getstate(), np.random.get_state()
    try:
        random.seed(12345)
        np.random.seed(12345)
        again = _whole(subject.component(**_own_fields(subject)).load())
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
    for split in SPLITS:
        one, other = getattr(first, split), getattr(again, split)
        same = np.array_equal(one.x, other.x) and np.array_equal(one.y, other.y)
        expect(
            same, f"loading again gives another {split} set", found=other.x[0], expected=one.x[0]
        )


_ELSEWHERE = """
import ast, importlib, importlib.util, sys, zlib
module, file, name, fields = sys.argv[1:]
try:
    found = importlib.import_module(module)
except ImportError:
    spec = importlib.util.spec_from_file_location(module, file)
    found = importlib.util.module_from_spec(spec)
    sys.modules[module] = found
    spec.loader.exec_module(found)
from bpframe.tables.streamed import in_memory
data = in_memory(getattr(found, name)(**ast.literal_eval(fields)).load())
for split in (data.train, data.validation, data.test):
    print(zlib.crc32(split.x.tobytes()), zlib.crc32(split.y.tobytes()))
"""
"""What another process loads, as checksums."""


def is_the_same_elsewhere(subject: Subject) -> None:
    """Another process, with another seed of Python's hashes, loads the same examples."""
    data, component = load(subject), subject.component
    file = getattr(sys.modules.get(component.__module__), "__file__", None)
    if file is None or "." in component.__qualname__:
        return  # a class that no other process can import
    command = [sys.executable, "-c", _ELSEWHERE, component.__module__, file, component.__name__]
    command.append(repr(_own_fields(subject)))
    path = os.pathsep.join(sys.path)
    ended = subprocess.run(
        command,
        env=os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    expect(
        not ended.returncode,
        "cannot be loaded in another process",
        found=(ended.stderr.strip().splitlines() or [""])[-1],
    )
    here = [
        f"{zlib.crc32(split.x.tobytes())} {zlib.crc32(split.y.tobytes())}"
        for split in (data.train, data.validation, data.test)
    ]
    expect(
        ended.stdout.split("\n")[:3] == here,
        "another process loads other examples; what depends on the order of a set, or on hash(), "
        "differs from process to process",
        given="PYTHONHASHSEED=12345",
    )


def is_disjoint(subject: Subject) -> None:
    """No example of one split is in another one, nor nearly: in another dtype, or with noise."""
    data = load(subject)
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        rows = [_rows(getattr(data, split)) for split in (one, other)]
        for nearness, what in ((0.0, "are"), (NEAR, "are nearly")):
            if len(common := _common(nearness, rows[0], rows[1])) > (0 if not nearness else 1):
                raise CheckFailedError(
                    f"{len(common)} examples of the {other} set {what} in the {one} set too; if "
                    "that is meant, set disjoint = False",
                    given=f"row {common[0]} of the {other} set",
                )


def _rows(examples: Examples) -> np.ndarray:
    """The inputs with their targets, (n, features), as numbers that training would see."""
    x = examples.x.reshape(len(examples), -1).astype(np.float32) * np.float32(examples.scale)
    y = examples.y.reshape(len(examples), -1).astype(np.float32)
    return np.concatenate([x, y], axis=1)


def _common(nearness: float, one: np.ndarray, other: np.ndarray) -> list[int]:
    """The rows of `other` that have a row of `one` no further than that, in standard deviations.

    Along a random direction what is near stays near, so that only neighbours are compared. Rows
    that lie as close by chance, as points of few dimensions do, have more neighbours further off:
    they are left out.
    """
    if one.shape[1] != other.shape[1]:
        return []
    both = np.concatenate([one, other])
    direction = np.random.default_rng(0).normal(size=both.shape[1]).astype(np.float32)
    scale = float(np.linalg.norm(both.std(axis=0))) or 1.0
    place = both @ direction
    order = np.argsort(place, kind="stable")
    found: dict[float, set[int]] = {nearness: set(), 10 * nearness: set()}
    for shift in range(1, NEIGHBOURS + 1):
        first, second = order[:-shift], order[shift:]
        apart = (first < len(one)) != (second < len(one))
        close = apart & (place[second] - place[first] <= 40 * nearness * scale + 1e-6 * scale)
        for i, j in zip(first[close], second[close], strict=True):
            distance = float(np.linalg.norm(both[i] - both[j]))
            for radius, rows in found.items():
                if distance <= radius * scale:
                    rows.add(int(max(i, j)) - len(one))
    near, wide = found[nearness], found[10 * nearness]
    return sorted(near) if len(wide) < 3 * len(near) else []


def has_all_classes_in_training(subject: Subject) -> None:
    """Every class of the other splits is in the training set, which could not learn it else."""
    data = load(subject)
    if data.train.y.ndim != 1:
        return
    known = set(np.unique(data.train.y).tolist())
    for split in SPLITS[1:]:
        unknown = sorted(set(np.unique(getattr(data, split).y).tolist()) - known)
        expect(
            not unknown,
            f"classes of the {split} set are missing in the training set",
            found=unknown,
            expected=f"some of {sorted(known)}",
            method="load",
        )


def keeps_targets_when_expanded(subject: Subject) -> None:
    """Where `expanded` keeps an input as it is, it keeps its target."""
    train = load(subject).train
    for dataset in _expanding(subject):
        expanded = dataset.expanded(train)
        expect(
            len(expanded) == len(train) * dataset.expansion,
            "expanded makes another number of examples than `expansion` says",
            given=dataset,
            found=len(expanded),
            expected=len(train) * dataset.expansion,
            method="expanded",
        )
        known: dict[bytes, set[bytes]] = {}
        for x, y in zip(expanded.x, expanded.y, strict=True):
            known.setdefault(np.asarray(x).tobytes(), set()).add(np.asarray(y).tobytes())
        pairs = [
            (np.asarray(x).tobytes(), np.asarray(y).tobytes())
            for x, y in zip(train.x, train.y, strict=True)
        ]
        wrong = [row for row, (x, y) in enumerate(pairs) if y not in known.get(x, {y})]
        expect(
            not wrong,
            f"{len(wrong)} training examples have another target when they are expanded",
            given=f"row {wrong[0] if wrong else 0} of the training set, {dataset}",
            method="expanded",
        )


def _expanding(subject: Subject) -> list[Any]:
    """The data set with every switch turned, where it then makes more examples."""
    names = [n for n, hint in subject.component.field_types().items() if hint is bool]
    turned = [subject.default]
    turned += [
        dataclasses.replace(subject.default, **{n: not getattr(subject.default, n)}) for n in names
    ]
    return [dataset for dataset in turned if dataset.expansion > 1]


def is_in_no_order(subject: Subject) -> None:
    """The first training examples are of all classes, since `train_size` keeps those alone.

    With so many examples sorted by class their labels change fewer times than one in ten of what
    chance would make.
    """
    y = load(subject).train.y
    if y.ndim != 1 or len(y) < 30:
        return
    shares = np.unique(y, return_counts=True)[1] / len(y)
    expected = (len(y) - 1) * (1 - float(np.sum(shares**2)))
    changes = int(np.sum(y[1:] != y[:-1]))
    expect(
        changes >= 0.1 * expected,
        "training examples are ordered by class, so that train_size keeps some classes alone; "
        "shuffle them with a seed",
        found=f"{changes} changes of the label from one example to the next",
        expected=f"about {expected:.0f}",
        method="load",
    )


def has_no_side_effects(subject: Subject) -> None:
    """Loading prints nothing, writes nothing and changes nothing."""
    load(subject)
    with watched(subject.component, subject.default):
        subject.component(**_own_fields(subject)).load()


def targets_fit_the_task(subject: Subject) -> None:
    """The targets of every split are those of the task that the examples name, the same in all."""
    data = load(subject)
    for split in SPLITS:
        examples = getattr(data, split)
        expect(
            type(examples.task) is type(data.train.task),
            f"the {split} set has another task than the training set",
            found=examples.task,
            expected=data.train.task,
        )
        try:
            if examples.task is not None:
                examples.task.fitted(examples.y)
        except ExamplesError as error:
            raise CheckFailedError(f"the {split} set: {error}", method="load") from error


CHECKS = tuple(
    check._replace(method="load", is_alone=True)
    for check in (
        Check("sizes are as promised", has_the_promised_sizes),
        Check("in range", is_in_range),
        Check("targets fit the task", targets_fit_the_task),
        Check("classes are in the training set", has_all_classes_in_training),
        Check("same in another process", is_the_same_elsewhere),
        Check("in no order", is_in_no_order),
        Check("targets stay when expanded", keeps_targets_when_expanded),
        Check("deterministic", is_deterministic),
        Check("splits do not overlap", is_disjoint, applies=lambda s: s.component.disjoint),
        Check("has no side effects", has_no_side_effects),
    )
)
