"""Errors as Python programs meet them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from bpframe.errors import BpframeError

P = ParamSpec("P")
R = TypeVar("R")


def plainly(function: Callable[P, R]) -> Callable[P, R]:
    """The function, raising a BpframeError without the errors of libraries that led to it.

    HYDRA_FULL_ERROR=1 keeps them.
    """

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BpframeError as error:
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
            raise error.with_traceback(None) from None

    return called
