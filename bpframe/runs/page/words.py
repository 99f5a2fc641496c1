"""What was trained, how it ended and how to run it again, in the words of a person."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bpframe.pages.text import short, shown
from bpframe.runs.page.reading import Written, mapping, number

_LONGEST = 60


def trained(written: Written) -> str:
    """A line such as "A 64-30-10 network of sigmoid neurons on digits, trained by sgd, ..."."""
    config, network = written.config, mapping(written.config.get("network"))
    layers = network.get("layers")
    sizes = written.summary.get("sizes")
    if isinstance(sizes, list) and sizes:
        named = [str(n) for n in sizes]
        shape = "-".join(named if len(named) <= 12 else [*named[:6], "...", *named[-5:]])
        first = f"A {shown(shape, _LONGEST)} network"
    else:
        first = "A network"
    if not config:
        return f"{first}; its configuration cannot be read."
    kinds = _kinds(layers) if isinstance(layers, list) else _neurons(network)
    parts = [f"{first} {kinds} on {_name(config.get('data'))}", _optimiser(config)]
    cost = f"cost {_name(config.get('cost'))}"
    penalty = mapping(config.get("regulariser"))
    if penalty.get("name") not in (None, "none"):
        cost += f" and {_name(penalty)} regularisation{_of(penalty, 'strength')}"
    rule = _name(config.get("learning_rule"))
    training = mapping(config.get("training"))
    m = training.get("batch_size")
    return ", ".join(
        [
            *parts,
            cost,
            *([f"learning by {rule}"] if rule not in ("backprop", "?") else []),
            "full batches" if m is None else f"mini-batches of {shown(m, _LONGEST)}",
            f"seed {shown(config.get('seed', '?'), _LONGEST)}.",
        ]
    )


def ended(written: Written) -> str:
    """How far it came and what it reached."""
    summary = written.summary
    if not summary:
        n = written.records[-1]["epoch"] if written.records else 0
        return f"The run has not ended, or was killed; {_epochs(n)} are recorded."
    parts = [f"{_epochs(summary.get('epochs'))}"]
    accuracy, cost = summary.get("test_accuracy"), summary.get("test_cost")
    if number(accuracy):
        parts.append(f"{accuracy:.2%} right on the test set")
    if number(cost):
        parts.append(f"test cost {short(cost)}")
    if written.best_epoch is not None:
        best = summary.get("best_validation_accuracy"), summary.get("best_validation_cost")
        reached = (
            f"{best[0]:.2%} right"
            if number(best[0])
            else (f"cost {short(best[1])}" if number(best[1]) else "")
        )
        among = f" (up to {reached} on the validation set)" if reached else ""
        parts.append(f"best epoch {written.best_epoch}{among}")
    if summary.get("stopped"):
        parts.append(f"stopped {shown(summary['stopped'])}")
    return ", ".join(parts) + "."


def again(written: Written) -> Mapping[str, str]:
    """Commands: what runs it once more, and all that was given when it ran."""
    found = {"run it again": f"bpframe rerun {shlex.quote(str(written.folder))}"}
    if written.command:
        found["as a command"] = shlex.join(written.command)
    return found


def facts(written: Written) -> list[tuple[str, str]]:
    """Versions, device and time."""
    summary, timing = written.summary, mapping(written.summary.get("timing"))
    found: list[tuple[str, str]] = []
    if number(timing.get("compile_s")):
        found.append(("compiling", f"{timing['compile_s']:.2f} s"))
    epochs = timing.get("epoch_s")
    if isinstance(epochs, list) and epochs and all(map(number, epochs)):
        found.append(("training", f"{sum(epochs):.2f} s"))
    if summary.get("device"):
        found.append(("device", shown(summary["device"], _LONGEST)))
    versions = mapping(summary.get("versions"))
    if versions:
        texts = [f"{shown(k, 40)} {shown(v, 40)}" for k, v in list(versions.items())[:20]]
        found.append(("versions", ", ".join(texts)))
    if summary.get("changed"):
        found.append(("changed since it began", shown(summary["changed"])))
    privacy = mapping(summary.get("privacy"))
    if privacy.get("text"):
        found.append(("privacy", shown(privacy["text"])))
    return found


def class_name(names: Sequence[str], place: Any) -> str:
    """The name of a class, or its number."""
    known = isinstance(place, int) and 0 <= place < len(names)
    return shown(names[place] if known else place, _LONGEST)


def outputs(written: Written, layer: int, neurons: Iterable[int]) -> list[str]:
    """What some neurons of a layer stand for, classes or numbers; empty if it is no output."""
    sizes = written.summary.get("sizes")
    if not isinstance(sizes, list) or layer != len(sizes) or sizes[-1] == 1:
        return []
    if len(written.names) not in (0, sizes[-1]):
        return []
    return [class_name(written.names, int(neuron)) for neuron in neurons]


def _epochs(n: Any) -> str:
    return f"{shown(n, 20)} epoch{'s' * (n != 1)}"


def _name(node: Any) -> str:
    return shown(mapping(node).get("name", "?"), _LONGEST).replace("_", " ")


def _of(node: Mapping[str, Any], field: str) -> str:
    return f" of {shown(node[field], _LONGEST)}" if field in node else ""


def _neurons(network: Mapping[str, Any]) -> str:
    hidden, out = (_activation(network.get(k)) for k in ("activation", "output_activation"))
    if network.get("hidden") == []:
        return f"without hidden layers, of {out} neurons,"
    kinds = f"of {hidden} neurons" if hidden == out else f"of {hidden} neurons with {out} outputs"
    return f"{kinds}, some modified," if network.get("modified_neurons") else kinds


def _kinds(layers: Sequence[Any]) -> str:
    names = [str(mapping(layer).get("name", "dense")).replace("_", " ") for layer in layers]
    few = names if len(names) <= 8 else [*names[:4], "...", *names[-3:]]
    return f"of {shown(', '.join(few), 200)} layers"


def _activation(node: Any) -> str:
    return _name(node) if isinstance(node, Mapping) else shown(node, _LONGEST).replace("_", " ")


def _optimiser(config: Mapping[str, Any]) -> str:
    optimiser = mapping(config.get("optimiser"))
    eta = f" with eta {shown(optimiser['eta'], _LONGEST)}" if "eta" in optimiser else ""
    return f"trained by {_name(optimiser)}{eta}"
