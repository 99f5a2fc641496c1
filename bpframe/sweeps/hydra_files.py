"""The folder `.hydra` of a job, as Hydra itself writes it.

Nearly all of it is the same in every job of a sweep, and turning a config into YAML takes ten
milliseconds; so the text of every part is kept and used again.
"""

from __future__ import annotations

import functools
import pickle

import yaml
from omegaconf._utils import get_omega_conf_dumper

from bpframe.sweeps.jobs import Job

_HYDRA = "hydra:\n"


def write(job: Job) -> None:
    """Make the run folder of a job, with Hydra's files in it.

    Raises:
        OSError: it cannot be written.

    """
    if job.hydra["output_subdir"] is None:
        job.folder.mkdir(parents=True)
        return
    folder = job.folder / str(job.hydra["output_subdir"])
    folder.mkdir(parents=True)
    hydra = [{"hydra": {key: value}} for key, value in job.hydra.items()]
    for name, texts in (
        ("config.yaml", [_text(pickle.dumps({k: v})) for k, v in job.config.items()]),
        (
            "hydra.yaml",
            [_HYDRA, *(_text(pickle.dumps(part)).removeprefix(_HYDRA) for part in hydra)],
        ),
        ("overrides.yaml", [_text(pickle.dumps(list(job.overrides)))]),
    ):
        (folder / name).write_text("".join(texts), encoding="utf-8")


@functools.lru_cache(maxsize=1024)
def _text(part: bytes) -> str:
    return yaml.dump(  # as OmegaConf.to_yaml does
        pickle.loads(part),
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
        Dumper=get_omega_conf_dumper(),
    )
