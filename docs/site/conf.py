"""Settings of Sphinx for the site; `docs/site/make.py` puts its pages together and builds it."""

import tomllib
from pathlib import Path

from advss_zoo.version import __version__

URLS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]

project = "advss-zoo"
copyright = "the advss-zoo authors, MIT licence"
version = release = __version__

extensions = ["myst_parser"]
myst_heading_anchors = 3  # as on GitHub, so that one link serves both
suppress_warnings = ["myst.header"]  # changelog and cards begin below the first level here and there

smartquotes = False  # they would make one dash of the two of an option

html_theme = "pydata_sphinx_theme"
html_title = "advss-zoo"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_show_search_summary = False  # it would fetch pages, which a browser refuses where they are files
html_sidebars = {"leaderboard": []}  # its table needs the room, on the other side, too
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": {"**": ["page-toc"], "leaderboard": []},
    "icon_links": [{"name": "Source", "url": URLS["Source"], "icon": "fa-brands fa-github"}],
}
