"""The comparisons, their targets, and how one of them is measured."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import numpy as np
import timing
import ways
from tasks import Task

TOLERANCE = 2e-4
"""Largest difference between two float32 gradients, in units of the largest entry."""

FIRST = Task((30,), 10)
SOFTMAX = dataclasses.replace(FIRST, cost="log_likelihood", output_activation="softmax", eta=0.1)
MIDDLE = Task((100,), 10, cost="cross_entropy", eta=0.5, strength=5.0)
DEEP = Task((30, 30, 30, 30), 10)
WIDE = Task(
    (1024, 1024),
    128,
    cost="log_likelihood",
    activation="relu",
    output_activation="softmax",
    eta=0.1,
    images=12_800,
)
RULED = dataclasses.replace(
    FIRST, hidden=(500,), m=128, cost="cross_entropy", eta=0.2, images=12_800
)
CONVOLUTION = dataclasses.replace(SOFTMAX, hidden=(100,), maps=(20,), images=2_000)
CONVOLUTION_128 = dataclasses.replace(CONVOLUTION, m=128, images=2_560)
CONVOLUTIONS = dataclasses.replace(CONVOLUTION, maps=(20, 40), images=1_000)
MANY = dataclasses.replace(WIDE, hidden=(256,) * 65, m=32, eta=1e-3, images=1_280)
RULES = {
    "feedback_alignment": 1.1,
    "direct_feedback_alignment": 1.1,
    "direct_random_targets": 1.1,
    "sign_symmetry": 1.1,
    "batchwise_random_sign": 1.1,
    "fixed_random_sign": 1.1,
    "kolen_pollack": 1.1,
    "weight_mirror": 1.6,
    "local_loss": 1.6,
    "predictive_coding": 25.0,
}
"""How much longer than backpropagation a step of a learning rule may take."""
WIDER = dataclasses.replace(WIDE, hidden=(4096, 4096), m=512, images=5_120)
HUGE = dataclasses.replace(WIDER, m=4096, images=40_960)

SCAN = "lax.scan over jax.grad"

QUICK_IMAGES = 2560
"""On how many images an epoch is timed in a quick run, at most; with convolutions a fifth."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the things timed in a comparison: a way and what it trains."""

    way: str
    task: Task

    @property
    def key(self) -> str:
        modified = ", a modified neuron" if self.task.modified else ""
        return f"{self.way} | {self.task.name}{modified}"


