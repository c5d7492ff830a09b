"""The documentation site: `make docs` builds it into build/site, without network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from crossmesh.common.version import VERSION

project = "crossmesh"
author = "The crossmesh authors"
copyright = "The crossmesh authors, Apache-2.0"
version = release = VERSION
html_title = f"crossmesh {VERSION}"

extensions = [
    "docs.extensions.command_reference",
    "docs.extensions.config_reference",
    "docs.extensions.outside",
    "docs.extensions.public_names",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["extensions", "logs", "grafana"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # a test runs the notebooks; pages show the outputs that are in them
highlight_language = "text"  # of blocks that name none

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
napoleon_use_ivar = True

html_theme = "furo"  # its pages bring fonts, styles and scripts along: they load nothing else
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
