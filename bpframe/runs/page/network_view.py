"""The section of the page in which the network learns: what it says, and what its script draws."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from bpframe.errors import OutputError
from bpframe.pages.text import escaped, shown
from bpframe.runs.network_over_time import reading
from bpframe.runs.network_over_time.network import LayerOverTime, Limits, NetworkOverTime
from bpframe.runs.page import typeset, words
from bpframe.runs.page.packing import packed
from bpframe.runs.page.parts import section
from bpframe.runs.page.reading import Written, mapping

LIMITS = Limits(bytes=2_200_000, times=1000, examples=16)
"""What a page holds of a recording: 3 MB in base64."""
TITLE = "The network while it learns"
_EQUATIONS = {
    "forward": ("Forward", r"a^{l} = \sigma(w^{l} a^{l-1} + b^{l})"),
    "bp1": ("BP1", r"\delta^{L} = \nabla_a C \odot \sigma'(z^{L})"),
    "bp2": ("BP2", r"\delta^{l} = ((w^{l+1})^T \delta^{l+1}) \odot \sigma'(z^{l})"),
    "gradient": (
        "BP3, BP4",
        r"\nabla_{b^{l}} C = \delta^{l},\ \nabla_{w^{l}} C = \delta^{l} (a^{l-1})^T",
    ),
    "change": ("The change", ""),
}


def read(written: Written, missing: list[str]) -> NetworkOverTime | None:
    """What the page draws of a recording; `missing` is told why a damaged one is not drawn."""
    shape = written.data.get("shape")
    try:
        if not reading.has_recording(written.folder, written.summary):
            return None
        return reading.read(
            written.folder, written.summary, shape if isinstance(shape, list) else (), LIMITS
        )
    except OutputError as error:
        missing.append(f"The network while it learns is not shown: {error}.")
        return None


def html(network: NetworkOverTime, written: Written) -> str:
    """The section, in which the script draws."""
    stages = "".join(
        f'<li data-stage="{name}"><b>{escaped(title)}</b> {formula}</li>'
        for name, title, formula in _stages(network, written)
    )
    return section(
        TITLE,
        f'<div class="scripted network" id="network" role="group" tabindex="0" '
        f'aria-label="{TITLE}: space plays, arrows step"><ol class="stages">{stages}</ol></div>'
        f'<p class="note">{escaped(_how_to_read(network), 1500)}</p>',
        _what_is_shown(network, written),
        "learning",
    )


def data(network: NetworkOverTime, written: Written) -> Mapping[str, Any]:
    """What the script finds as `network` in the data of the page."""
    return {
        "steps": network.steps.tolist(),
        "epochs": [round(float(epoch), 4) for epoch in network.epochs],
        "over": shown(network.over, 20),
        "examples": network.examples.tolist(),
        "names": words.outputs(written, network.layers[-1].number, network.layers[-1].neurons),
        "stages": [name for name, _, _ in _stages(network, written)],
        "layers": [_layer(layer, network) for layer in network.layers],
    }


def _layer(layer: LayerOverTime, network: NetworkOverTime) -> Mapping[str, Any]:
    tracks = {kind: getattr(layer, kind) for kind in reading.KINDS}
    return {
        "number": layer.number,
        "size": layer.size,
        "neurons": layer.neurons.tolist(),
        "shape": layer.shape,
        **{
            kind: None if track is None else packed(track, network.steps)
            for kind, track in tracks.items()
        },
    }


def _stages(network: NetworkOverTime, written: Written) -> Iterator[tuple[str, str, str]]:
    """What follows one another within a time, as far as it was recorded: name, title, formula."""
    has = {kind: any(getattr(layer, kind) for layer in network.layers) for kind in reading.KINDS}
    rule = mapping(written.config.get("learning_rule")).get("name")
    is_backprop = rule == "backprop"
    deltas = [layer for layer in network.layers if layer.deltas is not None]
    wanted = {
        "forward": has["activations"],
        "bp1": has["deltas"],
        "bp2": len(deltas) > 1,
        "gradient": is_backprop and has["deltas"] and has["activations"],
        "change": has["weights"],
    }
    other = f"by {shown(rule, 40).replace('_', ' ')}"
    own = {"bp1": f"Deltas of the output, {other}", "bp2": f"Deltas of hidden layers, {other}"}
    for name, (title, latex) in _EQUATIONS.items():
        if not wanted[name]:
            continue
        if name in own and not is_backprop:
            yield name, own[name], ""
        else:
            yield name, title, typeset.formula(latex, "") if latex else "of the weights"


def _what_is_shown(network: NetworkOverTime, written: Written) -> str:
    """How many times, examples and neurons there are, and what was not recorded."""
    times, of = len(network.steps), network.recorded_times
    said = [
        f"At {times} recorded times."
        if times == of
        else f"At {times} of {of} recorded times, evenly chosen."
    ]
    if (n := len(network.examples)) < network.recorded_examples:
        said.append(f"The first {n} of {network.recorded_examples} examples.")
    few = [layer for layer in network.layers if len(layer.neurons) < layer.size]
    if few:
        counts = ", ".join(
            f"{len(each.neurons)} of {each.size} in layer {each.number}" for each in few
        )
        said.append(
            f"Of neurons those with the largest deltas, or what else was recorded: {counts}."
        )
    said += network.left_out
    if absent := _absent(network):
        command = f"bpframe rerun {shlex.quote(str(written.folder))}"
        override = shlex.quote(reading.to_record(written.summary.get("sizes")))
        said.append(f"Not recorded: {', '.join(absent)}; {command} {override} records all of it.")
    return " ".join(said)


def _absent(network: NetworkOverTime) -> list[str]:
    of_layers = [layer for layer in network.layers if layer.number > 1]
    absent = [
        kind for kind in reading.KINDS if all(getattr(layer, kind) is None for layer in of_layers)
    ]
    first = network.layers[0]
    has_input = first.number == 1 and first.activations is not None
    return absent if has_input else [*absent, "the input"]


def _how_to_read(network: NetworkOverTime) -> str:
    """What colours and sizes mean, of what is drawn."""
    said = ["Orange is positive, blue negative."]
    if any(layer.activations for layer in network.layers):
        said.append("A circle is a neuron, the deeper the larger its activation is.")
    if any(layer.deltas for layer in network.layers):
        said.append("The disc beside it is its delta: the area is its size.")
    if any(layer.weights for layer in network.layers):
        said.append(
            "Lines are weights, or, where the input is an image, the picture before a neuron."
        )
    if network.layers[-1].activations and len(network.layers[-1].neurons) > 1:
        said.append("The bold output is the largest: what is answered.")
    said.append("Numbers have three digits, those far below the largest of their layer fewer.")
    said.append("Space plays and pauses, the arrows step.")
    return " ".join(said)
