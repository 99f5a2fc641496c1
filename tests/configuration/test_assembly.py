"""From overrides to an Experiment: every documented key, the defaults, and all bad input."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import pytest
from bpframe_plugins import activations as act
from bpframe_plugins import costs, initialisers, optimisers, regularisers
from bpframe_plugins.datasets import Mnist
from hydra import compose as hydra_compose
from hydra import initialize
from hydra.core.global_hydra import GlobalHydra
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from needs import NEEDS
from omegaconf import OmegaConf

import bpframe
from bpframe import (
    BpframeError,
    ConfigError,
    ElementwiseActivation,
    PluginError,
    hookimpl,
    hyperparameter,
)
from bpframe.configuration import composition, schemas
from bpframe.configuration.schemas import GROUPS
from bpframe.equations import Unpaired
from bpframe.network import PerNeuronActivation
from bpframe.plugin_host.host import load_registry
from bpframe.training.experiment import Training

LINEAR_OUT = ("network.output_activation=linear", "cost=quadratic")


class Sine(ElementwiseActivation):
    """sigma(z) = sin(z frequency): an activation that no plugin of the project has."""

    frequency: float = hyperparameter(default=2.0, gt=0)

    def __call__(self, z: Any) -> Any:
        return jnp.sin(z * self.frequency)

    def prime(self, z: Any) -> Any:
        return self.frequency * jnp.cos(z * self.frequency)


class SinePlugin:
    """A plugin that is an object."""

    @hookimpl
    def bpframe_activations(self) -> dict[str, Any]:
        return {"sine": Sine}


def refused(*overrides: str, **keywords: Any) -> str:
    """The message of the ConfigError that the overrides raise; it is one line."""
    with pytest.raises(ConfigError) as caught:
        bpframe.compose(overrides, **keywords)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    return message


def test_defaults_are_the_documented_main_job() -> None:
    experiment = bpframe.compose()
    assert experiment.network.sizes == (64, 30, 10)
    assert [layer.activation for layer in experiment.network.layers] == [act.Sigmoid()] * 2
    assert isinstance(experiment.cost, costs.CrossEntropySigmoid)
    assert isinstance(experiment.optimiser, optimisers.Sgd)
    assert isinstance(experiment.initialiser, initialisers.Scaled)
    assert isinstance(experiment.regulariser, regularisers.NoRegulariser)
    assert experiment.seed == 0
    assert experiment.training.dtype == "float32"
    assert experiment.training.evaluate_train is False


# Each case: overrides, a path into the experiment, and the value that must stand there.
KEYS: list[tuple[tuple[str, ...], str, Any]] = [
    (("seed=3",), "seed", 3),
    (("data=xor",), "network.sizes", (2, 30, 1)),
    (("data.train_size=100",), "data.train_size", 100),
    (("data=mnist", "data.root=somewhere"), "data.root", "somewhere"),
    (("data=mnist", "data.download=true"), "data.download", True),
    (("data=fashion_mnist",), "network.sizes", (784, 30, 10)),
    (("network.hidden=[]",), "network.sizes", (64, 10)),
    (("network.hidden=[5,6,7]",), "network.sizes", (64, 5, 6, 7, 10)),
    (("network.activation=relu",), "network.layers.0.activation", act.Relu()),
    (("network.activation=relu",), "network.layers.1.activation", act.Sigmoid()),
    (
        ("network.activation={name: leaky_relu, slope: 0.1}",),
        "network.layers.0.activation",
        act.LeakyRelu(slope=0.1),
    ),
    (("network.activation={name: elu}",), "network.layers.0.activation", act.Elu(alpha=1.0)),
    (LINEAR_OUT, "network.layers.1.activation", act.Linear()),
    (
        ("network.output_activation=softmax", "cost=log_likelihood"),
        "cost",
        costs.LogLikelihoodSoftmax(costs.LogLikelihood(), act.Softmax()),
    ),
    (("cost=quadratic",), "cost", Unpaired(costs.Quadratic(), act.Sigmoid())),
    (("cost=huber", "cost.threshold=2"), "cost.cost_function.threshold", 2.0),
    (("optimiser.eta=3",), "optimiser", optimisers.Sgd(eta=3.0)),
    (("optimiser=momentum", "optimiser.mu=0.5"), "optimiser.mu", 0.5),
    (("optimiser.eta=0.2", "optimiser=adam"), "optimiser", optimisers.Adam(eta=0.2)),
    (("initialiser=he_normal",), "initialiser", initialisers.HeNormal()),
    (("regulariser=l2", "regulariser.strength=5"), "regulariser", regularisers.L2(strength=5.0)),
    (("regulariser=l1",), "regulariser", regularisers.L1()),
    (("regulariser=none",), "regulariser", regularisers.NoRegulariser()),
    (("learning_rule=backprop",), "learning_rule.is_gradient", True),
    (("training.epochs=7",), "training.epochs", 7),
    (("training.batch_size=32",), "training.batch_size", 32),
    (("training.dtype=float64",), "training.dtype", "float64"),
    (("training.dtype=bfloat16",), "training.dtype", "bfloat16"),
    (("training.evaluate_train=true",), "training.evaluate_train", True),
]


def at(value: Any, path: str) -> Any:
    """The value at a dotted path of attributes and positions."""
    step = lambda value, name: value[int(name)] if name.isdigit() else getattr(value, name)  # noqa: E731
    return functools.reduce(step, path.split("."), value)


@pytest.mark.share(4)
@pytest.mark.parametrize(("overrides", "path", "expected"), KEYS, ids=lambda case: str(case)[:60])
def test_every_documented_key(overrides: tuple[str, ...], path: str, expected: Any) -> None:
    assert at(bpframe.compose(overrides), path) == expected


@pytest.mark.slow
def test_a_config_that_is_changed_leaves_the_next_as_it_was() -> None:
    """Slow: runs whole commands."""
    schemas.store(load_registry())
    with composition.initialised():
        first, expected = (composition.compose_config(["data=xor"]) for _ in range(2))
        first.data.name = first.optimiser.eta = first.training.epochs = 7
        first.metrics.append("accuracy")
        again = composition.compose_config(["data=xor"])
    assert OmegaConf.to_yaml(again) == OmegaConf.to_yaml(expected) != OmegaConf.to_yaml(first)


class Slow(optimisers.Sgd):
    """Sgd with another default."""

    eta: float = hyperparameter(default=0.25, gt=0)


class Paced(optimisers.Sgd):
    """Sgd with a field more."""

    pace: float = hyperparameter(default=1.0)


class Offering:
    """A plugin with an optimiser called `mine`."""

    def __init__(self, optimiser: type[optimisers.Sgd]) -> None:
        self.optimiser = optimiser

    @hookimpl
    def bpframe_optimisers(self) -> dict[str, Any]:
        return {"mine": self.optimiser}


@pytest.mark.slow
def test_a_schema_is_that_of_the_plugins_that_are_there() -> None:
    """None stays of those that were there before. Slow: runs whole commands."""
    for optimiser in (Slow, Paced, Slow):
        found = bpframe.compose(["optimiser=mine"], plugins=[Offering(optimiser)])
        assert found.optimiser == optimiser()
    assert "unknown 'mine'" in refused("optimiser=mine")
    fast = refused("optimiser=mine", "optimiser.pace=2", plugins=[Offering(Slow)])
    assert "unknown 'pace'" in fast


def test_layers_one_by_one() -> None:
    layers = "[{n: 30, activation: {name: leaky_relu, slope: 0.1}}, {n: 10, activation: softmax}]"
    experiment = bpframe.compose([f"network.layers={layers}", "cost=log_likelihood"])
    assert experiment.network.sizes == (64, 30, 10)
    assert experiment.network.layers[0].activation == act.LeakyRelu(slope=0.1)
    assert isinstance(experiment.cost, costs.LogLikelihoodSoftmax)


def test_modified_neurons_of_several_layers() -> None:
    neurons = (
        "[{layer: 2, neuron: 3, activation: softplus}, {layer: 2, neuron: 0, activation: softplus},"
        "{layer: 2, neuron: 29, activation: {name: elu, alpha: 2}},"
        "{layer: 3, neuron: 9, activation: tanh}]"
    )
    network = bpframe.compose([f"network.modified_neurons={neurons}", "cost=quadratic"]).network
    hidden, output = (layer.activation for layer in network.layers)
    assert isinstance(hidden, PerNeuronActivation)
    assert isinstance(output, PerNeuronActivation)
    assert hidden.base == output.base == act.Sigmoid()
    assert {group.activation: group.neurons for group in hidden.modified} == {
        act.Softplus(): (0, 3),
        act.Elu(alpha=2.0): (29,),
    }
    assert {group.activation: group.neurons for group in output.modified} == {act.Tanh(): (9,)}


def test_modified_output_neuron_gives_up_the_stable_pair() -> None:
    neurons = "network.modified_neurons=[{layer: 3, neuron: 0, activation: sigmoid}]"
    assert isinstance(bpframe.compose([neurons]).cost, Unpaired)


def members() -> list[tuple[str, str]]:
    registry = load_registry()
    return [(group, name) for group in GROUPS for name in registry.names(group)]


@pytest.mark.share(6)
@pytest.mark.parametrize(("group", "name"), members())
def test_defaults_are_those_of_the_class(group: str, name: str) -> None:
    cls = load_registry().get(group, name, group)
    needs_softmax = group == "cost" and cls.needs_distribution
    output = "softmax" if needs_softmax else "sigmoid"
    is_whole = all(f.default is not dataclasses.MISSING for f in dataclasses.fields(cls))
    required = {} if is_whole else cls.examples[0]
    chosen = (f"{group}={name}", *NEEDS.get(name, ()))
    chosen += tuple(f"{group}.{field}={value}" for field, value in required.items())
    experiment = bpframe.compose([*chosen, f"network.output_activation={output}"])
    composed = experiment.cost.cost_function if group == "cost" else getattr(experiment, group)
    assert type(composed) is cls
    assert composed == cls(**required)


@pytest.mark.slow
def test_every_activation_has_its_defaults_under_either_form() -> None:
    """Slow: runs whole commands."""
    registry = load_registry()
    for name in registry.names("activation"):
        layers = f"[{{n: 4, activation: {name}}}, {{n: 4, activation: {{name: {name}}}}}"
        overrides = [f"network.layers={layers}, {{n: 10, activation: sigmoid}}]"]
        first, second, _ = bpframe.compose(overrides).network.layers
        assert first.activation == second.activation == registry.get("activation", name, "")()


@pytest.mark.parametrize("text", ["3", "3.0", "3e0", "'3'", '"3.0"'])
def test_numbers_of_any_form_become_floats(text: str) -> None:
    eta = bpframe.compose([f"optimiser.eta={text}"]).optimiser.eta  # pyright: ignore[reportAttributeAccessIssue]
    assert type(eta) is float
    assert eta == 3.0


def test_an_int_inside_an_activation_becomes_a_float() -> None:
    experiment = bpframe.compose(["network.activation={name: leaky_relu, slope: 1}"])
    slope = at(experiment, "network.layers.0.activation.slope")
    assert type(slope) is float


def test_a_list_becomes_a_tuple() -> None:
    assert bpframe.compose(["data=mnist"]).data == Mnist()
    data: Any = bpframe.compose(["data=mnist", "data.mirrors=[http://a/,http://b/]"]).data
    assert data.mirrors == ("http://a/", "http://b/")
    hash(data)


def test_the_experiment_is_frozen_and_hashable() -> None:
    experiment = bpframe.compose()
    with pytest.raises(dataclasses.FrozenInstanceError):
        experiment.seed = 2  # pyright: ignore[reportAttributeAccessIssue]
    assert experiment == bpframe.compose()
    assert hash(experiment) == hash(bpframe.compose())


NEURON = "network.modified_neurons=[{{layer: {}, neuron: {}, activation: {}}}]".format

TWICE = (
    "network.modified_neurons=[{layer: 2, neuron: 1, activation: relu}, "
    "{layer: 2, neuron: 1, activation: tanh}]"
)

# Each case: overrides, and what the message must hold.
BAD: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    # unknown names, with the known ones and a suggestion
    (
        ("optimiser=sdg",),
        ("optimiser: unknown 'sdg'", "did you mean 'sgd'?", "adam, adamw, clip_by_global_norm"),
    ),
    (("optimiser=max_norm", "optimiser.inner=adm"), ("optimiser.inner: unknown 'adm'", "'adam'")),
    (
        ("optimiser=max_norm", "optimiser.inner.etta=1"),
        ("optimiser.inner.etta: unknown 'etta'", "did you mean 'eta'?"),
    ),
    (
        ("optimiser=max_norm", "optimiser.inner={name: adam, beta1: 2}"),
        ("optimiser.inner.beta1: 2.0 is out of range",),
    ),
    (("optimiser=max_norm", "optimiser.inner=3"), ("optimiser.inner: 3 is not an optimiser",)),
    (("optimiser=max_norm", "optimiser.eta=3"), ("optimiser.eta: is a setting of sgd, momentum",)),
    (("aggregation=clipped", "aggregation.norm=0"), ("aggregation.norm: 0.0 is out of range",)),
    (("data=minst",), ("data: unknown 'minst'", "did you mean 'mnist'?", "digits")),
    (("cost=cros_entropy",), ("cost: unknown", "did you mean 'cross_entropy'?", "quadratic")),
    (("initialiser=xavier",), ("initialiser: unknown 'xavier'", "xavier_uniform")),
    (("regulariser=l3",), ("regulariser: unknown 'l3'", "known: l1, l2, none")),
    (("learning_rule=hebb",), ("learning_rule: unknown 'hebb'", "known: backprop")),
    (
        ("network.activation=sigmod",),
        ("network.activation: unknown 'sigmod'", "did you mean 'sigmoid'?", "known: elu, gelu"),
    ),
    (("network.output_activation=soft",), ("network.output_activation: unknown 'soft'",)),
    (("training.dtype=float16",), ("training.dtype: unknown 'float16'", "bfloat16, float32")),
    # unknown keys
    (("optimiser.etta=1",), ("optimiser.etta: unknown 'etta'", "did you mean 'eta'?")),
    (("optimiser.mu=0.5",), ("optimiser.mu: is a setting of momentum,", "choose one")),
    (("network.actvation=relu",), ("network.actvation", "did you mean 'activation'?", "hidden")),
    (("training.epoch=3",), ("training.epoch: unknown", "did you mean 'epochs'?")),
    (("batch_size=3",), ("batch_size: unknown", "did you mean training.batch_size?")),
    (("+network.dropout=0.5",), ("network.dropout: unknown 'dropout'", "known: activation")),
    (("+sweep.note=hi",), ("sweep.note: unknown 'note'", "known: direction")),
    (("+training.note=hi",), ("training.note: unknown 'note'",)),
    (("+plugins.note=hi",), ("plugins.note: unknown 'note'",)),
    (("+checkpoint.note=hi",), ("checkpoint.note: unknown 'note'", "known: epochs, keep")),
    (("checkpoint.epochs=0",), ("checkpoint.epochs: 0 is out of range; allowed: >= 1",)),
    (("checkpoint.keep=0.5",), ("checkpoint.keep: ", "0.5")),
    (("+foo=1",), ("foo: unknown 'foo'", "known: aggregation, checkpoint")),
    (("+optimiser.foo=1",), ("optimiser.foo: unknown 'foo'", "known: eta")),
    (
        ("network.activation={name: leaky_relu, slop: 1}",),
        ("network.activation.slop: unknown 'slop'", "did you mean 'slope'?"),
    ),
    (
        ("network.layers=[{n: 10, activaton: sigmoid}]",),
        ("network.layers[0].activaton: unknown", "did you mean 'activation'?"),
    ),
    (
        ("network.modified_neurons=[{layer: 2, neuon: 3, activation: relu}]",),
        ("network.modified_neurons[0].neuon: unknown", "did you mean 'neuron'?"),
    ),
    # wrong types
    (("optimiser.eta=abc",), ("optimiser.eta:", "'abc'", "Float")),
    (("optimiser.eta=[1]",), ("optimiser.eta:",)),
    (("optimiser.eta=null",), ("optimiser.eta:",)),
    (("training.epochs=1.5",), ("training.epochs:", "1.5", "Integer")),
    (("training.epochs=true",), ("training.epochs:", "True")),
    (("training.evaluate_train=maybe",), ("training.evaluate_train:", "'maybe'")),
    (("seed=a",), ("seed:", "'a'", "Integer")),
    (("data.train_size=few",), ("data.train_size:", "'few'", "Integer")),
    (("network.hidden=30",), ("network.hidden: 30 is not a list",)),
    (("network.hidden=[a]",), ("network.hidden[0]:", "'a'")),
    (("network.layers=3",), ("network.layers: 3 is not a list",)),
    (("network.layers=[3]",), ("network.layers[0]:", "3")),
    (("network.modified_neurons=3",), ("network.modified_neurons: 3 is not a list",)),
    (("network.activation=3",), ("network.activation: 3 is not an activation", "{name: NAME")),
    (
        ("network.activation=elu", "network.activation.alpha=2"),
        ("network.activation.alpha: write", "network.activation={name: NAME, alpha: VALUE}"),
    ),
    (
        ("activation=tanh",),
        ("activation: unknown 'activation'", "did you mean network.activation?"),
    ),
    (("metric=accuracy",), ("metric: unknown 'metric'", "did you mean metrics?")),
    (("metrics=[accuracies]",), ("metrics[0]: unknown 'accuracies'; did you mean 'accuracy'?",)),
    (("metrics=[{name: delta_norm, over: all}]",), ("metrics[0].over: unknown 'all'", "steps")),
    (("schedule=cosin",), ("schedule: unknown 'cosin'; did you mean 'cosine'?",)),
    (("schedule=step", "schedule.every=0"), ("schedule.every: 0.0 is out of range",)),
    (("network.activation=null",), ("network.activation: None is not an activation",)),
    (
        ("network.activation={slope: 1}",),
        ("network.activation:", "is not an activation", "{name: NAME"),
    ),
    (
        ("network.activation={name: leaky_relu, slope: steep}",),
        ("network.activation.slope:", "'steep'", "Float"),
    ),
    (
        ("network.layers=[{n: few, activation: sigmoid}]",),
        ("network.layers[0].n:", "'few'", "Integer"),
    ),
    (("network=3",), ("network:",)),
    (("training=null",), ("training:",)),
    (("cost=log_likelihood",), ("log_likelihood needs outputs that sum to one", "sigmoid")),
    (("cost.name=quadratic",), ("cost.name: cannot be set", "cost=quadratic")),
    (("optimiser=null",), ("optimiser=null: is no name; choose one with optimiser=NAME", "sgd")),
    (("optimiser=3",), ("optimiser",)),
    (("optimiser=[1]",), ("optimiser",)),
    # values out of range
    (("optimiser.eta=0",), ("optimiser.eta: 0.0 is out of range", "allowed: > 0")),
    (("optimiser.eta=-1",), ("optimiser.eta: -1.0 is out of range", "allowed: > 0")),
    (("optimiser.eta=nan",), ("optimiser.eta: nan is out of range",)),
    (("optimiser.eta=inf",), ("optimiser.eta: inf is out of range",)),
    (("optimiser.eta=1e400",), ("optimiser.eta: inf is out of range",)),
    (
        ("optimiser=momentum", "optimiser.mu=1"),
        ("optimiser.mu: 1.0 is out of range", "allowed: >= 0 and < 1"),
    ),
    (("regulariser=l2", "regulariser.strength=-1"), ("regulariser.strength: -1.0", ">= 0")),
    (("cost=huber", "cost.threshold=0"), ("cost.threshold: 0.0", "> 0")),
    (
        ("network.activation={name: elu, alpha: 0}",),
        ("network.activation.alpha: 0.0 is out of range", "allowed: > 0"),
    ),
    (("training.epochs=0",), ("training.epochs: 0 is out of range", "allowed: >= 1")),
    (("training.batch_size=0",), ("training.batch_size: 0 is out of range", "allowed: >= 1")),
    (("data.train_size=0",), ("data.train_size: 0 is out of range", "allowed: >= 1")),
    (("seed=-1",), ("seed: -1 is out of range", "allowed: >= 0")),
    ((f"seed={2**31}",), (f"seed: {2**31} is out of range",)),
    (("network.hidden=[30,0]",), ("network.hidden[1]: 0 is out of range", "allowed: >= 1")),
    (
        ("network.layers=[{n: -1, activation: sigmoid}]",),
        ("network.layers[0].n: -1 is out of range", "allowed: >= 1"),
    ),
    # layers and neurons that do not exist
    ((NEURON(1, 0, "relu"),), ("modified_neurons[0].layer: 1 does not exist", "2 to 3")),
    ((NEURON(4, 0, "relu"),), ("modified_neurons[0].layer: 4 does not exist", "2 to 3")),
    ((NEURON(2, 30, "relu"),), ("modified_neurons[0].neuron: 30 does not", "0 to 29")),
    ((NEURON(2, -1, "relu"),), ("modified_neurons[0].neuron: -1 does not", "0 to 29")),
    ((NEURON(2, 1, "rleu"),), ("modified_neurons[0].activation: unknown 'rleu'", "'relu'")),
    (
        (NEURON(2, 1, "{name: elu, alpha: -1}"),),
        ("modified_neurons[0].activation.alpha: -1.0 is out of range",),
    ),
    ((NEURON(2, 1, "softmax"),), ("modified_neurons[0]", "softmax couples the neurons")),
    (
        ("network.activation=softmax", NEURON(2, 1, "relu")),
        ("modified_neurons[0]", "softmax couples the neurons"),
    ),
    (
        (TWICE,),
        ("modified_neurons[1]", "neuron 1 of layer 2 is modified twice"),
    ),
    # required and missing values
    (("network.layers=[]",), ("network.layers: is empty",)),
    (("network.layers=[{n: 10}]",), ("network.layers[0].activation: is required",)),
    (("network.modified_neurons=[{layer: 2, neuron: 1}]",), ("[0].activation: is required",)),
    (("optimiser.eta=???",), ("optimiser.eta: is required",)),
    (("seed=???",), ("seed: is required",)),
    (("network.activation=???",), ("network.activation: is required",)),
    # parts that cannot go together
    (
        ("network.output_activation=relu",),
        ("cost: cross_entropy is defined for outputs from 0 to 1", "0 to inf", "sigmoid"),
    ),
    (
        ("cost=log_likelihood", "network.output_activation=linear"),
        ("cost: log_likelihood is defined for outputs from 0 to 1", "-inf to inf"),
    ),
    (
        (NEURON(3, 0, "softplus"),),
        ("cost: cross_entropy is defined for outputs from 0 to 1", "0 to inf"),
    ),
    (
        ("data=xor", "network.output_activation=softmax", "cost=log_likelihood"),
        ("network.output_activation: softmax needs a layer of at least 2 neurons", "has 1"),
    ),
    (
        ("network.activation=softmax", "network.hidden=[1]"),
        ("network.activation: softmax needs a layer of at least 2 neurons",),
    ),
    (
        ("network.layers=[{n: 5, activation: sigmoid}]",),
        ("network.layers[0].n: 5 output neurons", "10 outputs", "set n to 10"),
    ),
    (
        ("network.layers=[{name: max_pooling}]",),
        ("network.layers[0]: 4 x 4 x 1 output neurons", "add a dense layer of 10 neurons after it"),
    ),
    (
        ("network.hidden=[3]", "network.layers=[{n: 10, activation: sigmoid}]"),
        ("network.hidden=[3]", "network.layers", "exclude each other"),
    ),
    # overrides that cannot be read
    (("optimiser",), ("optimiser: cannot be read as key=value",)),
    (("network.hidden=[1",), ("network.hidden=[1: cannot be read as key=value",)),
    (("cost=quadratic,absolute",), ("has several values", "bpframe.sweep")),
    (("optimiser.eta=${nope}",), ("optimiser.eta:", "'nope' not found")),
    (("~training",), ("training",)),
    (("training.epochs=???",), ("training.epochs: is required",)),
    (("+training.foo=1",), ("training.foo: unknown 'foo'; known: batch_size",)),
    (("training.shared_order=true",), ("training.shared_order: unknown",)),
]


@pytest.mark.share(6)
@pytest.mark.parametrize(("overrides", "parts"), BAD, ids=lambda case: " ".join(case)[:70])
def test_bad_input_is_one_clear_line(overrides: tuple[str, ...], parts: tuple[str, ...]) -> None:
    message = refused(*overrides)
    assert all(part in message for part in parts), message


def test_the_settings_of_training_are_declared_once() -> None:
    """The composed config has the fields and defaults of Training, and the file none of them."""
    assert bpframe.compose().training == Training()
    with composition.initialised():
        cfg = composition.compose_config([])
    composed = {**cfg.training, "shared_order": cfg.sweep.shared_order}
    assert composed == dataclasses.asdict(Training())
    assert list(composed) == [field.name for field in dataclasses.fields(Training)]
    file = OmegaConf.load(schemas.directory() / "config.yaml")
    assert "training" not in file
    assert "shared_order" not in file.sweep


def test_layers_that_are_null_leave_the_short_way() -> None:
    experiment = bpframe.compose(["network.layers=null", "network.hidden=[3]"])
    assert experiment.network.sizes == (64, 3, 10)


@pytest.mark.parametrize("override", ["seed=???", "~optimiser"])
def test_no_suggestion_of_the_same_word(override: str) -> None:
    name = override.strip("~=?")
    assert f"did you mean '{name}'" not in refused(override)


def test_unknown_config_name() -> None:
    message = refused(config_name="no_such_config")
    assert "'no_such_config': is not in the config path" in message


def test_compose_inside_hydra_leaves_it_as_it_was() -> None:
    with initialize(version_base=None, config_path=None):
        before = GlobalHydra.instance().hydra
        assert bpframe.compose(["seed=4"]).seed == 4
        with pytest.raises(ConfigError):
            bpframe.compose(["optimiser=sdg"])
        assert GlobalHydra.instance().hydra is before
        assert hydra_compose(overrides=["+mine=3"]).mine == 3


def test_compose_leaves_hydra_uninitialised() -> None:
    GlobalHydra.instance().clear()
    bpframe.compose()
    assert not GlobalHydra.instance().is_initialized()


def test_plugins_argument_holds_for_one_call() -> None:
    overrides = ["network.activation={name: sine, frequency: 3}"]
    experiment = bpframe.compose(overrides, plugins=[SinePlugin()])
    assert at(experiment, "network.layers.0.activation") == Sine(frequency=3.0)
    assert "unknown 'sine'" in refused(*overrides)


def test_plugins_argument_is_checked_like_any_plugin() -> None:
    message = refused("network.activation={name: sine, frequency: 0}", plugins=[SinePlugin()])
    assert "network.activation.frequency: 0.0 is out of range" in message
    with pytest.raises(PluginError, match="SinePlugin"):
        bpframe.compose(plugins=[SinePlugin(), SinePlugin()])


KEYS_FOR_GARBAGE = [
    "seed",
    "data",
    "data.train_size",
    "network.hidden",
    "network.activation",
    "network.layers",
    "network.modified_neurons",
    "cost",
    "optimiser",
    "optimiser.eta",
    "training.dtype",
    "training",
    "+more",
    "~network",
]
WORDS = st.sampled_from(
    ["null", "???", "true", "-1", "1.5", "1e999", "nan", "sigmoid", "[]", "{}", "[null]", "[[1]]"]
)
NESTED = st.sampled_from(
    ["{name: 3}", "{name: elu, alpha: null}", "[{n: 3}]", "[{layer: 2}]", "${seed}", "${x", "''"]
)
GARBAGE = st.one_of(WORDS, NESTED, st.text(alphabet="[]{}:,= a1.-'\"\\$?é\n", max_size=8))


@pytest.mark.slow
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # shrinking a failure would compose hundreds of times more
)
@given(key=st.sampled_from(KEYS_FOR_GARBAGE), value=GARBAGE)
def test_garbage_is_an_experiment_or_one_line(key: str, value: str) -> None:
    """Slow: runs whole commands."""
    try:
        message = str(type(bpframe.compose([f"{key}={value}"])))
    except BpframeError as error:
        message = str(error)
    assert message.strip()
    assert len(message.splitlines()) == 1


def test_an_optimiser_in_an_optimiser_is_chosen_by_name_with_its_fields() -> None:
    def inner(*overrides: str) -> Any:
        outer: Any = bpframe.compose(["optimiser=max_norm", *overrides]).optimiser
        return outer.inner

    adam = inner("optimiser.inner=adam")
    assert (type(adam).__name__, adam.eta) == ("Adam", 0.001)
    assert inner("optimiser.inner={name: adam, eta: 0.5}").eta == 0.5
    assert inner("optimiser.inner.eta=0.25").eta == 0.25
    nested = inner("optimiser.inner={name: clip_by_global_norm, inner: {name: momentum, mu: 0.5}}")
    assert nested.inner.mu == 0.5
