"""Sphinx's settings for the site; `make docs` builds it.

The repository is the source folder, so that a link between pages is the same for Sphinx as on a
forge: to a page anywhere in the repository, or to a file, which then becomes part of the site.
"""

import tomllib
from pathlib import Path

_PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = "MentalLLaMA"
author = _PROJECT["authors"][0]["name"]
project_copyright = author
release = version = _PROJECT["version"]
language = "en"

root_doc = "docs/index"
include_patterns = ["docs/**", "models/**", "CONTRIBUTING.md", "SECURITY.md", "loadtests/README.md"]
exclude_patterns = [".*", "build", "tests"]

extensions = ["myst_nb"]
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]
# The notebook is run by a test, against the service; the site shows what is committed.
nb_execution_mode = "off"
suppress_warnings = []

html_theme = "furo"
html_title = "MentalLLaMA"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
# Nothing on a page is fetched from another host: whoever reads it is not told to anybody.
html_theme_options = {
    "announcement": (
        "Non-clinical research software: a label is what a model reads in a text, and no diagnosis."
    ),
}
html_use_opensearch = ""
