"""Evaluate the formulas that `explain` prints: a small calculator over NumPy arrays.

It knows what is written there: a product by juxtaposition or *, powers and transposes by ^, sums,
absolute values, scalar products <a, v>, `A if B else C`, and conditions after commas, such as
"t = 2y - 1" or "s the sigmoid".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import expit, ndtr, softmax

_TOKEN = re.compile(
    r"\s*(\d+\.\d+|\d+|grad_a C|(?:delta|[awzbBMsV])\^\d+|[A-Za-z]+(?:_(?:[a-z]|\d+))?'?"
    r"|<=|[-+*/^()\[\]|<>,])"
)
_STOPS = {")", "]", ",", ">", "<", "<=", "+", "-", "*", "/", "if", "else", ""}
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "ln": np.log,
    "tanh": np.tanh,
    "sign": np.sign,
    "softmax": softmax,
    "max": np.maximum,
    "min": np.minimum,
    "Phi": ndtr,
    "phi": lambda z: np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi),
}


def split(text: str) -> list[str]:
    """The parts between the commas that stand in no brackets."""
    parts, depth = [""], 0
    for character in re.sub(r"(?<=[(, ])<(?=\w+,)", "{", text).replace(">)", "})"):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip().replace("{", "<").replace("}", ">") for part in parts]


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """The value of a formula, with the conditions that follow its first comma."""
    formula, *conditions = split(text)
    known = dict(names)
    for condition in conditions:
        name, equals, value = condition.partition(" = ")
        if equals:
            known[name] = evaluate(value, known)
        elif condition == "s the sigmoid":
            known["s"] = expit
        elif condition == "t the threshold":
            known["t"] = names["threshold"]
        else:
            assert condition == "Phi the normal distribution", condition
    return _Calculator(formula, known).whole()


class _Calculator:
    def __init__(self, text: str, names: Mapping[str, Any]) -> None:
        self.names = names
        self.tokens: list[str] = []
        self.starts_with_space: list[bool] = []
        place = 0
        while place < len(text):
            match = _TOKEN.match(text, place)
            assert match, (text, place)
            self.tokens.append(match[1])
            self.starts_with_space.append(match[0] != match[1])
            place = match.end()
        self.tokens.append("")
        self.at = 0
        self.in_bars = [False]

    def whole(self) -> Any:
        value = self.choice()
        assert not self.next, self.tokens[self.at :]
        return value

    @property
    def next(self) -> str:
        return self.tokens[self.at]

    def take(self, *allowed: str) -> str:
        found = self.next
        assert found in allowed if allowed else found, (allowed, self.tokens, self.at)
        self.at += 1
        return found

    def choice(self) -> Any:
        value = self.sum()
        if self.next != "if":
            return value
        self.take("if")
        left, compare = self.sum(), self.take("<", "<=", ">")
        right = self.sum()
        self.take("else")
        compare = {"<": operator.lt, "<=": operator.le, ">": operator.gt}[compare]
        return np.where(compare(left, right), value, self.choice())

    def sum(self) -> Any:
        value = self.product()
        while self.next in ("+", "-"):
            sign = 1 if self.take() == "+" else -1
            value = value + sign * self.product()
        return value

    def product(self) -> Any:
        if self.next == "-":
            self.take()
            return -self.product()
        if self.next.startswith("sum_") or self.next == "sum":
            over = self.take()
            # What is summed goes on to the end, with its cases.
            summed = self.choice()
            return summed if over == "sum_x" else np.sum(summed)
        value = self.power()
        while True:
            if self.next in ("*", "/"):
                symbol = self.take()
                value = value * self.power() if symbol == "*" else value / self.divisor()
            elif self.next in _STOPS or (self.next == "|" and self.in_bars[-1]):
                return value
            elif self.next.startswith("sum"):
                value = value * self.product()
            else:
                value = _times(value, self.power())

    def divisor(self) -> Any:
        return self.product() if self.next.startswith("sum") else self.power()

    def power(self) -> Any:
        value = self.factor()
        while self.next == "^":
            self.take("^")
            if self.next == "T":
                self.take()
                value = value.T if np.ndim(value) == 2 else value[None, :]
            elif self.next == "-":
                self.take()
                value = value ** -self.factor()
            else:
                value = value ** self.factor()
        return value

    def factor(self) -> Any:
        token = self.take()
        if token in ("(", "[", "<", "|"):
            self.in_bars.append(token == "|")
            value = self.choice()
            if token == "<":
                self.take(",")
                value = np.dot(value, self.choice())
            self.take({"(": ")", "[": "]", "<": ">", "|": "|"}[token])
            self.in_bars.pop()
            return np.abs(value) if token == "|" else value
        if token[0].isdigit():
            return float(token)
        function = self.names.get(token, FUNCTIONS.get(token))
        if callable(function):
            if self.next != "(" or self.starts_with_space[self.at]:
                return function(self.power())
            return function(*self.arguments())
        return self.value(token)

    def arguments(self) -> list[Any]:
        self.take("(")
        self.in_bars.append(False)
        found = [self.choice()]
        while self.next == ",":
            self.take()
            found.append(self.choice())
        self.in_bars.pop()
        self.take(")")
        return found

    def value(self, token: str) -> Any:
        if token in self.names:
            return self.names[token]
        vector = re.sub(r"_[jk]$", "", token)  # a_j is an entry of a, for every j
        if vector in self.names:
            return self.names[vector]
        assert token == "e", f"{token} is not known"
        return np.e


def _times(left: Any, right: Any) -> Any:
    if np.ndim(left) == 2:
        return left @ right
    if np.ndim(left) == 1 and np.ndim(right) == 2:
        return np.outer(left, right)
    return left * right
