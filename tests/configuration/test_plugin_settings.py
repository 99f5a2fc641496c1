"""`plugins.path` and `plugins.prefer`, wherever a configuration may set them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import test_cli
from omegaconf import OmegaConf
from test_cli import QUICK, Main
from test_discovery import HEADER, activation, write

import bpframe
from bpframe import ConfigError, Experiment
from bpframe.configuration.assembly import assemble
from bpframe.configuration.plugin_settings import PluginSettings, plugin_settings

main = test_cli.main

OPTIMISER = (
    HEADER
    + '''
class Mine(bpframe.Optimiser):
    """w <- w - eta g."""

    eta: float = bpframe.hyperparameter(default=0.25, gt=0)

    def init(self, params):
        return ()

    def update(self, gradient, state, params, step):
        return bpframe.gradient_descent_step(params, gradient, self.eta), state


@bpframe.hookimpl
def bpframe_optimisers():
    return {"mine": Mine}
'''
)
RUN = (*QUICK, "training.epochs=1", "hydra.run.dir=run")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A file that offers the optimiser `mine`, in a folder of its own."""
    return write(tmp_path / "plugins" / "mine.py", OPTIMISER)


Jobs = list[Experiment]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """The experiments that the commands would train; they are only noted down."""
    noted: Jobs = []
    monkeypatch.setattr(
        "bpframe.commands.run.show", lambda run, cfg, one, *_, plots: noted.append(one)
    )
    monkeypatch.setattr(
        "bpframe.commands.run.job",
        lambda cfg, registry, events: noted.append(assemble(cfg, registry)),
    )
    return noted


def recorded(folder: Path) -> dict[str, object]:
    """The run's config, as .hydra/config.yaml has it."""
    cfg = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "config.yaml"))
    assert isinstance(cfg, dict)
    return {str(key): value for key, value in cfg.items()}


def one_line(main: Main, *arguments: str) -> str:
    """The one line on stderr with which the command fails."""
    ended = main(*arguments)
    assert ended.status == 1
    assert len(ended.err.splitlines()) == 1, ended.err
    assert ended.err.startswith("bpframe: ")
    return ended.err.removeprefix("bpframe: ").rstrip("\n")


def test_no_setting_reads_no_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpframe.configuration.plugin_settings._composed", None)
    assert plugin_settings(["optimiser=sgd", "seed=3"]) == PluginSettings()


@pytest.mark.slow
def test_overrides(main: Main, tmp_path: Path, plugin: Path) -> None:
    """Slow: runs whole commands."""
    ended = main(f"plugins.path=[{plugin}]", "optimiser=mine", "optimiser.eta=0.5", *RUN)
    assert (ended.status, ended.err) == (0, "")
    cfg = recorded(tmp_path / "run")
    assert cfg["plugins"] == {"path": [str(plugin)], "prefer": []}
    assert cfg["optimiser"] == {"name": "mine", "eta": 0.5}
    overrides = (tmp_path / "run" / ".hydra" / "overrides.yaml").read_text()
    assert f"plugins.path=[{plugin}]" in overrides


@pytest.mark.parametrize(
    "override",
    [
        "plugins.path=[plugins/mine.py]",
        "plugins.path=[plugins]",
        "++plugins.path=['plugins/mine.py']",
        "plugins={path: [plugins/mine.py], prefer: [mine]}",
        "plugins={path: [plugins/mine.py]}",
        "plugins.path=['${oc.env:HOME}/plugins']",
        "plugins.path=['~/plugins']",
    ],
)
def test_explain_with_every_way_of_writing(main: Main, plugin: Path, override: str) -> None:
    ended = main("explain", override, "optimiser=mine", "optimiser.eta=0.125")
    assert (ended.status, ended.err) == (0, "")
    assert "mine" in ended.out.lower()
    assert "0.125" in ended.out


def test_path_and_prefer_are_read_together() -> None:
    overrides = ["plugins.path=[a.py,b]", "plugins.prefer=[b]", "seed=1"]
    assert plugin_settings(overrides) == PluginSettings(("a.py", "b"), ("b",))