@dataclasses.dataclass(frozen=True)
class Row:
    """Ours against theirs; the target is the largest ratio of times that counts as met."""

    work: str
    against: str
    ours: Side
    theirs: Side | None  # None: the machine's best matrix product
    target: float | None


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows that are timed together, way after way in every round.

    With `compiling` it is compiling that is timed, and not an epoch. `quick` ones are part of a
    quick run: one of each kind.
    """

    rows: tuple[Row, ...]
    rounds: int
    compiling: bool = False
    quick: bool = False


def groups(gpu: bool) -> list[Group]:
    """All comparisons; the last is for GPUs only."""

    def against(task: Task, **targets: float) -> tuple[Row, ...]:
        peers = {
            "scan": SCAN,
            "numpy": "NumPy over the mini-batch",
            "optax": "optax step in a loop",
            "torch": "PyTorch eager",
            "sklearn": "scikit-learn",
            "scan_nchw": "scan over grad, NCHW",
            "scan_nhwc": "scan over grad, NHWC",
            "torch_last": "PyTorch, channels last",
        }
        return tuple(
            Row(task.name, peers[peer], Side("bpframe", task), Side(peers[peer], task), target)
            for peer, target in targets.items()
        )

    modified = dataclasses.replace(MIDDLE, modified=True)
    watched, bare = Side("bpframe, watched", FIRST), Side("bpframe, nothing watched", FIRST)
    evaluated = Side("bpframe, evaluate_train", FIRST)
    dtypes = [dataclasses.replace(FIRST, dtype=dtype) for dtype in ("float64", "bfloat16")]
    wide_dtypes = [dataclasses.replace(WIDE, dtype=dtype) for dtype in ("float64", "bfloat16")]
    layouts = {"scan_nchw": 0.9, "scan_nhwc": 0.9, "torch": 0.8, "torch_last": 0.8}
    repeated = dataclasses.replace(MANY, repeated=True)
    short, long = (
        dataclasses.replace(SOFTMAX, hidden=(30,) * (1 + count), repeated=True)
        for count in (4, 200)
    )
    found = [
        Group(against(FIRST, scan=0.75, numpy=0.65, optax=0.5, torch=0.10), 7, quick=True),
        Group(against(SOFTMAX, sklearn=0.25), 5),
        Group(against(MIDDLE, scan=0.85), 9),
        Group(against(DEEP, scan=0.85), 9),
        Group(
            (
                *against(WIDE, scan=1.02, torch=0.75),
                Row(WIDE.name, "best matrix product", Side("bpframe", WIDE), None, 0.82),
            ),
            9,
            quick=True,
        ),
        Group((Row(WIDER.name, "best matrix product", Side("bpframe", WIDER), None, 0.88),), 7),
        Group(
            (
                Row(
                    f"{MIDDLE.name}, one modified neuron",
                    "the same, unmodified",
                    Side("bpframe", modified),
                    Side("bpframe", MIDDLE),
                    1.15,
                ),
            ),
            15,
        ),
        Group(
            (
                Row(f"{FIRST.name}, cost and accuracy", "none recorded", watched, bare, 1.10),
                Row(f"{FIRST.name}, evaluate_train", "without", evaluated, watched, 1.30),
            ),
            15,
            quick=True,
        ),
        Group(
            tuple(
                Row(task.name, "float32", Side("bpframe", task), Side("bpframe", FIRST), None)
                for task in dtypes
            ),
            5,
        ),
        Group(
            tuple(
                Row(task.name, "float32", Side("bpframe", task), Side("bpframe", WIDE), None)
                for task in wide_dtypes
            ),
            5,
        ),
        Group(against(CONVOLUTION, **layouts), 7, quick=True),
        Group(against(CONVOLUTION_128, **layouts), 7),
        Group(against(CONVOLUTIONS, **layouts), 7),
        Group(
            (
                Row(
                    repeated.name,
                    "written out",
                    Side("bpframe", repeated),
                    Side("bpframe", MANY),
                    1.1,
                ),
            ),
            9,
        ),
        Group(
            (
                Row(
                    f"compiling {long.name}",
                    "4 repetitions",
                    Side("bpframe", long),
                    Side("bpframe", short),
                    1.5,
                ),
            ),
            5,
            compiling=True,
            quick=True,
        ),
    ]
    found += [
        Group(tuple(_rule(task, rule, target) for rule, target in RULES.items()), 7)
        for task in (FIRST, RULED)
    ]
    found.append(Group((_measured(FIRST), _measured(RULED)), 7))
    rules = ("feedback_alignment", "direct_feedback_alignment")
    found += [Group(tuple(_in_torch(task, rule) for rule in rules), 7) for task in (FIRST, RULED)]
    if gpu:
        for task in (HUGE, dataclasses.replace(HUGE, dtype="bfloat16")):
            row = Row(task.name, "best matrix product", Side("bpframe", task), None, None)
            found.append(Group((row,), 9))
    return found


def _rule(task: Task, rule: str, target: float) -> Row:
    """A step of another learning rule against one of backpropagation."""
    other = dataclasses.replace(task, more=(f"learning_rule={rule}",))
    return Row(other.name, "backprop", Side("bpframe", other), Side("bpframe", task), target)


def _in_torch(task: Task, rule: str) -> Row:
    """A step of a learning rule against the same in PyTorch."""
    same = dataclasses.replace(task, more=(f"learning_rule={rule}",))
    peer = "PyTorch, by hand"
    return Row(same.name, peer, Side("bpframe", same), Side(peer, same), 0.2)


def _measured(task: Task) -> Row:
    """A step of feedback alignment with its angles against one without."""
    bare = dataclasses.replace(task, more=("learning_rule=feedback_alignment",))
    measured = dataclasses.replace(bare, more=(*bare.more, "metrics=[alignment]"))
    return Row(measured.name, "without", Side("bpframe", measured), Side("bpframe", bare), 1.8)


def measure(group: Group, quick: bool) -> list[dict[str, Any]]:
    """Time a group's ways, interleaved, and report its rows; a missing peer is a row that says so.

    Raises:
        AssertionError: a way computes another gradient than bpframe does.

    """
    group = _with_few_images(group) if quick else group
    if group.compiling:
        return [_compiled(row, 1 if quick else group.rounds) for row in group.rows]
    sides = {
        side.key: side for row in group.rows for side in (row.ours, row.theirs) if side is not None
    }
    limit = any(row.theirs is None for row in group.rows)
    dtype = group.rows[0].ours.task.dtype
    prepared, missing = _prepared(sides)
    runs = {key: way.epoch for key, way in prepared.items()}
    samples = timing.interleaved(
        {**runs, **(timing.matrix_products(dtype) if limit else {})}, 1 if quick else group.rounds
    )
    found = []
    for row in group.rows:
        ours = row.ours.key
        steps = row.ours.task.steps
        us = statistics.median(samples[ours]) / steps * 1e6
        entry: dict[str, Any] = {
            "work": row.work,
            "against": row.against,
            "target": row.target,
            "us_per_step": us,
            "compile_s": prepared[ours].compile_s,
            "peer_us_per_step": None,
            "peer_compile_s": None,
            "ratio": None,
            "note": "",
        }
        if row.theirs is None:
            flops = row.ours.task.step_flops / (us * 1e-6)
            best = timing.best_product(samples)
            entry |= {"share_of_limit": flops / best, "gflops": flops / 1e9, "limit": best / 1e9}
        elif row.theirs.key in missing:
            entry["note"] = missing[row.theirs.key]
        else:
            theirs = row.theirs.key
            entry |= {
                "peer_us_per_step": statistics.median(samples[theirs]) / steps * 1e6,
                "peer_compile_s": prepared[theirs].compile_s,
                "ratio": timing.median_ratio(samples, ours, theirs),
            }
        found.append(entry | {"met": met(entry)})
    return found


def _compiled(row: Row, rounds: int) -> dict[str, Any]:
    """How long it takes to lower and compile ours and theirs, alternating."""
    sides = {"ours": row.ours, "theirs": row.theirs or row.ours}
    samples: timing.Samples = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            samples[name].append(ways.prepare(side.way, side.task).compile_s)
    entry: dict[str, Any] = {
        "work": row.work,
        "against": row.against,
        "target": row.target,
        "us_per_step": None,
        "compile_s": statistics.median(samples["ours"]),
        "peer_us_per_step": None,
        "peer_compile_s": statistics.median(samples["theirs"]),
        "ratio": timing.median_ratio(samples, "ours", "theirs"),
        "note": "",
    }
    return entry | {"met": met(entry)}


def _with_few_images(group: Group) -> Group:
    def few(side: Side) -> Side:
        most = QUICK_IMAGES // 5 if side.task.maps else QUICK_IMAGES
        images = min(side.task.images, most)
        return Side(side.way, dataclasses.replace(side.task, images=images))

    rows = [
        dataclasses.replace(row, ours=few(row.ours), theirs=row.theirs and few(row.theirs))
        for row in group.rows
    ]
    return dataclasses.replace(group, rows=tuple(rows))


def met(entry: dict[str, Any]) -> bool | None:
    """Whether a row meets its target; None without a target or without the peer."""
    if entry["target"] is None or entry["note"]:
        return None
    if "share_of_limit" in entry:
        return entry["share_of_limit"] >= entry["target"]
    return entry["ratio"] <= entry["target"]


def _prepared(
    sides: dict[str, Side],
) -> tuple[dict[str, ways.Way], dict[str, str]]:
    """The ways that are there, checked against bpframe's gradient, and why others are not."""
    prepared, missing = {}, {}
    expected: dict[Task, ways.Gradient] = {}
    for key, side in sides.items():
        try:
            prepared[key] = ways.prepare(side.way, side.task)
        except ways.MissingWayError as reason:
            missing[key] = str(reason)
            continue
        if side.way != "bpframe":
            if side.task not in expected:
                expected[side.task] = ways.prepare("bpframe", side.task).gradient()
            _check_gradient(key, prepared[key].gradient(), expected[side.task])
    return prepared, missing


def _check_gradient(key: str, found: ways.Gradient, expected: ways.Gradient) -> None:
    for index, (theirs, ours) in enumerate(zip(found, expected, strict=True)):
        difference = np.max(np.abs(theirs - ours)) / np.max(np.abs(ours))
        if not difference <= TOLERANCE:
            raise AssertionError(
                f"{key}: tensor {index} of its gradient differs from bpframe's by {difference:.1e} "
                f"of the largest entry; allowed: {TOLERANCE:.0e}"
            )
