"""The private names of Hydra and OmegaConf do what bpframe takes them to do.

A test that fails here means that a new version has changed one: mend `hydra_internals.py`, or
narrow the versions in pyproject.toml.
"""

import argparse
import importlib
import importlib.metadata
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from omegaconf import AnyNode, DictConfig, IntegerNode, OmegaConf

import bpframe
from bpframe.configuration import composition, hydra_internals, schemas

CONFIG = OmegaConf.create(
    {"n": IntegerNode(3), "a": {"n": IntegerNode(3), "text": "${a.n}", "list": [1, 2]}}
)

USES: dict[str, tuple[str, Callable[[], object]]] = {
    "argument_parser": (
        "hydra._internal.utils:get_args_parser",
        hydra_internals.argument_parser,
    ),
    "run_hydra": ("hydra._internal.utils:_run_hydra", hydra_internals.run_hydra),
    "search_path": (
        "hydra._internal.utils:create_config_search_path",
        lambda: hydra_internals.search_path(Path()),
    ),
    "create_hydra": (
        "hydra._internal.hydra:Hydra.create_main_hydra2",
        lambda: hydra_internals.create_hydra("x", hydra_internals.search_path(Path())),
    ),
    "configure_logging": (
        "hydra._internal.logging_config:configure_logging",
        lambda: hydra_internals.configure_logging({"version": 1}),
    ),
    "included": (
        "hydra._internal.config_repository:ConfigRepository.load_config",
        lambda: included_in("config"),
    ),
    "callbacks": ("hydra._internal.callbacks:Callbacks", hydra_internals.callbacks),
    "basic_launcher": (
        "hydra._internal.core_plugins.basic_launcher:BasicLauncher",
        hydra_internals.basic_launcher,
    ),
    "override_dirname": (
        "hydra._internal.config_loader_impl:get_overrides_dirname",
        lambda: hydra_internals.override_dirname([], {}),
    ),
    "returned": (
        "hydra.core.utils:JobReturn._return_value",
        lambda: hydra_internals.returned(object()),  # pyright: ignore[reportArgumentType]
    ),
    "value_text": (
        "hydra.core.override_parser.types:Override._get_value_element_as_str",
        lambda: hydra_internals.value_text(1),
    ),
    "node_at": (
        "omegaconf:DictConfig._get_node",
        lambda: hydra_internals.node_at(CONFIG, "n"),
    ),
    "raw_value": (
        "omegaconf:IntegerNode._value",
        lambda: hydra_internals.raw_value(CONFIG, "n"),
    ),
    "yaml_dumper": ("omegaconf._utils:get_omega_conf_dumper", hydra_internals.yaml_dumper),
}


def included_in(path: str) -> list[str]:
    with composition.initialised():
        return hydra_internals.included(path)


def test_a_config_includes_those_of_its_defaults_list() -> None:
    assert {"bpframe_schema", "data/digits", "optimiser/sgd"} <= {*included_in("config")}
    assert included_in("hydra/job_logging/bpframe") == ["hydra/job_logging/default"]
    assert included_in("nothing") == []


def parsed(*texts: str) -> list[Any]:
    return OverridesParser.create().parse_overrides(list(texts))


def test_every_function_has_a_use_here() -> None:
    assert {*hydra_internals.__all__} == {*USES, "Callbacks"}


@pytest.mark.parametrize("name", USES)
def test_a_name_that_is_gone_is_told_in_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, use = USES[name]
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, last = path.split(".")
    for part in parents:
        owner = getattr(owner, part)
    if name != "returned":  # a field of each object, not of the class
        for holder in getattr(owner, "__mro__", (owner,)):
            if last in vars(holder):
                monkeypatch.delattr(holder, last)
    version = importlib.metadata.version("hydra-core")
    with pytest.raises(bpframe.BpframeError) as error:
        use()
    assert re.search(
        f"^hydra-core {version} and omegaconf .*{last}.*; pip install", str(error.value)
    )
    assert "\n" not in str(error.value)


