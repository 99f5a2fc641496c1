"""The documentation site. From the root of the project: sphinx-build -c docs . FOLDER.

The root is the source folder, so that pages, studies and results are built from where they lie,
and a link between two files is the same one on the site and in the repository.
"""

import sys
from pathlib import Path

import bpframe

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "bpframe"
version = release = bpframe.__version__
language = "en-GB"

PAGES = {"docs", "experiments", "README.md", "CHANGELOG.md"}
exclude_patterns = [
    *(path.name for path in HERE.parent.iterdir() if path.name not in PAGES),
    "experiments/quick",
]
root_doc = "docs/index"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docstrings",
    "mathml",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
nb_execution_mode = "off"  # a notebook is shown as it was executed
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]  # as notebooks have equations
myst_fence_as_directive = ["math"]  # ```math is what plain git hosts render as well
smartquotes = False  # the stroke of sigma' is no quotation mark, and --help no dash
highlight_language = "none"  # a block that names no language has none

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "special-members": "__call__",
}
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_attr_annotations = False  # types stand in the signature
napoleon_use_ivar = True  # the fields of a class stand in its docstring alone

# Types of other libraries have no page here, and theirs are not fetched: a build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(jax|jaxlib|numpy|np|pathlib|collections|typing|types|dataclasses|pluggy)\b.*"),
    ("py:.*", r"(Array|Path|Any|Callable|Mapping|Sequence|Iterable|ABC)"),
    ("py:class", "OnEpoch"),  # a function of an EpochRecord, as `run` says
    ("py:class", "Direction"),  # "maximise" or "minimise"
    ("py:class", "Part"),  # of a recording: a file, or arrays in memory
]

html_theme = "furo"
html_title = f"bpframe {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
templates_path = ["templates"]
html_additional_pages = {"index": "forward.html"}  # the root leads to docs/index.html
