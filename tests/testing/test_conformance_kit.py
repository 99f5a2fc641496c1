"""The conformance kit: every seeded defect is caught by the check meant for it.

Slow are the tests of whole plugins: each component is compiled anew for nearly each of its checks.
"""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from faulty_plugins import COMPONENTS, FAULTY
from sound_plugins import SOUND, Curve, Spirals, offering

import bpframe
from bpframe.errors import BpframeError, DataError
from bpframe.plugin_host.registry import KINDS, Registry
from bpframe.testing import (
    FAILED,
    PASSED,
    SKIPPED,
    Outcome,
    Verdict,
    _cases_of,
    check_plugins,
    check_registry,
    components,
    conformance,
    initial_conditions,
    plugins,
    training,
)
from bpframe.testing.kit import CHECKS

# Checks whose failures show an input, the value that came out, and the one that should have.
OF_VALUES = {
    "derivative equals autodiff",
    "derivative equals differences",
    "kinks are declared",
    "kinks are one-sided",
    "outputs stay in range",
    "finite at extremes",
    "shape and dtype are kept",
    "neurons are independent",
    "outputs sum to one",
    "has no hidden state",
    "gradient equals autodiff",
    "gradient equals differences",
    "never NaN",
    "least at a = y",
    "delta is dC/dz",
    "equals its parts",
    "finite when saturated",
    "decreases a quadratic",
    "resumes exactly",
    "finite without a gradient",
    "shapes of a layer",
    "variance is as stated",
    "finite at zero and at large weights",
    "does not depend on the cut",
    "factor is a sound scalar",
    "stop is a boolean",
    "does not stop at once",
    "carry equals autodiff",
    "squared norms",
    "evaluation is the mean over keys",
}
# Defects that show in an error which the plugin's own code raises; any other is the kit's.
RAISING = {
    "OnTheHost": "NotImplementedError",
    "CostOnTheHost": "NotImplementedError",
    "RuleOnTheHost": "NotImplementedError",
    "CachedOnSelf": "TypeError",
    "NotTransposed": "TypeError",
    "TotalOfEachExample": "TypeError",
    "TwoLayersOnly": "ValueError",
    "PenaltyOfTwoLayers": "ValueError",
}
SHARED = (
    *components.MADE,
    *components.STRUCTURE,
    *components.PURE,
    *components.COMPILED,
    *training.CHECKS,
)


