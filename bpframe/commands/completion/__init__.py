"""Tab completion: `bpframe -sc install=bash`, and what the shell asks at every tab.

An answer comes from a file in the user's cache that says all there is to choose; it is written at
the first tab, and again when a plugin, a config or a version has changed. So nothing heavy is
imported: only `catalogue` needs Hydra and JAX.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from bpframe.commands.completion import cache, scripts
from bpframe.commands.completion.candidates import candidates
from bpframe.commands.completion.lines import Line
from bpframe.errors import ConfigError, unknown

OPTIONS = ("-sc", "--shell-completion")


def run(words: Sequence[str]) -> None:
    """Do what stands beside -sc: install=SHELL, uninstall=SHELL, or query=SHELL.

    A query takes the line from COMP_LINE, as far as COMP_POINT if that is there, and what the shell
    is going to replace from BPFRAME_COMP_WORD; it prints a candidate a line.

    Raises:
        ConfigError: it is something else, or another shell.

    """
    given = [word for word in words if word not in OPTIONS]
    action, _, shell = given[0].partition("=") if len(given) == 1 else ("", "", "")
    if action not in ("install", "uninstall", "query"):
        raise ConfigError(
            f"command line: --shell-completion goes with install=SHELL or uninstall=SHELL alone; "
            f"shells: {', '.join(scripts.SHELLS)}"
        )
    if shell not in scripts.SHELLS:
        raise unknown("--shell-completion", shell, scripts.SHELLS)
    if action != "query":
        print(scripts.SHELLS[shell][action])
        return
    line = os.environ.get("COMP_LINE", "")
    line = Line.of(line[: int(os.environ.get("COMP_POINT") or len(line))])
    found = candidates(line, cache.catalogue(line))
    if len(found) == 1 and line.quote and not found[0].endswith(" "):
        found.append(f"{found[0]},")  # so that the shell does not close the quotes yet
    for each in found:
        print(line.replacing(each, shell, os.environ.get("BPFRAME_COMP_WORD")))
