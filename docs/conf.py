"""How Sphinx builds the documentation: offline, with every warning an error (`make docs`)."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from command_reference import COMMANDS, summary_of  # noqa: E402

import lmmgwas  # noqa: E402

project = "lmmgwas"
author = "The lmmgwas developers"
copyright = author  # no year, which would change the pages by itself
version = release = lmmgwas.__version__

extensions = ["myst_parser", "mathml", "command_reference"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "README.md"]
nitpicky = True
smartquotes_action = "qe"  # a double dash is that of an option

html_theme = "furo"
html_title = f"lmmgwas {release}"
html_static_path = ["_static"]
html_css_files = ["own.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

man_show_urls = False
man_pages = [
    (
        "reference/commands/index",
        "lmmgwas",
        "exact linear mixed model association for genome-wide data",
        author,
        1,
    ),
    *(
        (f"reference/commands/{name}", f"lmmgwas-{name}", summary_of(name), author, 1)
        for name in COMMANDS
    ),
]
