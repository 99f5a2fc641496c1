"""Where training starts: the same numbers in every dtype."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from needs import NEEDS
from sound_plugins import GatedFeedback, offering

import bpframe
from bpframe.plugin_host.host import load_registry
from bpframe.training.initial_state import draw_state
from bpframe.training.precision import precision

REGISTRY = load_registry()
DRAWN = [
    *(f"learning_rule={name}" for name in REGISTRY.names("learning_rule")),
    "learning_rule=mine",
    *(
        f"initialiser={name}"
        for name in REGISTRY.names("initialiser")
        if issubclass(REGISTRY.get("initialiser", name, ""), bpframe.Initialiser)
    ),
]


def start(override: str, dtype: str) -> list[np.ndarray]:
    """Parameters and the state of the learning rule before the first step."""
    plugin = offering(GatedFeedback)
    needs = NEEDS.get(override.partition("=")[2], ())
    overrides = [override, "network.hidden=[7,5]", *needs, f"training.dtype={dtype}", "seed=3"]
    experiment = bpframe.compose(overrides, plugins=[plugin])
    with precision(dtype):
        state = draw_state(experiment)
    floats = jax.tree.leaves((state.params, state.rule))
    wide = "float64" if dtype == "float64" else "float32"
    assert {leaf.dtype.name for leaf in floats} <= {wide, "bool"}
    return [np.asarray(leaf) for leaf in floats]


@pytest.mark.slow
@pytest.mark.parametrize("override", DRAWN)
def test_every_dtype_starts_from_the_same_numbers(override: str) -> None:
    """Slow: runs whole commands."""
    single = start(override, "float32")
    for other in ("bfloat16", "float64"):
        found = start(override, other)
        assert len(found) == len(single) >= 6
        for mine, theirs in zip(found, single, strict=True):
            np.testing.assert_array_equal(mine, theirs.astype(mine.dtype))
