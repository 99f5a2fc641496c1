"""A command line as far as it is typed, in words as the shell would make them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_SPECIAL = re.compile(r"([\s'\"\\$&;()<>|*?`!#])")


class Line(NamedTuple):
    """The words before the one that is completed, and that one.

    `raw` is it as it was typed, and `quote` the quote that is open at its end.
    """

    words: tuple[str, ...]
    word: str
    raw: str
    quote: str

    @classmethod
    def of(cls, text: str) -> Line:
        """The line with what has been typed, without the name of the program."""
        words, begins, quote, escaped = [""], [0], "", False
        for place, character in enumerate(text):
            if escaped:
                words[-1] += character
                escaped = False
            elif character == "\\" and quote != "'":
                escaped = True
            elif quote and character == quote:
                quote = ""
            elif not quote and character in "'\"":
                quote = character
            elif not quote and character.isspace():
                if words[-1] or text[begins[-1] : place]:
                    words.append("")
                    begins.append(place + 1)
                else:
                    begins[-1] = place + 1
            else:
                words[-1] += character
        return cls(tuple(_after_the_program(words)), words[-1], text[begins[-1] :], quote)

    def replacing(self, candidate: str, shell: str, replaced: str | None = None) -> str:
        """What the shell puts in place of `replaced`, a part of the word's end; None: all of it.

        Zsh and fish put quotes where they are needed themselves, and fish sees whether a word is
        finished.
        """
        if shell == "fish":
            return candidate.removesuffix(" ")
        if shell == "zsh":
            return candidate
        more = candidate[len(self.word) :]
        is_finished, more = more.endswith(" "), more.removesuffix(" ")
        if self.quote:
            more += self.quote if is_finished else ""
        else:
            more = _SPECIAL.sub(r"\\\1", more)
        whole = self.raw + more + (" " if is_finished else "")
        if replaced is not None and self.raw.endswith(replaced):
            whole = whole[len(self.raw) - len(replaced) :]
        return whole


def _after_the_program(words: Sequence[str]) -> Sequence[str]:
    """The words between the program and the last word; variables may be set before it."""
    program = next((place for place, word in enumerate(words) if "=" not in word), 0)
    return words[program + 1 : -1]
