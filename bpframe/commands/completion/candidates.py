"""What may follow on a command line, by a catalogue of all that can be chosen."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bpframe.commands.completion.lines import Line

Catalogue = dict[str, Any]
"""Plain values, as `catalogue.made` describes them."""

Spec = dict[str, Any]
"""What a value may be: {"values": [...]}, {"list": SPEC}, {"kind": KIND} for a component, by its
name or as a mapping ("default" is what one without a name is), {"fields": {KEY: SPEC}} for another
mapping, {"file": True}; or several of these."""

_ADDING = re.compile(r"(\+\+|\+|~)?(.*)", re.DOTALL)
_CONFIGS = ("-cn", "--config-name", "-cd", "--config-dir", "-cp", "--config-path")


def candidates(line: Line, catalogue: Catalogue) -> list[str]:
    """The words that the last word may become, in alphabetical order.

    One that ends in a space is finished.
    """
    commands = catalogue["commands"]
    words, name = list(line.words), ""
    if words and words[0] == "help":
        found: Iterable[str] = (f"{each} " for each in commands if each)
        return _those(found if len(words) == 1 else (), line.word)
    if words and words[0] in commands:
        name = words.pop(0)
    command = commands[name]
    option = words[-1] if words else ""
    if option in command["options"] and command["options"][option] is not None:
        return _those(_values(line.word, command["options"][option], catalogue), line.word)
    if line.word.startswith("-"):
        return _those((f"{each} " for each in command["options"]), line.word)
    found = list(_keys_and_values(line.word, words, command, catalogue))
    if not words and not name:
        found += [f"{each} " for each in (*commands, "help") if each]
    place = sum(not word.startswith("-") and "=" not in word for word in words)
    if command["words"] and "=" not in line.word:
        spec = command["words"][min(place, len(command["words"]) - 1)]
        found += [_finished(each) for each in _values(line.word, spec, catalogue)]
    return _those(found, line.word)


def _those(found: Iterable[str], word: str) -> list[str]:
    return sorted({each for each in found if each.startswith(word) and each != word})


def _finished(name: str) -> str:
    return name if name.endswith(("/", "=", ".", "[")) else f"{name} "


def _keys_and_values(
    word: str, words: Sequence[str], command: Any, catalogue: Catalogue
) -> Iterator[str]:
    """The overrides that the last word may become."""
    allowed: list[str] | None = command["keys"]
    if allowed is None:
        return
    match = _ADDING.fullmatch(word)
    assert match is not None
    sign, text = match[1] or "", match[2]
    key, equals, value = text.partition("=")
    fields = _fields(words, catalogue)
    groups, chosen = catalogue["groups"], catalogue["chosen"]
    if equals:
        if key in groups:
            spec: Spec | None = {"values": groups[key]}
        else:
            spec = fields.get(key) or _fields(["+"], catalogue).get(key)
        for each in _values(value, spec or {}, catalogue):
            yield f"{sign}{key}={each}"
        return
    keys = [f"{group}=" for group in groups if (sign != "+" or group not in chosen)]
    keys = [each for each in keys if sign == "+" or each[:-1] in chosen]
    if sign != "+":
        keys += [f"{field}=" for field in fields]
    for each in keys:
        if not allowed or each.startswith(tuple(allowed)):
            yield sign + _next_part(each, text)


def _next_part(key: str, text: str) -> str:
    """A key as far as it is the next part of it: optimiser. before optimiser.eta=."""
    if not key.startswith(text):
        return key
    rest = re.match(r"[^./]*[./]?", key[len(text) :])
    assert rest is not None
    return text + rest[0]


def _fields(words: Sequence[str], catalogue: Catalogue) -> dict[str, Spec]:
    """All keys with their values, for the components that the line chooses.

    Where it includes other configs, which may choose any, those of all components.
    """
    chosen: dict[str, str | None] = dict(catalogue["chosen"])
    for word in words:
        key, equals, value = word.lstrip("+").partition("=")
        if key in chosen and equals:
            chosen[key] = value
        elif word.startswith("+") or word in _CONFIGS:
            chosen = dict.fromkeys(chosen)
    found: dict[str, Spec] = dict(catalogue["keys"])
    for group, name in chosen.items():
        components = catalogue["components"].get(group, {})
        for each in [name] if name in components else components:
            for field, spec in components[each].items():
                key = f"{group.replace('/', '.')}.{field}"
                found.setdefault(key, spec)
                for inner in catalogue["components"].get(spec.get("kind"), {}).values():
                    found |= {f"{key}.{part}": of_part for part, of_part in inner.items()}
    return found


def _values(text: str, spec: Spec, catalogue: Catalogue) -> Iterator[str]:
    """The texts that a value which has been begun may become."""
    if text.startswith("["):
        yield from _in_a_list(text, spec.get("list", {}), catalogue)
    elif text.startswith("{"):
        yield from _in_a_mapping(text, spec, catalogue)
    else:
        if text == "" and "list" in spec:
            yield from (f"[{each}" for each in _values("", spec["list"], catalogue))
        # Commas separate the values of a sweep.
        before, comma, last = text.rpartition(",")
        for each in _names(spec, catalogue):
            if each.startswith(last):
                yield f"{before}{comma}{each}"
        if spec.get("file"):
            yield from _files(text)


def _names(spec: Spec, catalogue: Catalogue) -> list[str]:
    return [*spec.get("values", ()), *catalogue["components"].get(spec.get("kind"), ())]


def _in_a_list(text: str, item: Spec, catalogue: Catalogue) -> Iterator[str]:
    parts = _parts(text[1:])
    if parts is not None:
        before, last = parts
        yield from (f"[{before}{each}" for each in _values(last, item, catalogue))


def _in_a_mapping(text: str, spec: Spec, catalogue: Catalogue) -> Iterator[str]:
    parts = _parts(text[1:])
    if parts is None:
        return
    before, last = parts
    given = dict(re.findall(r"(\w+):\s*([^,{}\[\]]*)", before))
    fields: dict[str, Spec] = dict(spec.get("fields", {}))
    if kind := spec.get("kind"):
        components = catalogue["components"].get(kind, {})
        fields = {"name": {"values": list(components)}}
        fields |= components.get(given.get("name", spec.get("default", "")).strip(), {})
    key, colon, value = last.partition(":")
    if not colon:
        yield from (f"{{{before}{each}:" for each in fields if each not in given)
        return
    space = value[: len(value) - len(value.lstrip())]
    for each in _values(value.lstrip(), fields.get(key, {}), catalogue):
        yield f"{{{before}{key}:{space}{each}"


def _parts(text: str) -> tuple[str, str] | None:
    """The inside of a bracket up to its last part, and that part; None: it is closed."""
    depth, start = 0, 0
    for place, character in enumerate(text):
        if character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
            if depth < 0:
                return None
        elif character == "," and depth == 0:
            start = place + 1
    start += len(text[start:]) - len(text[start:].lstrip())
    return text[:start], text[start:]


def _files(text: str) -> Iterator[str]:
    """The files and folders whose names begin like this; hidden ones where a dot is typed."""
    folder, slash, name = text.rpartition("/")
    place = Path(os.path.expanduser(folder + slash) or ".")
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError:
        return  # there is no such folder, or it is not ours to read
    for entry in entries:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            yield f"{folder}{slash}{entry.name}" + ("/" if entry.is_dir() else "")
