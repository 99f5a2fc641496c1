"""The site as it was built into $BPFRAME_SITE, and how its docstrings become pages.

sphinx-build -W --keep-going -n -c docs . FOLDER
BPFRAME_SITE=FOLDER pytest -m "slow or not slow" tests/docs/test_site.py
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
SITE = os.environ.get("BPFRAME_SITE")
PHONE = {"width": 390, "height": 844}
READABLE = 4.5
"""The contrast that the Web Content Accessibility Guidelines, level AA, ask of text."""
CONTRAST = """() => {
  const light = color => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
  }
  const ground = element => {
    const color = getComputedStyle(element).backgroundColor
    return color === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : color
  }
  const contrast = element => {
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))]
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
  }
  const texts = document.querySelectorAll("article :is(h1, h2, p, td, li, a, code, pre span, dt)")
  return Math.min(...Array.from(texts).filter(text => text.innerText?.trim()).map(contrast))
}"""


@pytest.fixture(scope="module")
def pages() -> list[Path]:
    """All pages that were built, but for the one that forwards."""
    if SITE is None:
        pytest.skip("BPFRAME_SITE does not say where the site was built")
    found = set(Path(SITE).glob("**/*.html")) - {Path(SITE, "index.html")}
    assert len(found) > 40
    return sorted(found)


@pytest.mark.slow
@pytest.mark.share(1)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_readable_on_a_phone(browser: Browser, pages: list[Path], scheme: str):
    """Slow: a browser opens every page. None is wider than the phone, or asks for the network."""
    context = browser.new_context(viewport=PHONE, color_scheme=scheme)  # pyright: ignore[reportArgumentType]
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: asked.append(str(error)))
    wide, pale = {}, {}
    for path in pages:
        page.goto(path.as_uri())
        name = str(path.relative_to(str(SITE)))
        if (width := page.evaluate("document.documentElement.scrollWidth")) > PHONE["width"]:
            wide[name] = width
        if (contrast := page.evaluate(CONTRAST)) < READABLE:
            pale[name] = contrast
    assert not wide
    assert not pale
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_the_front_page_forwards(pages: list[Path]):
    assert 'url=docs/index.html"' in Path(str(SITE), "index.html").read_text()


def test_equations_need_no_script(pages: list[Path]):
    text = Path(str(SITE), "docs", "index.html").read_text(encoding="utf-8")
    assert text.count("<math") == 2
    assert not re.search(r"<script[^>]*mathjax", text, re.IGNORECASE)


@pytest.fixture
def as_rest(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """The function of docs/extensions that makes reStructuredText of a docstring."""
    pytest.importorskip("sphinx", reason="pip install -e '.[docs]' brings it")
    monkeypatch.syspath_prepend(ROOT / "docs" / "extensions")
    from docstrings import as_rest

    yield as_rest
    sys.modules.pop("docstrings")


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("see `Params`", "see :py:obj:`Params <bpframe.Params>`"),
        ("`Cost.domain`", ":py:obj:`Cost.domain <bpframe.Cost>`"),
        ("`gradient`", "``gradient``"),
        ("`no * such`", "``no * such``"),
        ("over\n`two\n lines`", "over\n``two lines``"),
        ("|g_x|^2 * w_", r"\|g_x\|^2 \* w\_"),
        (r"\sigma", r"\\sigma"),
    ],
)
def test_docstrings_keep_their_formulas(as_rest, docstring: str, expected: str):
    assert as_rest(docstring) == expected