def primary(folder: Path, plugins: str, *, optimiser: str = "mine") -> None:
    """A primary config in `folder` that builds on bpframe's."""
    write(
        folder / "own.yaml",
        f"defaults:\n  - config\n  - override optimiser: {optimiser}\n  - _self_\n\n{plugins}\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "plugins",
    [
        "plugins:\n  path: [plugins]",
        "plugins:\n  path:\n    - plugins/mine.py",
        "plugins: {path: ['${oc.env:HOME}/plugins']}",
        "network: {activation: plugins}\nplugins: {path: ['${network.activation}']}",
    ],
)
def test_a_primary_config_of_ones_own(
    main: Main, tmp_path: Path, plugin: Path, plugins: str
) -> None:
    """Slow: runs whole commands."""
    primary(tmp_path / "conf", plugins)
    ended = main("explain", "-cd", "conf", "-cn", "own", "network.activation=tanh")
    if "${network" in plugins:  # it means another folder now
        assert f"{tmp_path / 'tanh'} does not exist" in ended.err
        (tmp_path / "plugins").rename(tmp_path / "tanh")
        ended = main("explain", "-cd", "conf", "-cn", "own", "network.activation=tanh")
    assert (ended.status, ended.err) == (0, "")
    assert "0.25" in ended.out


@pytest.mark.slow
def test_the_command_line_overrides_a_primary_config(
    main: Main, tmp_path: Path, plugin: Path, jobs: Jobs
) -> None:
    """Slow: runs whole commands."""
    primary(tmp_path / "conf", "plugins: {path: [nowhere]}")
    assert one_line(main, "explain", "-cd", "conf", "-cn", "own").startswith(
        f"plugins.path: {tmp_path / 'nowhere'} does not exist"
    )
    ended = main("-cd", "conf", "-cn", "own", "plugins.path=[plugins]", *RUN)
    assert (ended.status, ended.err) == (0, "")
    assert recorded(tmp_path / "run")["plugins"] == {"path": ["plugins"], "prefer": []}


def experiment(folder: Path, name: str, text: str) -> None:
    write(folder / "experiment" / f"{name}.yaml", f"# @package _global_\n{text}\n")


MINE = """
defaults:
  - override /optimiser: mine
  - override /data: xor
optimiser:
  eta: 0.75
plugins:
  path: [plugins]
"""


@pytest.mark.slow
def test_an_experiment_file(main: Main, tmp_path: Path, plugin: Path, jobs: Jobs) -> None:
    """Slow: runs whole commands."""
    experiment(tmp_path / "conf", "mine", MINE)
    ended = main("-cd", "conf", "+experiment=mine", *RUN)
    assert (ended.status, ended.err) == (0, "")
    cfg = recorded(tmp_path / "run")
    assert cfg["optimiser"] == {"name": "mine", "eta": 0.75}
    assert cfg["plugins"] == {"path": ["plugins"], "prefer": []}


@pytest.mark.slow
def test_an_experiment_file_in_the_search_path(main: Main, tmp_path: Path, plugin: Path) -> None:
    """Slow: runs whole commands."""
    experiment(tmp_path / "more", "mine", MINE)
    place = f"hydra.searchpath=[file://{tmp_path / 'more'}]"
    assert "0.75" in main("explain", place, "+experiment=mine").out
    primary(tmp_path / "conf", f"hydra: {{searchpath: ['file://{tmp_path / 'more'}']}}")
    (tmp_path / "conf" / "own.yaml").write_text(
        (tmp_path / "conf" / "own.yaml").read_text().replace("mine", "sgd")
    )
    ended = main("explain", "-cd", "conf", "-cn", "own", "+experiment=mine")
    assert (ended.status, ended.err) == (0, "")
    assert "0.75" in ended.out


