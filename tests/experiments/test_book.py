"""The main job on real data: the figures of the book and of the README."""

import pytest

import bpframe

BOOK = ["data=mnist", "cost=quadratic", "optimiser.eta=3.0", "initialiser=large"]


@pytest.mark.slow
def test_digits_reach_94_percent():
    """Slow: compiles a program."""
    result = bpframe.run(bpframe.compose())
    assert result.summary.test_accuracy is not None
    assert result.summary.test_accuracy >= 0.94


@pytest.mark.slow
def test_chapter_1_784_30_10(data_dir, monkeypatch):
    """The book's own run, stopped after 10 of its 30 epochs; slow for its 50,000 images."""
    monkeypatch.setenv("BPFRAME_DATA_DIR", str(data_dir))
    result = bpframe.run(bpframe.compose([*BOOK, "training.epochs=10"]))
    assert result.history.validation_accuracy[0] > 0.90
    assert result.history.validation_accuracy.max() > 0.945
    assert result.summary.test_accuracy is not None
    assert result.summary.test_accuracy > 0.94


@pytest.mark.slow
def test_xor_is_learned():
    """Slow: compiles a program."""
    overrides = ["data=xor", "network.hidden=[4]", "training.batch_size=4", "optimiser.eta=5"]
    result = bpframe.run(bpframe.compose([*overrides, "training.epochs=500"]))
    assert result.summary.test_accuracy == 1.0
