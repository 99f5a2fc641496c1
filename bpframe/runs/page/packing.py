"""Arrays over time as text in a page: float16 with a scale for each row, in base64.

JSON with three digits takes 2.7 times the room. A row, which is a layer at one time, is divided by
a power of two, so that its largest number is about 1: float16 alone, or whole numbers, would make
zeros of deltas that vanish over the layers, or over training. What is below a ten-thousandth of the
largest number of a row has fewer than three digits, and what is below 3e-8 of it becomes 0.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from bpframe.runs.network_over_time.tracks import Track, rows_at


def packed(track: Track, steps: np.ndarray) -> dict[str, Any]:
    """A track for the script of the page: a number is half[i] * 2^exponents[row].

    `rows` has for each of the steps the row that belongs to it, and `steps` when each row was
    recorded; `halves` are the rows as little-endian float16, in base64.
    """
    rows = track.values.reshape(len(track.values), -1).astype(np.float64)
    largest = np.where(np.isfinite(rows), np.abs(rows), 0).max(axis=1, initial=0)
    exponents = np.frexp(largest)[1]
    halves = np.ldexp(rows, -exponents[:, None]).astype("<f2")
    return {
        "rows": rows_at(track.steps, steps).tolist(),
        "steps": track.steps.tolist(),
        "exponents": exponents.tolist(),
        "halves": base64.b64encode(halves.tobytes()).decode("ascii"),
    }
