"""What `bpframe --help` prints: subcommands, options, components, and the configuration."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from bpframe.commands.subcommands import SUBCOMMANDS
from bpframe.configuration import schemas

WIDTH = 80

_USES = {
    "bpframe [OPTIONS] [KEY=VALUE ...]": "one run; of 64-30-10 on the digits",
    "bpframe -m optimiser.eta=0.1,0.5,2.5": "a sweep: one run for each value",
    "bpframe SUBCOMMAND ...": "something else, from the list below",
}
OPTIONS: Mapping[str, str] = {
    "-m, --multirun": "sweep over values that are separated by commas",
    "-cd, --config-dir FOLDER": "configs of your own, besides bpframe's",
    "-cn, --config-name NAME": "another primary config than config",
    "-cp, --config-path FOLDER": "configs in place of bpframe's",
    "-c, --cfg job|hydra|all": "print the composed configuration, and run nothing",
    "-p, --package NODE": "with --cfg: print this part of it",
    "--resolve": "with --cfg: interpolations resolved",
    "-i, --info [TOPIC]": "what Hydra knows: plugins, searchpath, ...",
    "-sc, --shell-completion": "install=bash|zsh|fish prints the tab completion",
    "--hydra-help": "all of Hydra's options",
    "--version": "the versions of bpframe, Hydra and JAX",
}


def text(groups: Mapping[str, Sequence[str]], config: str) -> str:
    """The whole help, 80 columns wide but for what the configuration makes wider.

    `groups` are the config groups with the names of their components, `config` is the composed
    configuration as YAML.
    """
    subcommands = {f"{name} {each.arguments}": each.does for name, each in SUBCOMMANDS.items()}
    listed = {group: ", ".join(names) for group, names in groups.items()}
    added = {f"+{group}": listed.pop(group) for group in groups if group not in schemas.GROUPS}
    parts = (
        ("bpframe trains networks by the equations of backpropagation, written in JAX.", _USES),
        ("Subcommands (bpframe SUBCOMMAND --help says more)", subcommands),
        ("Options", OPTIONS),
        ("Components (choose one with GROUP=NAME; bpframe plugins lists all kinds)", listed),
        ("Configs of studies and of your own (add one with +GROUP=NAME)", added),
    )
    lines = [line for title, rows in parts for line in (title, "", *_table(rows), "")]
    end = "Every key can be set as KEY=VALUE, with dots: optimiser.eta=0.1"
    return "\n".join([*lines, "Configuration", "", textwrap.indent(config.rstrip(), "  "), "", end])


def _table(rows: Mapping[str, str]) -> Iterator[str]:
    """Two columns; what stands in the second is wrapped."""
    width = max(map(len, rows)) + 2
    for name, does in rows.items():
        head = f"  {name:{width}}"
        yield from textwrap.wrap(
            does, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
        )