def test_the_parser_knows_hydras_options() -> None:
    args = hydra_internals.argument_parser().parse_args(["-m", "--config-name", "x", "a=1"])
    assert isinstance(args, argparse.Namespace)
    assert args.multirun
    assert args.config_name == "x"
    assert args.overrides == ["a=1"]
    for name in ("help", "hydra_help", "cfg", "info", "shell_completion", "experimental_rerun"):
        assert hasattr(args, name), f"Hydra's parser has no {name} any more"
    assert args.config_path is args.config_dir is None


def test_hydra_runs_what_its_parser_parsed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("a: 1\n", encoding="utf-8")
    parser = hydra_internals.argument_parser()
    hydra_internals.run_hydra(
        args=parser.parse_args(["--cfg", "job", "a=2"]),
        args_parser=parser,
        task_function=lambda cfg: pytest.fail("--cfg runs nothing"),
        config_path=str(tmp_path),
        config_name="mine",
    )
    assert yaml.safe_load(capsys.readouterr().out) == {"a": 2}


def test_hydra_is_created_with_a_search_path(tmp_path: Path) -> None:
    path = hydra_internals.search_path(tmp_path)
    assert str(tmp_path) in [element.path for element in path.get_path()]
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        hydra_internals.create_hydra("task", path)
        assert GlobalHydra.instance().is_initialized()
        assert GlobalHydra.instance().config_loader()
    finally:
        GlobalHydra.instance().hydra = before


class Noting(Callback):
    """Notes in the config when it is called."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        config.told = True


def test_callbacks_are_called() -> None:
    path = {"_target_": f"{__name__}.Noting"}
    cfg = OmegaConf.create({"hydra": {"callbacks": {"one": path}}, "told": False})
    found = hydra_internals.callbacks(cfg)
    assert len(found.callbacks) == 1
    found.on_run_start(config=cfg, config_name="config")
    assert cfg.told
    assert hydra_internals.callbacks().callbacks == []


def test_the_basic_launcher_is_hydras() -> None:
    launcher = hydra_internals.basic_launcher()
    assert isinstance(launcher, Launcher)
    assert callable(launcher.setup)


def test_the_dirname_is_that_of_hydra(registry: Any) -> None:
    schemas.store(registry)
    overrides = ["training.epochs=2", "seed=1"]
    with composition.initialised():
        cfg = composition.compose_config(overrides)
    names = cfg.hydra.job.config.override_dirname
    assert hydra_internals.override_dirname(parsed(*overrides), names) == (
        cfg.hydra.job.override_dirname
    )


def test_what_a_job_raised_is_returned_without_printing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = ValueError("no")
    job = JobReturn(status=JobStatus.FAILED)
    job.return_value = error
    assert hydra_internals.returned(job) is error
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["1", "0.5", "abc", "[1,2]", "{a:1}", "'a b'", "true", "null"])
def test_a_value_is_written_as_it_is_read(text: str) -> None:
    (override,) = parsed(f"key={text}")
    again = hydra_internals.value_text(override.value())
    assert parsed(f"key={again}")[0].value() == override.value()


def test_nodes_keep_type_and_interpolation() -> None:
    assert isinstance(hydra_internals.node_at(CONFIG, "a.n"), IntegerNode)
    assert isinstance(hydra_internals.node_at(CONFIG, "a.text"), AnyNode)
    assert hydra_internals.node_at(CONFIG, "a.none") is None
    assert hydra_internals.node_at(CONFIG, "b.none") is None
    for key in ("n", "text", "list"):
        whole: Any = OmegaConf.to_container(CONFIG.a)
        assert hydra_internals.raw_value(CONFIG, f"a.{key}") == whole[key]


def test_the_dumper_is_that_of_to_yaml() -> None:
    content = {"a": {"text": "1e3", "date": "1:30", "none": None, "list": [True, 1.0]}}
    text = yaml.dump(
        content,
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
        Dumper=hydra_internals.yaml_dumper(),
    )
    assert text == OmegaConf.to_yaml(OmegaConf.create(content))
