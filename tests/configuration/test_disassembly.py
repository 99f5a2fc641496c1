"""A run that begins in Python writes the configuration with which the shell would run it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import test_cli
from bpframe_plugins.costs import Quadratic

import bpframe
from bpframe import hookimpl
from bpframe.configuration.disassembly import config_files
from bpframe.configuration.primary import primary
from bpframe.equations import Unpaired
from bpframe.errors import OutputWarning
from bpframe.plugin_host.host import load_registry
from bpframe.runs.checkpoint import DEFAULT, told

main = test_cli.main

QUICK = ("data.train_size=40", "network.hidden=[4]", "training.epochs=2", "training.batch_size=20")
SMALL = ("data.train_size=40", "training.batch_size=20")
LAYERS = "[{n: 5, activation: {name: leaky_relu, slope: 0.1}}, {n: 10, activation: tanh}]"
NEURONS = (
    "[{layer: 2, neuron: 3, activation: softplus}, {layer: 2, neuron: 1, activation: softplus}, "
    "{layer: 3, neuron: 0, activation: tanh}]"
)
EXPERIMENTS = [
    (),
    (*SMALL, "seed=5", "optimiser=adam", "schedule=cosine", "stopping=no_improvement"),
    (*SMALL, "cost=log_likelihood", "network.output_activation=softmax", "regulariser=l1"),
    (*SMALL, f"network.layers={LAYERS}", "cost=quadratic"),
    (*SMALL, f"network.modified_neurons={NEURONS}", "cost=quadratic"),
    (*SMALL, "metrics=[accuracy, {name: delta_norm, over: validation}]"),
    (*SMALL, "learning_rule=feedback_alignment", "initialiser=large"),
    (*SMALL, "sweep.objective=train_cost", "sweep.direction=maximise", "sweep.shared_order=true"),
    ("data=inline", "data.x=[[0,1],[1,0]]", "data.y=[[1],[0]]", "training.batch_size=null"),
    (*SMALL, "training.dtype=bfloat16", "training.evaluate_every=2"),
]


def composed_again(folder: Path, plugins: Sequence[object] = ()) -> bpframe.Experiment:
    """The experiment that the configuration of a run describes."""
    (folder.parent / "again.yaml").write_text(primary(folder / ".hydra" / "config.yaml"))
    return bpframe.compose(config_dir=folder.parent, config_name="again", plugins=plugins)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", EXPERIMENTS, ids=" ".join)
def test_the_config_describes_the_experiment(overrides: tuple[str, ...], tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    experiment = bpframe.compose(overrides)
    files = config_files(experiment, load_registry(), DEFAULT, plots=True, has_own_data=False)
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "run" / ".hydra" / name).write_text(text)
    assert told(composed_again(tmp_path / "run")) == told(experiment)


@pytest.mark.slow
def test_the_shell_goes_on_with_it_to_the_same_bits(main: test_cli.Main, tmp_path: Path) -> None:
    """Cut off by whoever is told of the first epoch. Slow: compiles a program."""
    experiment = bpframe.compose([*QUICK, "training.epochs=4", "optimiser=momentum"])
    bpframe.run(experiment, tmp_path / "whole")

    def cut_off(record: bpframe.EpochRecord) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bpframe.run(experiment, tmp_path / "cut", on_epoch=cut_off)
    ended = main("resume", str(tmp_path / "cut"))
    assert (ended.status, ended.err) == (0, "")
    for name in ("params.safetensors", "best.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_a_plugin_in_a_file_is_found_again(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    plugin = tmp_path / "steep.py"
    plugin.write_text(
        "from bpframe import hookimpl\n"
        "from bpframe_plugins.activations import Sigmoid\n"
        "BPFRAME_API_VERSION = 2\n"
        "class Steep(Sigmoid):\n"
        '    """sigma(z)."""\n'
        "@hookimpl\n"
        "def bpframe_activations():\n"
        '    return {"steep": Steep}\n'.replace("\\\n", "\n")
    )
    experiment = bpframe.compose([*QUICK, "network.activation=steep", f"plugins.path=[{plugin}]"])
    bpframe.run(experiment, tmp_path / "run")
    assert told(composed_again(tmp_path / "run")) == told(experiment)


@pytest.mark.slow
def test_data_given_in_python_are_not_those_of_the_config(
    main: test_cli.Main, tmp_path: Path
) -> None:
    """Slow: compiles a program."""
    experiment = bpframe.compose(["data=xor", "network.hidden=[2]", "training.batch_size=4"])
    x, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [0], [0], [1]])
    own = bpframe.Data(*[bpframe.Examples(x, y, 1)] * 3)
    bpframe.run(experiment, tmp_path / "run", data=own)
    run = tmp_path / "run"
    ended = main("resume", str(run))
    assert ended.status == 1
    assert ended.err == (
        f"bpframe: {run}: its data were given in Python, and no file has them; go on there, with "
        "bpframe.resume(folder, data=...) or bpframe.load(folder)\n"
    )


class Own(Quadratic):
    """1/2 |a - y|^2, of no plugin."""


class Offering:
    """A plugin that is an object."""

    BPFRAME_API_VERSION = 2

    @hookimpl
    def bpframe_costs(self) -> dict[str, type[Own]]:
        return {"own": Own}


@pytest.mark.slow
def test_a_part_of_no_plugin_is_named(tmp_path: Path) -> None:
    """Slow: runs whole commands."""
    experiment = bpframe.compose([*QUICK, "cost=own"], plugins=[Offering()])
    with pytest.warns(OutputWarning, match="Own is offered by no plugin as cost"):
        bpframe.run(experiment, tmp_path / "run")
    assert not (tmp_path / "run" / ".hydra").exists()
    bpframe.run(experiment, tmp_path / "other", plugins=[Offering()])
    assert told(composed_again(tmp_path / "other", [Offering()])) == told(experiment)


@pytest.mark.slow
def test_what_no_config_can_say_is_named(tmp_path: Path) -> None:
    """A pair that is not the one which the two names make. Slow: compiles a program."""
    experiment = bpframe.compose(QUICK)
    pair = Unpaired(experiment.cost.cost_function, experiment.cost.activation)
    odd = dataclasses.replace(experiment, cost=pair)
    with pytest.warns(OutputWarning, match="its cost is not what bpframe assembles"):
        bpframe.run(odd, tmp_path / "run")
