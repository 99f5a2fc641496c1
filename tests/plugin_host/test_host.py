"""The plugin host: the built-ins it finds, and every way in which a plugin can break a hook."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import types
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pluggy
import pytest

import bpframe
from bpframe import ElementwiseActivation, PluginError, hookimpl, hyperparameter
from bpframe.configuration.schemas import GROUPS, schema, store
from bpframe.errors import ConfigError
from bpframe.plugin_host import hookspecs
from bpframe.plugin_host.host import load_registry
from bpframe.plugin_host.registry import KINDS, PAIRS, Registry

HOOKS = [kind.hook for kind in KINDS.values()]

BUILT_IN: dict[str, str] = {
    "activation": "sigmoid linear tanh relu leaky_relu elu selu gelu silu softplus hard_tanh "
    "softmax",
    "cost": "quadratic cross_entropy log_likelihood absolute huber hinge",
    "optimiser": "sgd momentum nesterov adam adamw rmsprop adagrad lion",
    "initialiser": "scaled large xavier_normal xavier_uniform he_normal orthogonal zeros",
    "regulariser": "none l2 l1",
    "data": "digits mnist fashion_mnist xor",
    "learning_rule": "backprop feedback_alignment direct_feedback_alignment",
    "metric": "accuracy delta_norm gradient_norm weight_norm saturation dead_units "
    "confusion_matrix",
    "schedule": "constant step halve cosine warm_up",
    "stopping": "never no_improvement small_eta",
}


class Sine(ElementwiseActivation):
    """A whole activation, for plugins that do something else wrong."""

    def __call__(self, z: Any) -> Any:
        return z

    def prime(self, z: Any) -> Any:
        return z


class Unfinished(ElementwiseActivation):
    """sigma without sigma'."""

    def __call__(self, z: Any) -> Any:
        return z


class Named(Sine):
    """An activation whose field hides what config calls a component's name."""

    name: str = "sine"


def plugin(hook: str, function: Callable[..., Any], name: str = "faulty") -> types.ModuleType:
    """A plugin module with this function, marked or not."""
    module = types.ModuleType(name)
    setattr(module, hook, function)
    return module


def nothing() -> dict[str, Any]:
    return {}


def offering(offer: Any, hook: str = "bpframe_activations", name: str = "faulty") -> Any:
    """A plugin module whose `hook` returns `offer`."""
    return plugin(hook, hookimpl(lambda: offer), name)


def refused(*plugins: object) -> str:
    """The message of the PluginError that loading the plugins raises; it is one line."""
    with pytest.raises(PluginError) as caught:
        load_registry(plugins)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    return message


def installed(monkeypatch: pytest.MonkeyPatch, points: Iterable[EntryPoint]) -> None:
    """Make these the entry points of all installed distributions."""
    found = EntryPoints(points)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **keys: found.select(**keys))


def test_every_kind_has_a_documented_hook() -> None:
    for hook in HOOKS:
        specification = getattr(hookspecs, hook)
        assert pluggy.PluginManager("bpframe").parse_hookimpl_opts(hookspecs, hook) is None
        assert specification.__doc__


@pytest.mark.parametrize("kind", BUILT_IN)
def test_registry_has_every_documented_name(registry: Registry, kind: str) -> None:
    assert set(BUILT_IN[kind].split()) <= set(registry.names(kind))


def test_registry_has_the_stable_output_pairs(registry: Registry) -> None:
    assert registry.pair("cross_entropy", "sigmoid") is not None
    assert registry.pair("log_likelihood", "softmax") is not None
    assert registry.pair("quadratic", "sigmoid") is None


def test_every_built_in_meets_its_contract_and_names_its_plugin(registry: Registry) -> None:
    for kind, names in BUILT_IN.items():
        for name in names.split():
            offer = registry.offers[kind][name]
            assert issubclass(offer.component, KINDS[kind].contract)
            assert offer.plugin.startswith("bpframe:")


def test_built_ins_come_through_entry_points_only(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, [])
    registry = load_registry()
    assert all(not registry.offers[kind] for kind in KINDS)


def test_entry_points_load_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, [EntryPoint("costs", "bpframe_plugins.costs", "bpframe")])
    registry = load_registry()
    assert set(registry.names("cost")) == set(BUILT_IN["cost"].split())
    assert not registry.offers["activation"]


def test_entry_points_of_other_groups_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, [EntryPoint("costs", "no_such_module", "another")])
    assert not load_registry().offers["cost"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module"),
        ("bpframe.plugin_host.host:no_such_attribute", "AttributeError"),
    ],
)
def test_entry_point_that_does_not_import(
    monkeypatch: pytest.MonkeyPatch, value: str, text: str
) -> None:
    installed(monkeypatch, [EntryPoint("broken", value, "bpframe")])
    (broken,) = load_registry().disabled
    assert broken.name.endswith(":broken")
    assert broken.origin == value
    assert broken.reason is not None
    assert broken.reason.startswith("cannot be imported: ")
    assert text in broken.reason


