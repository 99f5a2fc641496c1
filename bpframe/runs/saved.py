"""What a run has saved, read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from bpframe.errors import DataError, OutputError
from bpframe.runs.folder import check_file, read_summary


def read_params(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a file such as the params.safetensors of a run: layer_2.w, layer_2.b, ...

    Raises:
        DataError: it is missing or damaged, also where only the summary.json beside it tells so.

    """
    path = Path(path)
    try:
        summary = read_summary(path.parent)
        expected = (summary or {"files": {}})["files"].get(path.name)
        return load(check_file(path, expected))
    except OutputError as error:
        raise DataError(str(error)) from error
    except SafetensorError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
