"""How Sphinx makes the pages: offline, with every example run and every warning an error."""

import os
import sys
from importlib import metadata
from pathlib import Path

# Before numpy and torch start their threads: the build is meant for one core, and for no network.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

project = "sktransfer"
author = "The sktransfer developers"
release = metadata.version("sktransfer")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "own_members",
    "command_help",
    "network_table",
    "repository_links",
    "live_report",
    "linked_names",
]
exclude_patterns = ["_templates", "gallery"]  # sphinx-gallery reads gallery/ and writes examples/
templates_path = ["_templates"]

# Reference: the docstrings, one page for each public name.
default_role = "py:obj"
autodoc_typehints = "none"  # docstrings say types with shapes and ranges
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

# Pages in Markdown.
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Gallery: every example runs, and one that fails is a warning, which ends the build.
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "backreferences_dir": "reference/examples",
    "doc_module": ("sktransfer",),
    "within_subsection_order": "gallery_order.ByQuestion",
    "matplotlib_animations": False,
    "image_scrapers": ("matplotlib",),
    "min_reported_time": 1e9,  # seconds of a build machine are of no use to a reader
    "show_signature": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "sktransfer"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
copyright = "the sktransfer developers, BSD-3-Clause"
copybutton_exclude = ".linenos, .gp, .go"