def test_entry_point_whose_module_fails_in_two_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "two_line_failure.py").write_text("raise RuntimeError('one\\ntwo')\n")
    monkeypatch.syspath_prepend(tmp_path)
    installed(monkeypatch, [EntryPoint("broken", "two_line_failure", "bpframe")])
    (broken,) = load_registry().disabled
    assert broken.reason is not None
    assert len(broken.reason.splitlines()) == 1
    assert f"RuntimeError: one two ({tmp_path / 'two_line_failure.py'}, line 1)" in broken.reason


def test_registry_is_frozen(registry: Registry) -> None:
    offer = registry.offers["activation"]["sigmoid"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        registry.offers = {}  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        registry.offers["activation"] = {}  # pyright: ignore[reportIndexIssue]
    with pytest.raises(TypeError):
        registry.offers["activation"]["mine"] = offer  # pyright: ignore[reportIndexIssue]
    with pytest.raises(dataclasses.FrozenInstanceError):
        offer.plugin = "another"  # pyright: ignore[reportAttributeAccessIssue]


def test_each_registry_is_its_own() -> None:
    mine = load_registry([offering({"sine": Sine})])
    assert "sine" in mine.names("activation")
    assert "sine" not in load_registry().names("activation")


def test_a_class_instance_can_be_a_plugin() -> None:
    class Plugin:
        @hookimpl
        def bpframe_activations(self) -> dict[str, Any]:
            return {"sine": Sine}

    assert load_registry([Plugin()]).offers["activation"]["sine"].plugin.endswith("Plugin")


def test_unknown_name_says_what_is_known(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="did you mean 'sigmoid'"):
        registry.get("activation", "sigmod", "network.activation")


def contested(registry: Registry, kind: str, name: Any) -> str:
    """The message of the error for a name that several plugins offer."""
    with pytest.raises(ConfigError) as caught:
        registry.pair(*name) if kind == PAIRS else registry.get(kind, name, "here")
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    return message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (None, {"sigmoid": Sine}),
        ({"sine": Sine}, {"sine": Sine}),
    ],
)
def test_duplicate_name_names_both_plugins(first: Any, second: Any) -> None:
    plugins = [offering(first, name="first")] if first else []
    registry = load_registry([*plugins, offering(second, name="second")])
    owner = "first (given in Python)" if first else "bpframe:activations (bpframe_plugins.activ"
    name = next(iter(second))
    message = contested(registry, "activation", name)
    assert f"here: activation {name!r} is offered by several plugins" in message
    assert owner in message
    assert "second (given in Python)" in message
    assert "plugins.prefer=[" in message
    assert name not in registry.names("activation")
    assert "relu" in registry.names("activation")


def test_duplicate_pair_is_refused(registry: Registry) -> None:
    pair = registry.offers[PAIRS]["cross_entropy", "sigmoid"].component
    mine = offering({("cross_entropy", "sigmoid"): pair}, "bpframe_output_pairs")
    message = contested(load_registry([mine]), PAIRS, ("cross_entropy", "sigmoid"))
    assert "('cross_entropy', 'sigmoid')" in message
    assert "bpframe:costs" in message
    assert "faulty" in message


@pytest.mark.parametrize("prefer", [["faulty"], ["bpframe:activations"], ["bpframe", "faulty"]])
def test_a_preferred_plugin_wins_a_contested_name(prefer: list[str]) -> None:
    registry = load_registry([offering({"sigmoid": Sine})], prefer=prefer)
    mine = registry.get("activation", "sigmoid", "") is Sine
    assert mine == (prefer[0] == "faulty")
    assert not registry.conflicts


def test_an_unknown_plugin_cannot_be_preferred() -> None:
    with pytest.raises(ConfigError, match=r"plugins.prefer: unknown plugin 'bpframe:cost'; did"):
        load_registry(prefer=["bpframe:cost"])


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("bpframe_activation", "bpframe_activations"), ("bpframe_optimizers", "bpframe_optimisers")],
)
def test_misspelt_hook(misspelt: str, meant: str) -> None:
    message = refused(plugin(misspelt, hookimpl(lambda: None)))
    assert message.startswith("plugin faulty: unknown hook")
    assert repr(misspelt) in message
    assert f"did you mean {meant!r}?" in message


@pytest.mark.parametrize("hook", HOOKS)
def test_unmarked_hook(hook: str) -> None:
    message = refused(plugin(hook, nothing))
    assert f"plugin faulty: hook {hook} is not marked" in message
    assert "@bpframe.hookimpl" in message


