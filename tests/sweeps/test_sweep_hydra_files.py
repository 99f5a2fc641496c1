"""What differs from job to job is written without the YAML library, to the same bytes."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml

from bpframe.configuration.hydra_internals import yaml_dumper
from bpframe.sweeps.hydra.files import _parts  # pyright: ignore[reportPrivateUsage]

WORDS = (
    *("true_", "yes=", "null/", "inf_", "nan/1", "e_1", "1_0", "a=b", "a/b:c", "x=1e3", "/", "_a"),
    *(
        "0x1_",
        "=",
        "a=",
        "~/x",
        "-a_b",
        "a=-1",
        "on/off",
        "a b=c",
        "seed=3",
        "yes",
        "1e3",
        "",
        "#a=",
    ),
)
ALPHABET = "abXYZ019_=/.- :'\"#&*?|>%@`[]{},~!\\é"


def by_the_library(content: Any) -> str:
    return yaml.dump(
        content,
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
        Dumper=yaml_dumper(),
    )


def words() -> list[str]:
    rng = random.Random(0)
    return [*WORDS, *("".join(rng.choices(ALPHABET, k=rng.randint(1, 9))) for _ in range(300))]


@pytest.mark.parametrize("as_list", [False, True])
def test_the_text_is_that_of_the_library(as_list: bool) -> None:
    for word in words():

        def given(word: str = word) -> Any:
            return [word, "seed=3"] if as_list else word

        deep = {"three": given(), "on": given(), "n": 3, "deep": {"er": given()}}
        for content in (
            {"one": {"two": deep}},
            {"top": given(), "null": 1, "yes": given(), "is_it": True, "n_out": -(10**12)},
            {"none": [], "nothing": None, "some": [word, 1, "a=b"]},
            [word, 1, "a=b"],
        ):
            assert "".join(_parts((), content)) == by_the_library(content), content
