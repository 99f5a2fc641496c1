"""What a run has saved, read again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from bpframe.contracts import LayerParams, Params
from bpframe.errors import DataError, OutputError, plainly
from bpframe.network import named_params
from bpframe.runs.folder import check_file
from bpframe.runs.layout import read_summary

_NAME = re.compile(r"layer_([2-9]|[1-9]\d+)\.(.+)")


@plainly
def read_params(
    path: str | Path, like: tuple[LayerParams, ...] | None = None
) -> tuple[LayerParams, ...]:
    """The parameters in a file such as the params.safetensors of a run, as NumPy arrays.

    They have the structure of `like`, if that is given. Otherwise a layer with w and b has
    `Params`, any other a mapping of its arrays by name, which is empty where there are none.

    Raises:
        DataError: it is missing, damaged (also where only the summary.json beside it tells so), or
            holds other arrays than layer_2.w, layer_2.b, layer_3.w, ...

    """
    path = Path(path)
    layers: dict[int, dict[str, np.ndarray]] = {}
    arrays = _arrays(path)
    if like is not None:
        return _structured(path, arrays, like)
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise DataError(f"{path}: holds {name}; expected layer_2.w, layer_2.b, layer_3.w, ...")
        layers.setdefault(int(match[1]), {})[match[2]] = array
    if not layers:
        raise DataError(f"{path}: holds nothing; expected layer_2.w, layer_2.b, layer_3.w, ...")
    return tuple(_params(layers.get(number, {})) for number in range(2, max(layers) + 1))


def _structured(
    path: Path, arrays: dict[str, np.ndarray], like: tuple[LayerParams, ...]
) -> tuple[LayerParams, ...]:
    names = list(named_params(like))
    if set(names) != set(arrays):
        raise DataError(
            f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; the network has "
            f"{', '.join(names)}"
        )
    for name, wanted in named_params(like).items():
        if arrays[name].shape != wanted.shape:
            raise DataError(
                f"{path}: {name} has shape {arrays[name].shape}; the network has {wanted.shape}"
            )
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in names])


def _params(arrays: dict[str, Any]) -> LayerParams:
    return Params(**arrays) if set(arrays) == set(Params._fields) else arrays


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        summary = read_summary(path.parent)
        expected = (summary or {"files": {}})["files"].get(path.name)
        return load(check_file(path, expected))
    except OutputError as error:
        raise DataError(str(error)) from error
    except SafetensorError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