@pytest.mark.share(4)
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("returned", [[Sine], 3, "sine", Sine, None])
def test_wrong_return_type(hook: str, returned: Any) -> None:
    message = refused(offering(returned, hook))
    assert f"plugin faulty: hook {hook} returned {type(returned).__name__}" in message
    assert "expected a mapping" in message


@pytest.mark.parametrize(
    ("hook", "text"),
    [*((hook, "out of luck") for hook in HOOKS), (HOOKS[0], "two\nlines"), (HOOKS[0], "")],
)
def test_hook_that_raises(hook: str, text: str) -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError(text)

    message = refused(plugin(hook, hookimpl(fail)))
    assert f"plugin faulty: hook {hook} raised RuntimeError" in message
    assert all(word in message for word in text.split())


def test_hook_with_arguments_that_no_one_gives() -> None:
    def bpframe_activations(config: object) -> dict[str, Any]:
        return {}

    message = refused(plugin("bpframe_activations", hookimpl(bpframe_activations)))
    assert "plugin faulty" in message
    assert "bpframe_activations" in message
    assert "config" in message


def test_plugin_that_is_given_twice() -> None:
    once = offering({"sine": Sine})
    assert "faulty" in refused(once, once)


@pytest.mark.share(4)
@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook != "bpframe_output_pairs"])
@pytest.mark.parametrize(
    "value", [3, None, "Sine", object, int, bpframe.Network], ids=lambda value: repr(value)
)
def test_value_that_is_no_class_of_the_contract(hook: str, value: Any) -> None:
    expected = next(kind.expected for kind in KINDS.values() if kind.hook == hook)
    message = refused(offering({"mine": value}, hook))
    assert f"plugin faulty: hook {hook}: 'mine' is" in message
    assert f"expected a subclass of {expected}" in message


def test_instance_instead_of_a_class() -> None:
    message = refused(offering({"mine": Sine()}))
    assert "'mine' is Sine()" in message
    assert "expected a subclass of Activation" in message


@pytest.mark.parametrize(
    ("component", "missing"),
    [(Unfinished, "prime"), (ElementwiseActivation, "__call__, prime")],
)
def test_abstract_class(component: Any, missing: str) -> None:
    message = refused(offering({"mine": component}))
    assert "plugin faulty: hook bpframe_activations: 'mine'" in message
    assert component.__name__ in message
    assert f"does not implement {missing}" in message


def test_field_called_name() -> None:
    message = refused(offering({"mine": Named}))
    assert "plugin faulty: hook bpframe_activations: 'mine'" in message
    assert "a field called 'name'" in message


@pytest.mark.parametrize("name", ["", "two words", "a-b", "1st", "a.b", 3, None, ("a", "b")])
def test_bad_name(name: Any) -> None:
    message = refused(offering({name: Sine}))
    assert f"plugin faulty: hook bpframe_activations offers {name!r}" in message
    assert "expected a name" in message


@pytest.mark.parametrize(
    "key", ["cross_entropy", ("cross_entropy",), ("a", "b", "c"), (1, 2), ("a", "b c"), None]
)
def test_bad_pair_key(registry: Registry, key: Any) -> None:
    pair = registry.offers[PAIRS]["cross_entropy", "sigmoid"].component
    message = refused(offering({key: pair}, "bpframe_output_pairs"))
    assert f"plugin faulty: hook bpframe_output_pairs offers {key!r}" in message
    assert "expected a pair (cost name, activation name)" in message


def _no_config_type() -> type[Any]:
    class Odd(bpframe.Optimiser):
        eta: float = hyperparameter(default=0.1)
        odd: complex = 1j

        def init(self, params: Any) -> Any:
            return ()

        def update(self, gradient: Any, state: Any, params: Any, step: Any) -> Any:
            return params, state

    return Odd


def _default_of_another_type() -> type[Any]:
    class Odd(bpframe.Optimiser):
        odd: float = "much"  # pyright: ignore[reportAssignmentType]

        def init(self, params: Any) -> Any:
            return ()

        def update(self, gradient: Any, state: Any, params: Any, step: Any) -> Any:
            return params, state

    return Odd


@pytest.mark.parametrize("make", [_no_config_type, _default_of_another_type])
def test_field_that_a_config_cannot_hold(make: Callable[[], type[Any]]) -> None:
    mine = offering({"mine": make()}, "bpframe_optimisers")
    registry = load_registry([mine])
    with pytest.raises(PluginError) as caught:
        store(registry)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "plugin faulty: optimiser 'mine' has a field that a config cannot hold" in message
    assert "odd" in message


def test_every_built_in_has_a_schema(registry: Registry) -> None:
    for kind in ("activation", *GROUPS):
        for name in registry.names(kind):
            node = schema(registry, kind, name)
            fields = dataclasses.fields(registry.offers[kind][name].component)
            assert list(node) == ["name", *(field.name for field in fields)]
            assert node.name == name
