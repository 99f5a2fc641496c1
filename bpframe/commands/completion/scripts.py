"""What each shell runs to complete the words after `bpframe`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# "$2" is what bash replaces: of a word with = or : only what follows the last of these.
_BASH = r"""
_bpframe_complete() {
    local found
    COMPREPLY=()
    while IFS= read -r found; do COMPREPLY+=("$found"); done < <(
        COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_POINT= BPFRAME_COMP_WORD="$2" \
            "${1/#\~\//$HOME/}" -sc query=bash 2> /dev/null)
}
complete -o nospace -F _bpframe_complete bpframe
"""
_BASH_OFF = """
complete -r bpframe
unset -f _bpframe_complete
"""

_ZSH = r"""
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_bpframe_complete() {
    local -a found
    found=("${(@f)$(COMP_LINE="${(j: :)words[1,CURRENT]}" COMP_POINT= \
        ${~words[1]} -sc query=zsh 2> /dev/null)}")
    compadd -S ' ' -- ${${(M)found:#* }% }
    compadd -S '' -- ${found:#* }
}
compdef _bpframe_complete bpframe
"""
_ZSH_OFF = """
compdef -d bpframe
unfunction _bpframe_complete
"""

_FISH = r"""
function __bpframe_complete
    set -l words (commandline -po)
    set -lx COMP_LINE (commandline -cp)
    set -lx COMP_POINT
    $words[1] -sc query=fish 2> /dev/null
end
complete -c bpframe -f -a '(__bpframe_complete)'
"""
_FISH_OFF = """
complete -e -c bpframe
functions -e __bpframe_complete
"""

SHELLS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        shell: MappingProxyType({"install": on.strip(), "uninstall": off.strip()})
        for shell, on, off in (
            ("bash", _BASH, _BASH_OFF),
            ("zsh", _ZSH, _ZSH_OFF),
            ("fish", _FISH, _FISH_OFF),
        )
    }
)
"""By the names of the shells: what installs the completion, and what takes it away."""
