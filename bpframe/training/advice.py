"""What may be better in an experiment that is allowed."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from bpframe.data import Data, Feature
from bpframe.network import PerNeuronActivation
from bpframe.tables.streamed import StreamedExamples
from bpframe.tasks import Regression
from bpframe.training import probes
from bpframe.training.experiment import Experiment
from bpframe.training.precision import precision


def hints(experiment: Experiment, data: Data) -> Iterator[str]:
    """Lines for whoever begins to train."""
    if hint := probes.told(experiment, data):
        yield hint
    if hint := _standardised(data):
        yield hint
    yield from odd(experiment, data)
    data = _looked_at(data)
    if hint := better_cost(experiment):
        yield hint
    if hint := _better_output(experiment, data):
        yield hint


def _standardised(data: Data) -> str | None:
    """That columns of a table were standardised, which is on unless said."""
    if not data.train.features:
        return None
    task = data.task
    off = {
        "inputs": ("data.standardise=false", data.train.standardised_by is not None),
        "targets": ("data.standardise_targets=false", isinstance(task, Regression) and task.mean),
    }
    what = [name for name, (_, is_on) in off.items() if is_on]
    if not what:
        return None
    settings = " ".join(off[name][0] for name in what)
    return (
        f"{' and '.join(what)} have mean 0 and deviation 1 over the training set; {settings} "
        "leaves them as they are"
    )


def odd(experiment: Experiment, data: Data) -> Iterator[str]:
    """What may not be meant: examples in several splits, constant columns, lone classes, units."""
    name = type(experiment.data).__name__
    if isinstance(data.train, StreamedExamples):  # all of which nobody looks at for this
        if hint := units(_looked_at(data)):
            yield hint
        return
    if data.train.x is data.test.x or np.array_equal(data.train.x, data.test.x):
        yield (
            f"the training, validation and test set of {name} are the same examples, so their "
            "figures say nothing of new ones"
        )
    x, features = data.train.x, data.train.features
    if features:
        constant = np.flatnonzero((x == x[:1]).all(axis=0))
        if len(constant):
            shown = ", ".join(_shown(features[at]) for at in constant[:5])
            yield f"constant in the training set, so nothing can be learned of it: {shown}" + (
                ", ..." if len(constant) > 5 else ""
            )
    if data.train.y.ndim == 1:
        counts = np.bincount(np.concatenate([part.y for part in data]), minlength=1)
        lone = np.flatnonzero(counts == 1)
        if len(lone):
            names = data.task.names or range(len(counts))
            shown = ", ".join(str(names[at]) for at in lone[:5])
            yield f"one example alone of class {shown}: it is trained on, and never tested"
    if hint := units(data):
        yield hint
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        yield (
            f"images are {x.shape[1]} x {x.shape[2]} with {x.shape[3]} channels; channels stand "
            "last, so if they stand first here, give x.transpose(0, 2, 3, 1)"
        )


def _looked_at(data: Data) -> Data:
    """The data with the first training examples, where not all are in memory."""
    if not isinstance(data.train, StreamedExamples):
        return data
    return data._replace(train=data.train.examples(0, 10_000))


def _shown(feature: Feature) -> str:
    return feature if isinstance(feature, str) else f"{feature[0]}={feature[1]}"


def units(data: Data) -> str | None:
    """A line for inputs whose size is far from 1: neurons saturate, or learn slowly, of them."""
    train = data.train
    if train.mean is not None or train.standardised_by is not None:
        return None
    some = train.x[:10_000].reshape(-1, train.x.shape[-1]).astype(np.float64) * train.scale
    sizes = np.sqrt((some**2).mean(axis=0))
    largest = float(sizes.max())
    if 0.01 <= largest <= 10:
        return None
    return (
        f"inputs have a size (root mean square) of up to {largest:.3g}, and weights are drawn for "
        "inputs of about 1; data.standardise=true brings them there"
    )


def better_cost(experiment: Experiment) -> str | None:
    """A line that names a cost better suited to the output layer, if there is one."""
    cost, output = experiment.cost.cost_function, experiment.network.layers[-1].activation
    if not output.sums_to_one or cost.needs_distribution:
        return None
    return (
        f"{type(output).__name__} gives outputs that sum to one, and {type(cost).__name__} judges "
        "each of them by itself; cost=log_likelihood suits them better, with delta^L = a^L - y"
    )


def worse_than_constant(experiment: Experiment, data: Data, cost: float) -> str | None:
    """A line for a cost over the validation set that one answer to everything would halve.

    That answer is the mean target.
    """
    y = np.asarray(data.validation.y[:1000])
    y = (np.eye(data.validation.n_out)[y] if y.ndim == 1 else y).astype(np.float32)
    of = experiment.cost.cost_function
    with precision("float32"):
        constant = float(jnp.mean(jax.vmap(lambda target: of(jnp.asarray(y.mean(0)), target))(y)))
    if not np.isfinite(constant) or cost < 2 * constant:
        return None
    return (
        f"a validation cost of {cost:.3g} is worse than the {constant:.3g} of one answer to "
        "everything, the mean target; a smaller optimiser.eta may learn"
    )


def _better_output(experiment: Experiment, data: Data) -> str | None:
    """A line for targets of a regression that the output layer cannot reach."""
    output, y = experiment.network.layers[-1].activation, data.train.y
    if data.task.has_accuracy or isinstance(output, PerNeuronActivation):
        return None
    (low, high), least, most = output.range, y.min(), y.max()
    if low <= least and most <= high:
        return None
    return (
        f"{type(output).__name__} gives outputs from {low:g} to {high:g}, and the targets are "
        f"{least:g} to {most:g}; network.output_activation=linear reaches them"
    )
