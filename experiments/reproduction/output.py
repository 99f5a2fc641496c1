"""Where what is written goes."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from bpframe.errors import BpframeError
from bpframe.runs.folder import write_whole
from reproduction import gallery, page, results, shown, style
from reproduction.results import Results
from reproduction.runs import Runs
from reproduction.study import Study


@dataclasses.dataclass(frozen=True)
class Output:
    """The files that are written into `folder`.

    Attributes:
        folder: where RESULTS.md, GALLERY.md and results.json are.
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
        """Write results.json, RESULTS.md and GALLERY.md."""
        results.write(self.folder / "results.json", found)
        links = {
            name: page.Links(
                readme=self._link(readme) if (readme := self._readme(name)).is_file() else None,
                figure=self._link(self._figure(name)),
            )
            for name in found
        }
        write_whole(self.page, page.markdown(found, links).encode())
        write_whole(self.folder / "GALLERY.md", gallery.markdown(found, links).encode())

    def draw(self, study: Study, runs: Runs) -> None:
        """Save the figure of a study, and beside it what of the runs it shows."""
        watched = shown.watched(runs)
        self._save(study, watched)
        write_whole(self._shown(study.name), shown.text(watched).encode())

    def draw_again(self, study: Study) -> None:
        """Save the figure of a study, of what was kept of its runs.

        Raises:
            BpframeError: nothing was kept, or it cannot be read.

        """
        path = self._shown(study.name)
        if not path.is_file():
            raise BpframeError(f"{path}: is missing, so the figure stays; run the study once")
        self._save(study, shown.read(path))

    def _save(self, study: Study, runs: Runs) -> None:
        picture = style.png(style.drawn(study, runs))
        path = self._figure(study.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, picture)

    def _figure(self, name: str) -> Path:
        folder = self.folder
        return (folder / name if folder == self.studies else folder) / f"{name}.png"

    def _shown(self, name: str) -> Path:
        return self._figure(name).with_suffix(".json")

    def _readme(self, name: str) -> Path:
        return self.studies / name / "README.md"

    def _link(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.folder)).as_posix().replace(" ", "%20")
