"""What a run has saved, read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from bpframe.contracts import Params
from bpframe.errors import DataError, OutputError
from bpframe.runs.folder import check_file, read_summary


def read_params(path: str | Path) -> tuple[Params, ...]:
    """The parameters in a file such as the params.safetensors of a run, as NumPy arrays.

    Raises:
        DataError: it is missing, damaged (also where only the summary.json beside it tells so), or
            holds other arrays than layer_2.w, layer_2.b, layer_3.w, ...

    """
    path = Path(path)
    arrays = _arrays(path)
    numbers = range(2, 2 + len(arrays) // 2)
    names = [f"layer_{number}.{name}" for number in numbers for name in Params._fields]
    if not arrays or set(names) != set(arrays):
        raise DataError(
            f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; expected layer_2.w, "
            "layer_2.b, layer_3.w, ..."
        )
    layers = ([arrays[f"layer_{number}.{part}"] for part in Params._fields] for number in numbers)
    return tuple(Params(*cast(Any, layer)) for layer in layers)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        summary = read_summary(path.parent)
        expected = (summary or {"files": {}})["files"].get(path.name)
        return load(check_file(path, expected))
    except OutputError as error:
        raise DataError(str(error)) from error
    except SafetensorError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
