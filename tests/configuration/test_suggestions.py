"""A key that is not known where it stands: where it belongs, found from the schemas."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import bpframe
from bpframe.configuration import schemas, suggestions
from bpframe.plugin_host.registry import PAIRS, Registry

HEAD = "# @package _global_\n"


def refused(*overrides: str, config_dir: Path | None = None) -> str:
    with pytest.raises(bpframe.BpframeError) as caught:
        bpframe.compose(overrides, config_dir=config_dir)
    return str(caught.value)


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("epochs=10", "epochs: unknown 'epochs'; did you mean training.epochs?"),
        ("+epochs=10", "epochs: unknown 'epochs'; did you mean training.epochs?"),
        ("lr=0.1", "did you mean optimiser.eta?"),
        ("eta=0.1", "did you mean optimiser.eta?"),
        ("learning_rate=0.1", "did you mean optimiser.eta?"),
        ("batch_size=4", "did you mean training.batch_size?"),
        ("batchsize=4", "did you mean training.batch_size?"),
        ("hidden=[3]", "did you mean network.hidden?"),
        ("activation=relu", "did you mean network.activation?"),
        ("lambda=1", "did you mean regulariser.strength (of l2, l1) or"),
        ("strength=1", "did you mean regulariser.strength (of l2, l1) or"),
        ("momentum=0.9", "did you mean optimiser=momentum or optimiser.mu (of momentum, nesterov"),
        ("dropout=0.5", "did you mean network.layers=[{name: dropout}, ...]?"),
        ("maps=3", "did you mean network.layers=[{name: convolution, maps: VALUE}, ...]?"),
        ("slope=0.1", "did you mean network.activation={name: leaky_relu, slope: VALUE}?"),
        ("over=train", "did you mean metrics=[{name: NAME, over: VALUE}] or record=["),
        ("metric=accuracy", "did you mean metrics?"),
        ("confusion_matrix=1", "did you mean metrics=[confusion_matrix]?"),
        ("adam=1", "did you mean optimiser=adam?"),
        ("loss=quadratic", "did you mean cost?"),
        ("model.hidden=3", "model: unknown 'model'; did you mean network?"),
        ("optimizer=adam", "did you mean 'optimiser'?"),
        ("optimiser.lr=1", "optimiser.lr: unknown 'lr'; did you mean eta? known: eta"),
        ("optimiser.mu=1", "optimiser.mu: is a setting of momentum, nesterov"),
        ("training.lr=1", "training.lr: unknown 'lr'; did you mean optimiser.eta? known: batch_"),
        ("network.epochs=1", "did you mean training.epochs? known: activation, hidden"),
        ("optimiser.sgd=1", "did you mean optimiser=sgd?"),
        ("data=penguins.csv", "of a file write data=csv data.path=penguins.csv"),
        ("xyzzy=1", "xyzzy: unknown 'xyzzy'; known: aggregation, checkpoint"),
        (
            "regulariser.strength=0.1",
            "regulariser.strength: is a setting of l2 and l1; choose one of them, such as regul",
        ),
        ("data.path=own.csv", "is a setting of csv, "),
        ("stopping.factor=2", "choose one of them, such as stopping="),
        ("cost=mse", "cost: unknown 'mse'; did you mean 'quadratic'? known: absolute"),
        ("cost=Cross-Entropy", "did you mean 'cross_entropy'?"),
        ("network.activation=ReLU", "did you mean 'relu'?"),
        ("network.activation=logistic", "did you mean 'sigmoid'?"),
        ("network.layers=[{name: maxpool},{n: 3}]", "did you mean 'max_pooling'?"),
        ("training.dtype=float16", "did you mean 'bfloat16'? known: bfloat16, float32, float64"),
    ],
)
def test_the_place_is_suggested(override: str, said: str) -> None:
    assert said in refused(override)


def test_every_field_and_every_component_has_a_place(registry: Registry) -> None:
    """Whatever the schemas hold, as a bare key."""
    for kind, offers in registry.offers.items():
        for name, offer in offers.items() if kind != PAIRS else ():
            assert suggestions.places(name, registry), name
            for field in dataclasses.fields(offer.component):
                assert suggestions.places(field.name, registry), (kind, name, field.name)
    for node in (schemas.NetworkConfig, schemas.TrainingConfig, schemas.CheckpointConfig):
        for field in dataclasses.fields(node):
            assert suggestions.places(field.name, registry), field.name


def test_every_synonym_means_something(registry: Registry) -> None:
    names = set(suggestions.SYNONYMS.values())
    assert all(suggestions.places(name, registry) for name in names)
    keys = {field.name for field in dataclasses.fields(schemas.Config)}
    assert not keys & suggestions.SYNONYMS.keys()


def test_every_synonym_of_a_component_means_one(registry: Registry) -> None:
    names = {name for offers in registry.offers.values() for name in offers}
    assert set(suggestions.COMPONENTS.values()) <= names
    for word, meant in suggestions.COMPONENTS.items():
        assert not any({word, meant} <= offers.keys() for offers in registry.offers.values())


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            f"{HEAD}optimiser: adam\n",
            (
                "config 'experiment/mine': optimiser: adam is not a mapping; a file chooses a "
                "component in its defaults list: defaults: - override /optimiser: adam"
            ),
        ),
        (f"{HEAD}schedule: cosine\n", "defaults: - override /schedule: cosine"),
        (f"{HEAD}initialiser: large\n", "defaults: - override /initialiser: large"),
        (f"{HEAD}optimiser: 3\n", "defaults: - override /optimiser: NAME"),
        (
            f"{HEAD}defaults:\n  - override optimiser: adam\n",
            (
                "config 'experiment/mine': there is no 'experiment/optimiser' to override; in a "
                "file write defaults: - override /optimiser: NAME"
            ),
        ),
        (
            f"{HEAD}defaults:\n  - optimiser: adam\n",
            (
                "there is no 'experiment/optimiser/adam'; in a file write defaults: - override "
                "/optimiser: adam"
            ),
        ),
        (
            f"{HEAD}defaults:\n  - /optimiser: adam\n",
            "optimiser: is chosen twice; in a file write defaults: - override /optimiser: adam",
        ),
        (f"{HEAD}defaults:\n  - override /optimizer: adam\n", "override /optimiser: NAME"),
        ("training:\n  epochs: 3\n", "let the file begin with the line # @package _global_"),
        (
            "defaults:\n  - override /optimiser: adam\n",
            "config 'experiment/mine': let the file begin with the line # @package _global_",
        ),
        (f"{HEAD}epochs: 3\n", "'experiment/mine': epochs: unknown 'epochs'; did you mean train"),
        (f"{HEAD}network:\n  hidden: 30\n", "network.hidden: 30 is not a list; write [30]"),
        (f"{HEAD}metrics: cost\n", "metrics: 'cost' is not a list; write [cost]"),
    ],
)
def test_a_file_is_told_how_it_is_written(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(content)
    assert said in refused("+experiment=mine", config_dir=tmp_path)


@pytest.mark.slow
def test_every_group_is_chosen_in_a_file_as_the_message_says(
    tmp_path: Path, registry: Registry
) -> None:
    """Slow: composes once for each group."""
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    for group in schemas.GROUPS:
        name = registry.names(group)[0]
        file.write_text(f"{HEAD}{group}: {name}\n")
        message = refused("+experiment=mine", config_dir=tmp_path)
        assert f"override /{group}: {name}" in message, message


def test_what_is_advised_for_a_file_works(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    file.write_text(f"{HEAD}defaults:\n  - override /optimiser: adam\noptimiser:\n  eta: 0.25\n")
    experiment = bpframe.compose(["+experiment=mine"], config_dir=tmp_path)
    assert "Adam(eta=0.25" in repr(experiment.optimiser)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("network.hidden=30", "network.hidden: 30 is not a list; write [30]"),
        ("metrics=delta_norm", "metrics: 'delta_norm' is not a list; write [delta_norm]"),
        ("training.epochs=[10]", "a list stands where one value is needed; write 10"),
        (
            "network.hidden=30,20",
            "has several values; bpframe.sweep runs them all; a list is written [a,b]",
        ),
        ("experiment=mine", "experiment: is chosen by no defaults list; write +experiment=NAME"),
    ],
)
def test_a_wrong_type_is_told_what_to_write(override: str, said: str) -> None:
    assert said in refused(override)


def test_the_config_of_a_run_is_refused_in_python_too(tmp_path: Path) -> None:
    folder = tmp_path / "run" / ".hydra"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 1\n")
    assert "bpframe.load" in refused(config_dir=folder)