def test_an_experiment_that_names_something_unknown(
    main: Main, tmp_path: Path, plugin: Path
) -> None:
    experiment(tmp_path / "conf", "mine", MINE.replace("optimiser: mine", "optimiser: mime"))
    message = one_line(main, "-cd", "conf", "+experiment=mine", *RUN)
    assert message.startswith("optimiser: unknown 'mime'; did you mean 'mine'?")
    message = one_line(main, "-cd", "conf", "+experiment=other", *RUN)
    assert message.startswith("experiment: unknown 'other'; known: ")
    assert message.endswith((" mine", ", mine")) or ", mine, " in message
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_empty_nodes_do_not_outlive_the_reading(main: Main, tmp_path: Path, plugin: Path) -> None:
    """Slow: runs whole commands."""
    experiment(tmp_path / "conf", "mine", MINE)
    assert main("explain", "-cd", "conf", "+experiment=mine").status == 0
    assert one_line(main, "explain", "optimiser=mine").startswith("optimiser: unknown 'mine'")


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("plugins.path=mine.py", "plugins.path: 'mine.py' is not a list of texts"),
        ("plugins.path=[1]", "plugins.path: [1] is not a list of texts"),
        ("plugins.path=null", "plugins.path: None is not a list of texts"),
        ("plugins.prefer={a: 1}", "plugins.prefer: {'a': 1} is not a list of texts"),
        ("plugins=mine.py", "plugins: 'mine.py' is not a mapping with path and prefer"),
        ("plugins.path=[nowhere]", "does not exist"),
        ("plugins.path=['${oc.env:NO_SUCH_VARIABLE}']", "NO_SUCH_VARIABLE"),
        ("plugins.prefer=[nobody]", "plugins.prefer: unknown plugin 'nobody'"),
        ("plugins.paths=[]", "plugins.paths: unknown 'paths'"),
        ("plugins.path=[a", "plugins.path=[a: cannot be read as key=value"),
    ],
)
def test_wrong_settings_are_one_line(main: Main, tmp_path: Path, override: str, text: str) -> None:
    assert text in one_line(main, *RUN, override)
    with pytest.raises(ConfigError) as caught:
        bpframe.compose([override])
    assert text in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("plugins", "text"),
    [
        ("plugins: {path: plugins}", "plugins.path"),
        ("plugins: {path: [{a: 1}]}", "plugins.path"),
        ("plugins: 3", "plugins: 3 is not a mapping"),
        ("plugins: {paths: [plugins]}", "paths"),
    ],
)
def test_wrong_settings_in_a_file_are_one_line(
    main: Main, tmp_path: Path, plugin: Path, plugins: str, text: str
) -> None:
    primary(tmp_path / "conf", plugins, optimiser="sgd")
    assert text in one_line(main, "explain", "-cd", "conf", "-cn", "own")


@pytest.mark.slow
def test_a_sweep_with_a_plugin(main: Main, tmp_path: Path, plugin: Path) -> None:
    """Slow: it compiles two groups."""
    ended = main(
        *("-m", "plugins.path=[plugins]", "optimiser=sgd,mine", *QUICK, "training.epochs=1"),
        "hydra.sweep.dir=sweep",
    )
    assert (ended.status, ended.err) == (0, "")
    for job, name in (("0", "sgd"), ("1", "mine")):
        folder = tmp_path / "sweep" / job
        assert json.loads((folder / "summary.json").read_text())["status"] == "completed"
        cfg = recorded(folder)
        assert cfg["plugins"] == {"path": ["plugins"], "prefer": []}
        assert isinstance(cfg["optimiser"], dict)
        assert cfg["optimiser"]["name"] == name


