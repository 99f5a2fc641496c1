"""Where a key belongs that stands where it is not known: `epochs=10`, `optimiser.lr=0.1`."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from omegaconf import OmegaConf

from bpframe.configuration import schemas
from bpframe.errors import UnknownNameError
from bpframe.plugin_host.registry import PAIRS, Registry

SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        word: meant
        for meant, words in {
            "eta": "lr learning_rate step_size init_lr base_lr learning_rate_init",
            "mu": "momentum",
            "strength": "lambda lmbda lam lambd reg weight_decay l2_penalty l1_penalty",
            "beta1": "beta_1 b1",
            "beta2": "beta_2 b2",
            "epsilon": "eps",
            "epochs": "n_epochs num_epochs max_epochs max_iter iterations",
            "batch_size": "batch bs minibatch mini_batch minibatch_size mini_batch_size",
            "hidden": "hidden_layers hidden_sizes hidden_size hidden_layer_sizes units n_hidden",
            "dtype": "precision",
            "train_size": "n_train",
            "standardise": "standardize normalise normalize",
            "data": "dataset data_set",
            "network": "model net",
            "cost": "loss criterion objective_function",
            "optimiser": "optim solver",
            "initialiser": "init weight_init initialization initialisation",
            "regulariser": "regularization regularisation penalty",
            "learning_rule": "rule",
            "schedule": "scheduler lr_scheduler lr_schedule",
            "stopping": "early_stopping early_stop",
            "metrics": "metric",
            "record": "recorder recorders recording",
            "trackers": "tracker loggers logger",
            "seed": "random_state random_seed",
        }.items()
        for word in words.split()
    }
)
"""What others call a field or a key of bpframe."""

COMPONENTS: Mapping[str, str] = MappingProxyType(
    {
        word: meant
        for meant, words in {
            "quadratic": "mse mean_squared_error squared_error l2_loss",
            "absolute": "mae l1_loss mean_absolute_error",
            "cross_entropy": "bce binary_crossentropy binary_cross_entropy log_loss",
            "log_likelihood": "nll nll_loss categorical_crossentropy softmax_cross_entropy",
            "huber": "smooth_l1 smooth_l1_loss",
            "sigmoid": "logistic expit",
            "linear": "identity",
            "silu": "swish",
            "sgd": "gradient_descent gd",
            "layer_norm": "layernorm layer_normalisation layer_normalization",
            "convolution": "conv conv2d convolutional",
            "max_pooling": "maxpool max_pool maxpool2d",
            "scaled": "lecun xavier glorot lecun_normal",
            "feedback_alignment": "fa",
            "direct_feedback_alignment": "dfa",
        }.items()
        for word in words.split()
    }
)
"""What others call a component of bpframe."""

_SETTINGS: Mapping[str, type] = {
    "network": schemas.NetworkConfig,
    "training": schemas.TrainingConfig,
    "checkpoint": schemas.CheckpointConfig,
    "sweep": schemas.SweepConfig,
    "plugins": schemas.PluginsConfig,
}
_WRITTEN = {
    "activation": "network.activation={}",
    "metric": "metrics=[{}]",
    "recorder": "record=[{}]",
    "tracker": "trackers=[{}]",
    "layer": "network.layers=[{}, ...]",
}
_RARE = ("checkpoint", "plugins", "sweep")
"""Nodes of which others are meant first."""

_MOST = 3
_ALIKE = 0.8
_PLACE = re.compile(r"config '(?P<group>[^']*)/[^'/]*': ")


@contextmanager
def explaining(registry: Registry) -> Iterator[None]:
    """Explain a name or a key that is not known by what this registry knows."""
    try:
        with registry.explaining():
            yield
    except UnknownNameError as error:
        text = _text(error, registry)
        if text is None:
            raise
        raise UnknownNameError(text, path=error.path, name=error.name) from error


def places(name: str, registry: Registry) -> list[str]:
    """Where what is called `name` stands, as keys or parts of overrides; the most likely first.

    `name` is a key, a field of a component or of the settings, a component, or what others call
    one of them.
    """
    word = name.lower().replace("-", "_")
    found = _exact(word, registry) + _exact(SYNONYMS.get(word, ""), registry)
    if found:
        return found
    near = difflib.get_close_matches(word, _names(registry), n=1, cutoff=_ALIKE)
    return [place for each in near for place in _exact(SYNONYMS.get(each, each), registry)]


def _text(error: UnknownNameError, registry: Registry) -> str | None:
    """The text of an error for a key with the places where it belongs."""
    kind = error.name.rpartition(".")[2]
    if error.path == "data" and kind != error.name and kind in registry.offers["data"]:
        return f"{error}; of a file write data={kind} data.path={error.name}"
    parent, _, last = error.path.rpartition(".")
    head, is_unknown, rest = str(error).partition(": unknown ")
    if not is_unknown or parent.startswith("hydra"):
        return None  # explained already
    if last != error.name:  # a value, and no key
        return _of_a_component(error, rest)
    in_file = _PLACE.match(head)
    if in_file and in_file["group"] == error.name:
        return (
            f"{head}: unknown {error.name!r}; let the file begin with the line # @package _global_"
        )
    known = rest.partition("known: ")[2]
    meant = SYNONYMS.get(last.lower(), "")
    if owners := _owners(error.path, registry):
        others = ", ".join(owners[:-1]) + " and " * (len(owners) > 1) + owners[-1]
        return f"{head}: is a setting of {others}; choose one of them, such as {parent}={owners[0]}"
    if parent and meant and meant in known.split(", "):
        found = [meant]  # it stands beside it, as in optimiser.lr
    elif "did you mean" in rest:
        found = _exact(last, registry) or _exact(meant, registry)
    else:
        found = places(last, registry)
    if not found:
        return None
    listed = f" known: {known}" if parent and known else ""
    return f"{head}: unknown {error.name!r}; did you mean {_either(found)}?{listed}"


def _owners(path: str, registry: Registry) -> list[str]:
    """The components of a group that have a setting, which the chosen one lacks."""
    group, _, field = path.partition(".")
    offers = registry.offers.get(group, {}) if group in schemas.GROUPS else {}
    return [name for name, offer in offers.items() if field in _of(offer.component)]


def _of_a_component(error: UnknownNameError, rest: str) -> str | None:
    """The text of an error for a component that others call so."""
    known = rest.partition("known: ")[2]
    meant = COMPONENTS.get(error.name.lower().replace("-", "_"))
    if meant not in known.split(", "):
        return None
    return f"{error.path}: unknown {error.name!r}; did you mean {meant!r}? known: {known}"


def _either(found: Sequence[str]) -> str:
    *others, last = found[:_MOST]
    return f"{', '.join(others)} or {last}" if others else last


def _exact(name: str, registry: Registry) -> list[str]:
    """The places of exactly this name."""
    if name in _keys():
        return [name]
    chosen = [f"{node}.{name}" for node, schema in _SETTINGS.items() if name in _of(schema)]
    shares: dict[str, float] = {}
    others: list[str] = []
    for kind, offers in registry.offers.items():
        if kind == PAIRS:
            continue
        if name in offers:
            others.append(_WRITTEN.get(kind, f"{kind}={{}}").format(_item(kind, name)))
        owners = [each for each, offer in offers.items() if name in _of(offer.component)]
        if not owners:
            continue
        if kind in _WRITTEN:
            several = "NAME" if len(owners) > 1 else owners[0]
            if (kind, name) != ("layer", schemas.ACTIVATION):
                others.append(_WRITTEN[kind].format(f"{{name: {several}, {name}: VALUE}}"))
        elif _default(kind) in owners:
            chosen.append(f"{kind}.{name}")
        else:
            more = ", ".join([*owners[:2], *["..."] * (len(owners) > 2)])
            shares[f"{kind}.{name} (of {more})"] = len(owners) / len(offers)
    if likely := [place for place in chosen if place.partition(".")[0] not in _RARE]:
        return likely
    return [*chosen, *others, *sorted(shares, key=lambda place: -shares[place])]


def _item(kind: str, name: str) -> str:
    return f"{{name: {name}}}" if kind == "layer" else name


def _of(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _keys() -> list[str]:
    return _of(schemas.Config)


def _names(registry: Registry) -> list[str]:
    """All that `_exact` knows, with the synonyms."""
    names = {*_keys(), *SYNONYMS}
    names |= {name for schema in _SETTINGS.values() for name in _of(schema)}
    for kind, offers in registry.offers.items():
        for name, offer in offers.items() if kind != PAIRS else ():
            names |= {name, *_of(offer.component)}
    return sorted(names)


@functools.cache
def _default(group: str) -> str | None:
    """The component that bpframe's own config chooses."""
    config = OmegaConf.load(schemas.directory() / "config.yaml")
    return next((entry[group] for entry in config.defaults if group in entry), None)
