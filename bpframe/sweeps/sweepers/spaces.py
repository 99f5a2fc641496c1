"""The space of a search: what Hydra's overrides say of it, as Optuna's distributions.

    optimiser.eta=interval(0.01,10)                  0.01 <= eta <= 10
    optimiser.eta=tag(log,interval(0.01,10))         the same, even in log eta
    training.batch_size=int(interval(1,64))          1, 2, ..., 64; tag(log,...) as well
    network.activation=choice(tanh,sigmoid)          one of them, also written tanh,sigmoid
    training.epochs=range(1,10,2)                    1, 3, 5, 7, 9

Both ends of an interval belong to it, as Optuna has it; Hydra's own text leaves the upper one out.
"""

from __future__ import annotations

import dataclasses
import decimal
import math
from collections.abc import Iterable, Mapping
from typing import Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
    Sweep,
    Transformer,
)
from omegaconf import DictConfig, IntegerNode
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from bpframe.configuration.hydra_internals import node_at
from bpframe.errors import ConfigError, unknown
from bpframe.sweeps.sweepers.grid import STEP

LOG = "log"


@dataclasses.dataclass(frozen=True)
class Axis:
    """The values of one key.

    Attributes:
        distribution: where they are drawn from.
        texts: how each choice is written in an override; nothing where values are numbers of a
            range or interval.

    """

    distribution: BaseDistribution
    texts: tuple[str, ...] = ()

    def text(self, value: Any) -> str:
        """A value as an override has it; of a number, no digit is lost."""
        return (
            self.texts[int(self.distribution.to_internal_repr(value))] if self.texts else str(value)
        )

    def size(self) -> int | None:
        """How many values there are, or None where they have no end."""
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return len(choices)
            case IntDistribution(low=low, high=high, step=step):
                return (high - low) // step + 1
            case FloatDistribution(low=low, high=high, step=float(step)):
                return _count(low, high, step) + 1
        return None

    def values(self) -> list[Any] | None:
        """All values, or None where they have no end."""
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return list(choices)
            case IntDistribution(low=low, high=high, step=step):
                return list(range(low, high + 1, step))
            case FloatDistribution(low=low, high=high, step=float(step)):
                first, width = _decimal(low), _decimal(step)
                return [float(first + n * width) for n in range(_count(low, high, step) + 1)]
        return None


@dataclasses.dataclass(frozen=True)
class Space:
    """What a search varies, and what it leaves as it is.

    Attributes:
        given: by key, an override that is the same for all jobs, or what is swept.

    """

    given: Mapping[str, str | Axis]

    @property
    def axes(self) -> dict[str, Axis]:
        """What is swept, by key."""
        return {key: axis for key, axis in self.given.items() if isinstance(axis, Axis)}

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The distributions, by key."""
        return {key: axis.distribution for key, axis in self.axes.items()}

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides of the job with these values."""
        return [
            f"{key}={axis.text(params[key])}" if isinstance(axis, Axis) else axis
            for key, axis in self.given.items()
        ]


def space(overrides: Iterable[Override]) -> Space:
    """The space that overrides describe; of several for one key the last one counts.

    Raises:
        ConfigError: nothing is swept, or what is swept is no space.

    """
    last = {override.get_key_element(): override for override in overrides}
    found = Space(
        {
            key: _axis(override) if override.is_sweep_override() else str(override.input_line)
            for key, override in last.items()
        }
    )
    if not found.axes:
        raise ConfigError(
            "hydra/sweeper=search: nothing is swept; give a key a space, such as "
            "optimiser.eta=tag(log,interval(0.01,10))"
        )
    return found


def check_numbers(axes: Mapping[str, Axis], config: DictConfig) -> None:
    """Raise a ConfigError if a key that takes integers is searched for any numbers."""
    for key, axis in axes.items():
        if isinstance(axis.distribution, FloatDistribution) and isinstance(
            node_at(config, key), IntegerNode
        ):
            raise ConfigError(
                f"{key}: takes integers, and its space holds other numbers; write "
                "int(interval(LOW,HIGH)), or a range of integers"
            )


