"""Checks of trackers: the little that can be known without their libraries and servers."""

from __future__ import annotations

import pickle

from bpframe.errors import ConfigError
from bpframe.testing.expect import expect
from bpframe.testing.outcome import Check, CheckFailedError, CheckSkippedError
from bpframe.testing.subjects import Subject


def can_be_sent(subject: Subject) -> None:
    """It is the same after pickling, as other processes get it."""
    for instance in subject.instances:
        try:
            again = pickle.loads(pickle.dumps(instance))
        except Exception as error:
            raise CheckFailedError(
                f"cannot be pickled, as it is for other processes: {type(error).__name__}: {error}",
                given=instance,
            ) from error
        expect(
            again == instance,
            "is another tracker after it was pickled",
            given=instance,
            found=again,
            expected=instance,
        )


def names_its_library(subject: Subject) -> None:
    """`library` is None, or a module and what pip installs."""
    library = subject.component.library
    is_pair = isinstance(library, tuple) and len(library) == 2
    expect(
        library is None or (is_pair and all(isinstance(part, str) and part for part in library)),
        "library is no module with what pip installs",
        found=library,
        expected='None, or a pair such as ("tensorboardX", "bpframe[tensorboard]")',
        method="library",
    )


def works_or_says_why(subject: Subject) -> None:
    """`check` returns nothing, or raises a ConfigError."""
    if missing := subject.component.missing():
        raise CheckSkippedError(f"needs {missing}")
    for instance in subject.instances:
        try:
            found = instance.check()
        except ConfigError as error:
            raise CheckSkippedError(str(error)) from error
        expect(
            found is None,
            "check returns something; it should raise a ConfigError where the tracker cannot work",
            given=instance,
            found=found,
            expected=None,
            method="check",
        )


CHECKS = (
    Check("can be sent to other processes", can_be_sent),
    Check("names its library", names_its_library),
    Check("works or says why", works_or_says_why, "check"),
)
