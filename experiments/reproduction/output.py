"""Where what is written goes."""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bpframe.runs.folder import write_whole
from reproduction import page, results
from reproduction.results import Results


@dataclasses.dataclass(frozen=True)
class Output:
    """The files that are written into `folder`.

    Attributes:
        folder: where RESULTS.md and results.json are.
        studies: the folder of the studies. If it is `folder` itself, a figure goes into the folder
            of its study, else beside RESULTS.md.

    """

    folder: Path
    studies: Path

    @property
    def page(self) -> Path:
        """RESULTS.md."""
        return self.folder / "RESULTS.md"

    def read(self) -> dict[str, results.Result]:
        """What results.json has; see results.read."""
        return results.read(self.folder / "results.json")

    def write(self, found: Results) -> None:
        """Write results.json, and RESULTS.md."""
        results.write(self.folder / "results.json", found)
        links = {
            name: page.Links(
                readme=self._link(readme) if (readme := self._readme(name)).is_file() else None,
                figure=self._link(self._figure(name)),
            )
            for name in found
        }
        write_whole(self.page, page.markdown(found, links).encode())

    def draw(self, name: str, figure: Figure) -> None:
        """Save the figure of a study."""
        FigureCanvasAgg(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
        path = self._figure(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue())

    def _figure(self, name: str) -> Path:
        folder = self.folder
        return (folder / name if folder == self.studies else folder) / f"{name}.png"

    def _readme(self, name: str) -> Path:
        return self.studies / name / "README.md"

    def _link(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.folder)).as_posix().replace(" ", "%20")
