"""Mutants of the built-in plugins against the conformance kit: which of them it kills.

    python tests/testing/mutation.py [--count N] [--seed S] [MODULE ...]

A mutant is a built-in component with one change in the body of a method: another sign, operator,
constant, comparison, branch, axis or index, a transpose or a term left out. It is killed if a check
of the kit fails. Survivors are printed with the line that was changed, to be explained one by one.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import importlib
import inspect
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from bpframe import hookimpl
from bpframe.testing import FAILED, _cases_of  # pyright: ignore[reportPrivateUsage]

MODULES = (
    "activations", "costs", "regularisers", "schedules", "stopping", "initialisers", "aggregations",
    "layers.convolution", "layers.pooling", "layers.dropout", "layers.normalisation",
    "optimisers.book", "metrics",
)  # fmt: skip
SWAPS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.MatMult: ast.Mult,
}
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.Lt,
    ast.Lt: ast.Gt,
    ast.GtE: ast.LtE,
    ast.LtE: ast.GtE,
    ast.Eq: ast.NotEq,
}
NAMES = {
    "sum": "mean",
    "mean": "sum",
    "maximum": "minimum",
    "minimum": "maximum",
    "argmax": "argmin",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
    "exp": "expm1",
}

NOT_OFFERED = "not offered"
"""Of a class that no hook offers, such as a base class of others."""


class Mutant(NamedTuple):
    """A changed module: what was changed, and the class that it is in."""

    module: str
    owner: str
    method: str
    line: int
    what: str
    tree: Callable[[], ast.Module]


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What one node may become."""
    if isinstance(node, ast.BinOp):
        swapped = SWAPS.get(type(node.op))
        if swapped is not None:
            new = copy.copy(node)
            new.op = swapped()
            yield f"{type(node.op).__name__} to {swapped.__name__}", new
        if isinstance(node.op, ast.Add | ast.Sub):
            yield "a term left out", node.left
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "a sign left out", node.operand
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    ):
        yield f"{node.value} to {node.value + 1}", ast.Constant(node.value + 1)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        new = copy.copy(node)
        new.ops = [COMPARED[type(node.ops[0])]()]
        yield "a comparison turned round", new
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield "a transpose left out", node.value
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        new = copy.copy(node)
        new.attr = NAMES[node.attr]
        yield f"{node.attr} to {new.attr}", new
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "where":
        new = copy.copy(node)
        new.args = [node.args[0], *node.args[:0:-1]]
        yield "branches exchanged", new


class _Replace(ast.NodeTransformer):
    def __init__(self, at: ast.AST, by: ast.AST) -> None:
        self._at, self._by = at, by

    def visit(self, node: ast.AST) -> Any:
        if node is self._at:
            return ast.copy_location(self._by, node)
        return self.generic_visit(node)


def mutants(name: str) -> Iterator[Mutant]:
    """Every change of every method of the components of a module."""
    module = importlib.import_module(f"bpframe_plugins.{name}")
    source = inspect.getsource(module)
    whole = ast.parse(source)
    for owner in whole.body:
        if not isinstance(owner, ast.ClassDef):
            continue
        for method in owner.body:
            if not isinstance(method, ast.FunctionDef) or method.name.startswith(
                ("check", "__post")
            ):
                continue
            body = [s for s in method.body if not isinstance(s, ast.Raise | ast.Assert)]
            for node in (n for statement in body for n in ast.walk(statement)):
                if isinstance(node, ast.JoinedStr):
                    continue
                for what, new in _changes(node):
                    line = getattr(node, "lineno", 0)
                    place = (f"bpframe_plugins.{name}", owner.name, method.name, line)
                    yield Mutant(*place, what, functools.partial(_replaced, whole, node, new))


def _replaced(whole: ast.Module, node: ast.AST, new: ast.AST) -> ast.Module:
    """A copy of the module in which a node is another."""
    numbered = {id(each): place for place, each in enumerate(ast.walk(whole))}
    place = numbered[id(node)]
    again = copy.deepcopy(whole)
    at = next(each for number, each in enumerate(ast.walk(again)) if number == place)
    return ast.fix_missing_locations(_Replace(at, new).visit(again))


def is_killed(mutant: Mutant) -> str:
    """The check that kills it; nothing if it survives."""
    original = importlib.import_module(mutant.module)
    name = f"mutant_of_{mutant.module.rpartition('.')[2]}"
    module = types.ModuleType(name)
    module.__file__ = original.__file__
    sys.modules[name] = module
    exec(compile(mutant.tree(), str(original.__file__), "exec"), vars(module))
    changed = getattr(module, mutant.owner)
    plugin = types.ModuleType(f"{name}_plugin")
    plugin.BPFRAME_API_VERSION = 2  # pyright: ignore[reportAttributeAccessIssue]
    for hook in [name for name in vars(original) if name.startswith("bpframe_")]:
        own = {
            f"mutant_{key}": part
            for key, part in getattr(module, hook)().items()
            if isinstance(key, str) and issubclass(part, changed)
        }
        if own:
            setattr(plugin, hook, _offering(hook, own))
    try:
        found = [case for case in _cases_of([plugin]) if case.kind != "plugin"]
    except Exception as error:
        return f"cannot be loaded: {error}"
    for case in found:
        outcome = case.run()
        if outcome.status == FAILED:
            return outcome.check
    return "" if found else NOT_OFFERED


def _offering(hook: str, own: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    def offers() -> dict[str, Any]:
        return own

    offers.__name__ = hook
    return hookimpl(offers)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("module", nargs="*", default=list(MODULES))
    parser.add_argument("--count", type=int, default=60, help="so many, chosen at random")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    jax.config.update("jax_disable_most_optimizations", True)
    every = [mutant for name in arguments.module for mutant in mutants(name)]
    chosen = random.Random(arguments.seed).sample(every, min(arguments.count, len(every)))
    killed = tried = 0
    for mutant in chosen:
        check = is_killed(mutant)
        if check == NOT_OFFERED:
            continue
        tried += 1
        killed += bool(check)
        place = f"{mutant.owner}.{mutant.method}, line {mutant.line} of {mutant.module}"
        said = f"killed by {check}" if check else "SURVIVES"
        print(f"{said}: {place}: {mutant.what}", flush=True)
    print(f"{killed} of {tried} killed, of {len(every)} mutants")


if __name__ == "__main__":
    main()
