"""Every initialiser against the distribution that it states."""

import jax
import numpy as np
import pytest

from bpframe import Initialiser
from bpframe.plugin_host.host import load_registry

REGISTRY = load_registry()
CLASSES = {name: REGISTRY.get("initialiser", name, "") for name in REGISTRY.names("initialiser")}
NAMES = [name for name, cls in CLASSES.items() if issubclass(cls, Initialiser)]
BOOK = {"scaled", "large"}
# How far a variance estimated from k draws may be off, in units of sqrt(2/k), the standard error
# of a normal's variance; the uniform distribution's is smaller.
STANDARD_ERRORS = 5


def make(name):
    return REGISTRY.get("initialiser", name, "")()


@pytest.mark.share(3)
@pytest.mark.parametrize("shape", [(64, 30), (30, 64), (50, 50)])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_mean_and_variance(name, shape):
    n_in, n_out = shape
    w, b = make(name)(jax.random.key(3), (n_out, n_in), n_in, n_out)
    assert (w.shape, b.shape) == ((n_out, n_in), (n_out,))
    stated = make(name).variance(n_in, n_out)
    w = np.asarray(w)
    assert abs(w.mean()) <= 5 * np.sqrt(stated / w.size)
    assert abs(w.var() - stated) <= STANDARD_ERRORS * np.sqrt(2 / w.size) * stated + 1e-12
    if name == "fan_in_uniform":
        assert np.abs(b).max() <= n_in**-0.5
    elif name in BOOK:
        assert abs(np.asarray(b).var() - 1) < STANDARD_ERRORS * np.sqrt(2 / n_out)
    else:
        assert not np.asarray(b).any()


@pytest.mark.parametrize("name", [name for name in NAMES if CLASSES[name].is_random])
def test_key_decides_and_repeats(name):
    first, again, other = (make(name)(jax.random.key(k), (5, 6), 6, 5).w for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_variances_are_the_published_ones():
    expected = {
        "scaled": 1 / 20,
        "large": 1,
        "xavier_normal": 2 / 50,
        "xavier_uniform": 2 / 50,
        "he_normal": 2 / 20,
        "orthogonal": 1 / 30,
        "fan_in_uniform": 1 / 60,
        "zeros": 0,
    }
    assert {name: make(name).variance(20, 30) for name in NAMES} == pytest.approx(expected)


def test_uniform_stays_inside_its_bounds():
    w = np.asarray(make("xavier_uniform")(jax.random.key(0), (30, 20), 20, 30).w)
    assert np.abs(w).max() <= np.sqrt(6 / 50)
    assert np.abs(w).max() > 0.95 * np.sqrt(6 / 50)


@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
def test_orthogonal_is_orthogonal(shape):
    w = np.asarray(make("orthogonal")(jax.random.key(0), shape[::-1], *shape).w)
    gram = w.T @ w if w.shape[0] > w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)