def _axis(override: Override) -> Axis:
    where, value = str(override.input_line), override.value()
    key = override.get_key_element()
    tags = value.tags if isinstance(value, Sweep) else set()
    if STEP in tags:
        raise ConfigError(
            f"{key}: zip(...) pairs the values of a grid; search the key by itself, or set "
            "hydra/sweeper=grid"
        )
    for tag in tags - {LOG}:
        raise unknown(f"{where}: tag", tag, [LOG])
    log = LOG in tags
    if isinstance(value, IntervalSweep):
        return Axis(_interval(where, value, log=log))
    if isinstance(value, RangeSweep):
        return Axis(_range(where, value, log=log))
    if log:
        raise ConfigError(f"{where}: choices have no log scale; write tag(log,interval(LOW,HIGH))")
    return _choice(where, override)


def _interval(where: str, value: IntervalSweep, *, log: bool) -> BaseDistribution:
    low, high = value.start, value.end
    assert low is not None
    assert high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(
            f"{where}: {low} to {high} is no interval; allowed: two numbers, the lower first"
        )
    _check_log(where, low, log=log)
    # A cast, int(interval(1,64)), turns the ends into integers.
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _range(where: str, value: RangeSweep, *, log: bool) -> BaseDistribution:
    start, stop, step = value.start, value.stop, value.step
    assert start is not None
    assert stop is not None
    if not all(map(math.isfinite, (start, stop, step))) or step == 0:
        raise ConfigError(f"{where}: start, stop and step must be finite, and step not 0")
    count = _count(start, stop, step, excluded=True)
    if count < 0:
        raise ConfigError(f"{where}: holds no value; start is to come before stop")
    last = _decimal(start) + count * _decimal(step)
    low, high = sorted((_decimal(start), last))
    _check_log(where, float(low), log=log)
    if log and abs(step) != 1:
        raise ConfigError(
            f"{where}: a log scale has no steps of {step}; write tag(log,interval(LOW,HIGH))"
        )
    if all(isinstance(number, int) for number in (start, stop, step)):
        return IntDistribution(int(low), int(high), step=abs(int(step)), log=log)
    if log:
        raise ConfigError(f"{where}: a log scale has no steps; write tag(log,interval(LOW,HIGH))")
    return FloatDistribution(float(low), float(high), step=abs(float(step)))


def _choice(where: str, override: Override) -> Axis:
    value = override.value()
    if isinstance(value, ChoiceSweep) and value.shuffle:
        raise ConfigError(
            f"{where}: the order of choices has no meaning in a search; leave shuffle out"
        )
    found = list(override.sweep_iterator())
    choices = [_plain(choice) for choice in found]
    if not choices:
        raise ConfigError(f"{where}: matches nothing; give names that there are")
    # Optuna takes 1, 1.0 and true for the same choice.
    if len(set(choices)) < len(choices):
        raise ConfigError(f"{where}: the same choice is given twice; leave one out")
    texts = tuple(Transformer.str(choice) for choice in found)
    return Axis(CategoricalDistribution(choices), texts)


def _plain(choice: Any) -> str | int | float | bool | None:
    """A choice as a study can store it: of a list or mapping, its text."""
    if isinstance(choice, QuotedString):
        return choice.text
    is_plain = choice is None or isinstance(choice, str | int | float)
    return choice if is_plain else Transformer.str(choice)


def _check_log(where: str, low: float, *, log: bool) -> None:
    if log and low <= 0:
        raise ConfigError(f"{where}: a log scale starts at {low:g}; allowed: > 0")


def _decimal(number: float) -> decimal.Decimal:
    """A number as it is written: 0.1 is a tenth."""
    return decimal.Decimal(str(number))


def _count(start: float, stop: float, step: float, *, excluded: bool = False) -> int:
    """How many steps lead from `start` to the last value before `stop`, or to `stop` itself."""
    steps = (_decimal(stop) - _decimal(start)) / _decimal(step)
    return math.ceil(steps) - 1 if excluded else round(steps)
