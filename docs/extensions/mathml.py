"""Equations as MathML, which browsers draw by themselves: no script, no font, no network."""

from docutils.nodes import SkipNode, math, math_block
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator


def inline(translator: HTML5Translator, node: math) -> None:
    """An equation in a line of text."""
    translator.body.append(tex2mathml(node.astext()))
    raise SkipNode


def display(translator: HTML5Translator, node: math_block) -> None:
    """An equation in lines of its own, which scrolls where it is wider than the page."""
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>\n')
    raise SkipNode


def setup(app: Sphinx) -> ExtensionMetadata:
    """Make it the renderer of equations."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
