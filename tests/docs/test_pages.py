"""The pages of the documentation: examples run, links lead somewhere, lists are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from examples import examples, follow

import bpframe

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md")),
    *PAGES,
    *sorted((ROOT / "experiments").glob("**/*.md")),
]
NOT_FOLLOWED = {
    "cluster": "needs a cluster",
    "plugins": "test_plugin_docs checks and runs each of its plugins",
    "trackers": "needs libraries of extras; test_tracker_libraries runs each tracker",
    "sweeps": "test_sweep_docs follows it, and looks at what is printed",
}
FOLLOWED = [page for page in PAGES if page.stem not in NOT_FOLLOWED and examples(page)]

_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.M)


@pytest.mark.slow
@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path):
    """Slow: commands from shell to exit, up to a dozen a page, one after another."""
    follow(page, tmp_path)


def test_what_is_not_followed_is_there():
    assert set(NOT_FOLLOWED) <= {page.stem for page in PAGES}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_local_links_lead_somewhere(page: Path):
    """As on a plain git host; the site's own are checked when it is built."""
    assert _broken(page) == []


def test_broken_links_and_examples_are_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# The page\n[1](#the-page) [2](#no) [3](no.md) `[4](no.md)` [5](page.md#no)\n")
    assert _broken(page) == ["#no", "no.md", "page.md#no"]
    for code in ("sh\nfalse\n", "python\nraise SystemExit(1)\n", "console\n$ echo a\nb\n"):
        page.write_text(f"```{code}```\n")
        with pytest.raises(AssertionError):
            follow(page, tmp_path)
    page.write_text("`a/b.txt`:\n```text\nhello\n```\n```console\n$ cat a/b.txt\nh...o\n```\n")
    follow(page, tmp_path)


def _broken(page: Path) -> list[str]:
    """The local links of a page that lead nowhere."""
    found = []
    for link in _LINK.findall(_without_code(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        is_known = target.exists() and (not anchor or anchor in _anchors(target))
        if not re.match(r"\w+:", link) and not is_known:
            found.append(link)
    return found


def _without_code(page: Path) -> str:
    return re.sub(r"`[^`\n]*`", "`", _FENCED.sub("", page.read_text(encoding="utf-8")))


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in headings}


def test_the_gallery_has_every_study_once_with_its_picture():
    """Where its links lead is tested with those of all pages."""
    text = (ROOT / "experiments" / "GALLERY.md").read_text(encoding="utf-8")
    studies = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
    for pattern in (
        r"^\[!\[.+\]\((\w+)/\1\.png\)\]\(\1/README\.md\)$",
        r"\? \d+ of \d+ rows agree.*\. \[the study\]\((\w+)/README\.md\) · ",
        r" · \[its rows\]\(RESULTS\.md#(\w+)\)$",
    ):
        assert sorted(re.findall(pattern, text, re.M)) == studies


def test_the_api_has_every_public_name_once():
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    names = re.findall(r"^\.\. [\w:]+:: bpframe\.(\w+)$", text, re.M)
    assert sorted(names) == sorted(dir(bpframe))
