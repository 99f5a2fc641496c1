"""`bpframe explain`: the algorithm of a configuration, equation by equation."""

from __future__ import annotations

from argparse import ArgumentParser

from bpframe.commands import arguments
from bpframe.configuration import assembly, composition, suggestions, trust
from bpframe.errors import ConfigError, printable
from bpframe.explanation.algorithm import explain as explained

_HELP = """usage: bpframe explain [--latex] [OPTIONS] [OVERRIDES]

Print the algorithm that `bpframe [OVERRIDES]` would run, equation by equation.

options:
  --latex                   print the equations as LaTeX
  --config-name, -cn NAME   another primary config than config
  --config-path, -cp FOLDER the folder of the primary config
  --config-dir, -cd FOLDER  a folder of configs besides bpframe's own"""


def explain(words: list[str]) -> None:
    """Print the algorithm as it stands for a configuration."""
    args = arguments.parsed(words, parser())
    if args.help:
        print(_HELP)
        return
    for name in ("run", "multirun", "cfg", "info", "hydra_help", "shell_completion", "resolve"):
        if getattr(args, name):
            raise ConfigError(
                f"command line: --{name.replace('_', '-')} does not go with explain; leave it out"
            )
    registry = arguments.registry(args, trust.note)
    with (
        composition.initialised(args.config_path, args.config_dir),
        suggestions.explaining(registry),
    ):
        cfg = composition.compose_config(args.overrides, name=args.config_name)
        experiment = assembly.assemble(cfg, registry)
    print(printable(explained(experiment, rule_name=cfg.learning_rule.name, latex=args.latex)))


def parser() -> ArgumentParser:
    """What reads the words after `bpframe explain`."""
    made = arguments.parser()
    made.add_argument("--latex", action="store_true")
    return made
