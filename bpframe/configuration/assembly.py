"""From a composed config to a checked Experiment: the only place where names become instances."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from bpframe.component import check_fields
from bpframe.configuration import networks, schemas, suggestions
from bpframe.configuration.components import component, merged, named
from bpframe.configuration.trackers import chosen
from bpframe.configuration.translation import translated
from bpframe.contracts import Cost, OutputPair
from bpframe.deltas.curvature import has_curvature
from bpframe.deltas.hessian import lacks_hessian
from bpframe.equations import Unpaired
from bpframe.errors import ConfigError, unknown
from bpframe.learning import replaces
from bpframe.metrics import STEPS, Metric, Monitor
from bpframe.network import Network, PerNeuronActivation
from bpframe.plugin_host.registry import Registry
from bpframe.recorders import NamedRecorder
from bpframe.runs.checkpoint import Checkpointing
from bpframe.training.best import Criterion, rises
from bpframe.training.experiment import ALL, POISSON, Experiment, Training


def assemble(
    cfg: DictConfig, registry: Registry, sizes: networks.Sizes | None = None
) -> Experiment:
    """Look every name up, make the instances, and check what can be checked without data.

    The network fits `sizes`, or the data set that is chosen.

    Raises:
        ConfigError: an unknown name or key, a wrong type, a value out of range, or parts that
            cannot go together.

    """
    with suggestions.explaining(registry), translated():
        _check_keys(cfg)
        _check_settings(cfg)
        parts = {group: component(cfg[group], group, registry) for group in schemas.GROUPS}
        network, output_name = networks.network(cfg.network, sizes or parts["data"], registry)
        training = Training(
            **schemas.values(merged(schemas.TrainingConfig, cfg.training, "training")),
            shared_order=bool(cfg.sweep.shared_order),
        )
        cost = parts.pop("cost")
        pair = _pair(cost, str(cfg.cost.name), network, output_name, registry)
        experiment = Experiment(
            **parts,
            network=network,
            cost=pair,
            metrics=_metrics(cfg.metrics, registry),
            recorders=_recorders(cfg.record, registry),
            record_limit=cfg.record_limit,
            training=training,
            seed=cfg.seed,
            best=_criterion(cfg.sweep),
        )
        chosen(cfg.trackers, registry)  # no part of the experiment, but checked with it
    _check_schedule(experiment, str(cfg.schedule.name), str(cfg.optimiser.name))
    experiment.learning_rule.check(network, pair)
    experiment.optimiser.check(network, pair)
    _check_hidden(experiment, str(cfg.learning_rule.name))
    _check_needs(experiment, str(cfg.learning_rule.name))
    _check_pairs(experiment)
    _check_sampling(experiment, str(cfg.learning_rule.name), str(cfg.optimiser.name))
    _check_devices(training)
    _check_curvature(experiment, str(cfg.cost.name))
    check_fields(experiment, "")
    return experiment


def _criterion(sweep: DictConfig) -> Criterion:
    """By what the best parameters are chosen: what the runs of a sweep are compared by."""
    name = sweep.objective
    if name is None:
        if sweep.direction is not None:
            raise ConfigError(
                f"sweep.direction: {sweep.direction!r} needs an objective; set sweep.objective too"
            )
        return Criterion()
    more_is_better = sweep.direction == "maximise" if sweep.direction else rises(name)
    return Criterion(name, more_is_better)


def _check_keys(cfg: DictConfig) -> None:
    """Refuse what was added or taken away at the top with + or ~."""
    known = {field.name for field in dataclasses.fields(schemas.Config)}
    for key in cfg:
        if key not in known | {"hydra"}:
            raise unknown(str(key), key, known)
    missing = [key for key in sorted(known) if key not in cfg or OmegaConf.is_missing(cfg, key)]
    if len(missing) == 1:
        raise ConfigError(f"{missing[0]}: is required; set {missing[0]}=...")
    if missing:
        raise ConfigError(
            f"{', '.join(missing)}: are required; let the defaults list of the primary config "
            "begin with config, which sets them"
        )


_SETTINGS = {
    "network": schemas.NetworkConfig,
    "checkpoint": schemas.CheckpointConfig,
    "sweep": schemas.SweepConfig,
    "plugins": schemas.PluginsConfig,
}


def _check_settings(cfg: DictConfig) -> None:
    """Check what belongs to no component: nothing is there that nobody reads, and of another type.

    Hydra checks neither what is added with + nor configs without a schema.
    """
    for path, schema in _SETTINGS.items():
        merged(schema, cfg[path], path)
    Checkpointing(**cfg.checkpoint).check()
    for path, allowed, kinds in (
        ("seed", "an integer", (int,)),
        ("plots", "true, false or null", (bool, type(None))),
        ("show", "true or false", (bool,)),
        ("metrics", "a list", (ListConfig,)),
        ("record", "a list", (ListConfig,)),
        ("record_limit", "a number of MiB", (int,)),
        ("trackers", "a list", (ListConfig,)),
    ):
        value = cfg[path]
        if not isinstance(value, kinds) or (kinds == (int,) and isinstance(value, bool)):
            write = f"; write [{value}]" if kinds == (ListConfig,) else ""
            raise ConfigError(f"{path}: {value!r} is not {allowed}{write}")


def _metrics(nodes: Any, registry: Registry) -> tuple[Monitor, ...]:
    """The metrics with their names; each may stand once for what it is over."""
    monitors: list[Monitor] = []
    for index, node in enumerate(nodes):
        path = f"metrics[{index}]"
        name, metric = named(node, "metric", path, registry)
        assert isinstance(metric, Metric)
        if any((name, metric.over) == (m.name, m.metric.over) for m in monitors):
            raise ConfigError(
                f"{path}: {name} over {metric.over} is chosen already; remove one, or set another "
                "over"
            )
        monitors.append(Monitor(name, metric))
    return tuple(monitors)


def _recorders(nodes: Any, registry: Registry) -> tuple[NamedRecorder, ...]:
    """The recorders with their names, under which their arrays are found again."""
    found: list[NamedRecorder] = []
    for index, node in enumerate(nodes):
        path = f"record[{index}]"
        name, recorder = named(node, "recorder", path, registry)
        if any(name == other.name for other in found):
            raise ConfigError(f"{path}: {name} is chosen already; remove one")
        found.append(NamedRecorder(name, recorder))
    return tuple(found)


def _check_schedule(experiment: Experiment, name: str, optimiser: str) -> None:
    if not experiment.schedule.is_constant and not experiment.optimiser.has_eta:
        raise ConfigError(
            f"schedule: {name} scales optimiser.eta, and {optimiser} has no eta; set "
            "schedule=constant, or choose another optimiser, such as sgd"
        )


def _check_hidden(experiment: Experiment, rule: str) -> None:
    """A rule that says how the error reaches hidden layers has some to reach."""
    carries = replaces(experiment.learning_rule, "carry")
    if carries and len(experiment.network.layers) == 1:
        raise ConfigError(
            f"learning_rule: {rule} says how the error reaches hidden layers, and the network has "
            "none; set network.hidden, or learning_rule=backprop"
        )


_NEEDS = (
    ("feedback", "compares feedback weights", "has none", "feedback_alignment"),
    ("settling", "watches activities settle", "has none that do", "predictive_coding"),
)
"""Methods of learning rules that metrics need: what for, what is said without, and a rule."""


def _check_needs(experiment: Experiment, rule: str) -> None:
    """What metrics need of the learning rule is there."""
    for monitor, (method, does, but, such) in itertools.product(experiment.metrics, _NEEDS):
        needed = getattr(monitor.metric, f"needs_{method}")
        if needed and not replaces(experiment.learning_rule, method):
            raise ConfigError(
                f"metrics: {monitor.name} {does}, and learning_rule={rule} {but}; leave it out, or "
                f"choose a rule that has, such as {such}"
            )


def _check_curvature(experiment: Experiment, cost: str) -> None:
    """The cost tells its curvature to the metrics that need it."""
    for monitor in experiment.metrics:
        if monitor.metric.needs_hessian and (
            lacks := lacks_hessian(experiment.network, experiment.cost)
        ):
            raise ConfigError(
                f"metrics: {monitor.name} needs {lacks}; leave it out, or take curvature_trace, of "
                "the generalised Gauss-Newton matrix"
            )
        told = not monitor.metric.needs_curvature or has_curvature(
            experiment.cost, experiment.network.n_out
        )
        if not told:
            raise ConfigError(
                f"metrics: {monitor.name} needs the curvature of the cost, which {cost} with this "
                "output activation does not tell; leave it out, or choose another cost, such as "
                "quadratic"
            )


def _check_sampling(experiment: Experiment, rule: str, optimiser: str) -> None:
    """What looks at all examples of a mini-batch sees none that a Poisson sample is filled up with.

    Without shuffling there is nothing to draw.
    """
    training = experiment.training
    if training.sampling != POISSON:
        return
    over_steps = [m.name for m in experiment.metrics if m.metric.over == STEPS]
    for is_bad, what, instead in (
        (bool(over_steps), f"metrics over the steps ({', '.join(over_steps)})",
         "set over: train, or leave them out"),
        (replaces(experiment.learning_rule, "learn"), f"learning_rule={rule}, which learns itself",
         "choose another rule"),
        (experiment.optimiser.sees_examples, f"optimiser={optimiser}, which looks at the examples",
         "choose another one, such as sgd"),
        (not training.shuffle, "training.shuffle=false", "leave one of them out"),
    ):  # fmt: skip
        if is_bad:
            raise ConfigError(f"training.sampling: poisson does not go with {what}; {instead}")


def _check_devices(training: Training) -> None:
    """How many devices share a run, and that there is something to share."""
    for name, wanted in (("devices", training.devices), ("hosts", training.hosts)):
        if isinstance(wanted, bool) or (isinstance(wanted, str) and wanted != ALL):
            raise ConfigError(
                f"training.{name}: {wanted!r} is no number of {name}; set a number, or {ALL}"
            )
    if training.shard and training.hosts != 1:
        raise ConfigError(
            f"training.shard: {training.shard} does not go with several hosts, of which each has "
            "the parameters whole; leave one of them out"
        )
    if training.shard and training.devices == 1:
        raise ConfigError(
            f"training.shard: {training.shard} needs several devices; set training.devices={ALL}, "
            "or leave it out"
        )


def _check_pairs(experiment: Experiment) -> None:
    """A metric that compares examples sees two at a time."""
    for monitor in experiment.metrics:
        metric, batch_size = monitor.metric, experiment.training.batch_size
        alone, instead = (
            (batch_size == 1, "training.batch_size=1; set it to 2 or more")
            if metric.over == STEPS
            else (metric.first == 1, "first: 1; set it to 2 or more")
        )
        if metric.needs_pairs and alone:
            raise ConfigError(
                f"metrics: {monitor.name} over {metric.over} compares examples of a mini-batch, "
                f"and with {instead}, or leave the metric out"
            )


def _pair(
    cost: Cost, cost_name: str, network: Network, output_name: str, registry: Registry
) -> OutputPair:
    """The pair that the cost and the output layer make; checks that they can go together."""
    output = network.layers[-1].activation
    modified = isinstance(output, PerNeuronActivation)
    members = output.members if isinstance(output, PerNeuronActivation) else (output,)
    for member in members:
        low, high = cost.domain
        if not (low <= member.range[0] and member.range[1] <= high):
            raise ConfigError(
                f"cost: {cost_name} is defined for outputs from {low:g} to {high:g}, and "
                f"{type(member).__name__} gives {member.range[0]:g} to {member.range[1]:g}; choose "
                "another cost, or an output activation with that range, such as sigmoid"
            )
    if cost.needs_distribution and not output.sums_to_one:
        raise ConfigError(
            f"cost: {cost_name} needs outputs that sum to one, and {output_name} does not give "
            "them; set network.output_activation=softmax, or choose another cost"
        )
    pair = None if modified else registry.pair(cost_name, output_name)
    return (pair or Unpaired)(cost, output)