@pytest.fixture(scope="module", autouse=True)
def as_the_kit_compiles() -> Iterator[None]:
    """Single cases, too, are compiled without optimisation, as `bpframe.testing.run` does it."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def kind_of(component: type[Any]) -> str:
    return next(kind for kind, (_, contract) in KINDS.items() if issubclass(component, contract))


def test_there_are_enough_plugins() -> None:
    assert len(FAULTY) >= 40
    assert len(SOUND) >= 15
    assert {kind_of(component) for component in COMPONENTS} == set(KINDS)


@pytest.mark.slow
@pytest.mark.share(10)
@pytest.mark.parametrize("name", FAULTY)
def test_a_defect_is_caught_by_the_check_meant_for_it(name: str) -> None:
    build, check = FAULTY[name]
    outcomes = [case.run() for case in _cases_of([build()]) if case.check.name == check]
    failed = [outcome for outcome in outcomes if outcome.status == FAILED]
    assert failed, f"{check!r} lets it through: {outcomes}"
    detail = failed[0].detail
    problem = detail.splitlines()[0]
    assert problem
    if name in RAISING:
        assert problem.startswith(f"raises {RAISING[name]}: ")
    else:
        assert not problem.startswith("raises "), detail
        for label in ("input:", "value:", "expected:") if check in OF_VALUES else ():
            assert re.search(rf"^{label} ", detail, re.MULTILINE), detail
    if failed[0].kind != "plugin":
        assert re.search(
            r"^look at:  .*(faulty|sound)_(plugins|layers|learning|searched|recorders|trackers)"
            r"\.py, line \d+ \(",
            detail,
            re.MULTILINE,
        ), detail


@pytest.mark.slow
@pytest.mark.share(10)
@pytest.mark.parametrize("name", SOUND)
def test_a_sound_plugin_gives_no_false_alarm(name: str) -> None:
    report = check_plugins(SOUND[name]())
    assert [o for o in report.outcomes if o.status != PASSED] == []
    assert report.is_good


def test_every_check_is_meant_for_some_defect() -> None:
    shared = {check.name for check in SHARED}
    meant = {(kind_of(component), check) for component, check in COMPONENTS.items()}
    own = {(kind, check.name) for kind, checks in CHECKS.items() for check in checks}
    own |= {("initialiser", check.name) for check in initial_conditions.CHECKS}
    assert {(kind, name) for kind, name in own if name not in shared} <= meant
    every = shared | {check.name for check in plugins.CHECKS}
    assert every <= {faulty.check for faulty in FAULTY.values()}
    names = every | {name for _, name in own}
    assert names >= OF_VALUES
    assert set(RAISING) <= set(FAULTY)


@pytest.mark.slow
def test_built_in_plugins_pass(registry: Registry) -> None:
    chosen = [p for p in registry.plugins if p.name in ("bpframe:regularisers", "bpframe:stopping")]
    report = check_registry(registry, chosen)
    assert {outcome.component for outcome in report.outcomes} >= {"l1", "l2", "never", "small_eta"}
    assert [o for o in report.outcomes if o.status != PASSED] == []


class Elsewhere(Curve):
    """A data set whose files are not on this machine."""

    def load(self) -> bpframe.Data:
        raise DataError("curve.npy is missing")


def test_skips_are_counted_with_their_reasons() -> None:
    report = check_plugins(offering(Elsewhere))
    skipped = report.with_status(SKIPPED)
    assert {outcome.check for outcome in skipped} == {check.name for check in CHECKS["data"]}
    assert all("curve.npy is missing" in outcome.detail for outcome in skipped)
    passed = len(report.outcomes) - len(skipped)
    assert report.counts == f"{passed} passed, 0 failed, {len(skipped)} skipped"
    assert report.is_good


def outcome(status: str, detail: str = "") -> Outcome:
    return Outcome("mine", "cost", "mine", "never NaN", status, 0, detail)


@pytest.mark.parametrize(
    ("outcomes", "is_good"),
    [
        ((), False),
        ((outcome(PASSED),), True),
        ((outcome(PASSED), outcome(FAILED, "is NaN")), False),
        ((outcome(PASSED), outcome(SKIPPED, "its files are not here")), True),
        ((outcome(PASSED), outcome(SKIPPED)), False),
    ],
)
def test_a_report_is_good(outcomes: tuple[Outcome, ...], is_good: bool) -> None:
    assert Verdict.of(outcomes).is_good == is_good


def test_a_plugin_that_does_not_load_has_one_failure() -> None:
    report = check_plugins(FAULTY["HookMisspelt"].build(), offering(Spirals))
    assert [o.check for o in report.with_status(FAILED)] == ["loads"]
    assert report.with_status(PASSED)


def test_without_pytest_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(BpframeError, match=r"^[^\n]*needs pytest.*'bpframe\[testing\]'$"):
        conformance(offering(Spirals))


def test_a_component_that_cannot_be_made_has_one_failure() -> None:
    report = check_plugins(FAULTY["NoDefault"].build())
    assert [o.check for o in report.with_status(FAILED)] == ["can be made"]


DATASET = '''
import numpy as np
from bpframe import Data, Dataset, Examples, hookimpl

BPFRAME_API_VERSION = 2

class Line(Dataset):
    """y = x."""

    shape, n_out = (1,), 1

    def load(self):
        x = np.linspace(0, 1, 30)[:, None]
        return Data(*(Examples(x[part], x[part], n_out=1) for part in {parts}))

@hookimpl
def bpframe_datasets():
    return {{"line": Line}}
'''
THREE_LINES = """
import my_plugin
from bpframe.testing import conformance
test_conformance = conformance(my_plugin)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ("(slice(10), slice(10, 20), slice(20, 30))", 0),
        ("(slice(10), slice(10, 20), slice(19, 30))", 1),
    ],
)
def test_three_lines_test_a_plugin(tmp_path: Path, parts: str, status: int) -> None:
    (tmp_path / "my_plugin.py").write_text(DATASET.format(parts=parts))
    (tmp_path / "test_my_plugin.py").write_text(THREE_LINES)
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-q", "test_my_plugin.py"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert "skipped" not in ended.stdout
    if status:
        assert "data line: splits do not overlap: 1 examples of the test set" in ended.stdout
        assert re.search(r"look at:  my_plugin\.py, line \d+ \(Line.load\)", ended.stdout)