@pytest.mark.slow
def test_a_sweep_over_experiments_with_plugins_of_their_own(
    main: Main, tmp_path: Path, plugin: Path, jobs: Jobs
) -> None:
    """Slow: it compiles two groups."""
    write(tmp_path / "other" / "slanted.py", activation("slanted", slope=0.5))
    experiment(tmp_path / "conf", "mine", MINE)
    experiment(
        tmp_path / "conf",
        "other",
        "network: {activation: slanted}\nplugins: {path: [other/slanted.py]}",
    )
    ended = main(
        *("-m", "-cd", "conf", "+experiment=mine,other", "seed=1,2", "training.batch_size=4"),
        *("hydra.sweep.dir=sweep", "hydra/launcher=basic"),
    )
    assert (ended.status, ended.err) == (0, "")
    mine, other = ("Mine(eta=0.75)", "Sigmoid()"), ("Sgd(eta=0.5)", "Slanted(slope=0.5)")
    chosen = [(str(job.optimiser), str(job.network.layers[0].activation)) for job in jobs]
    assert chosen == [mine, mine, other, other]
    assert [job.seed for job in jobs] == [1, 2, 1, 2]
    both = PluginSettings(("plugins", "other/slanted.py"))
    assert plugin_settings(["+experiment=glob(*)"], config_dir="conf") == both


@pytest.mark.parametrize("override", ["plugins.path=[a],[b]", "plugins.prefer=[a],[b]"])
def test_plugins_cannot_be_swept(main: Main, tmp_path: Path, override: str) -> None:
    message = one_line(main, "-m", override, *QUICK, "hydra.sweep.dir=sweep")
    assert message.startswith(f"{override}: plugins are loaded once for a whole sweep")
    assert not (tmp_path / "sweep").exists()


def test_a_relative_path_means_the_current_folder_even_if_the_run_leaves_it(
    main: Main, tmp_path: Path, plugin: Path, jobs: Jobs
) -> None:
    ended = main("plugins.path=[plugins]", "optimiser=mine", "hydra.job.chdir=true", *RUN)
    assert (ended.status, ended.err, len(jobs)) == (0, "", 1)
    assert recorded(tmp_path / "run")["optimiser"] == {"name": "mine", "eta": 0.25}


def test_a_broken_plugin_is_told_of_once_and_the_run_goes_on(
    main: Main, tmp_path: Path, plugin: Path, jobs: Jobs
) -> None:
    file = write(tmp_path / "plugins" / "broken.py", "import no_such_module_at_all\n")
    ended = main("plugins.path=[plugins]", "optimiser=mine", *RUN)
    assert ended.status == 0
    assert ended.err == (
        f"bpframe: warning: plugin broken ({file}) is disabled: cannot be imported: "
        f"ModuleNotFoundError: No module named 'no_such_module_at_all' ({file}, line 1)\n"
    )
    assert [type(job.optimiser).__name__ for job in jobs] == ["Mine"]


def test_compose_finds_plugins_and_configs_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "mine.py", activation("mine"))
    (tmp_path / "own.yaml").write_text(
        f"defaults: [config, _self_]\nplugins: {{path: ['{tmp_path / 'mine.py'}']}}\n"
        "network: {activation: mine}\n"
    )
    experiment = bpframe.compose(config_name="own", config_dir=tmp_path)
    assert type(experiment.network.layers[0].activation).__module__.endswith("mine")
    with pytest.raises(bpframe.ConfigError, match=r"config_dir: .* is not a folder"):
        bpframe.compose(config_dir=tmp_path / "nowhere")


@pytest.mark.parametrize(
    "override", ["network.hidden=[50]", "network.activation=tanh", "network.output_activation=relu"]
)
def test_layers_of_a_config_and_the_short_way_exclude_each_other(
    tmp_path: Path, override: str
) -> None:
    """Also where one stands in a file and the other is an override."""
    (tmp_path / "own.yaml").write_text(
        "defaults: [config, _self_]\n"
        "network: {layers: [{n: 5, activation: relu}, {n: 10, activation: sigmoid}]}\n"
    )
    assert bpframe.compose(config_name="own", config_dir=tmp_path).network.sizes == (64, 5, 10)
    key = override.partition("=")[0]
    with pytest.raises(ConfigError, match=f"{key}: .* and network.layers exclude each other"):
        bpframe.compose([override], config_name="own", config_dir=tmp_path)
