"""Render a page from its template and plain data, as HTML or as Markdown.

A page is one template for both formats: it places sections, tables and plots, and the blocks of its format
(`blocks.html`, `blocks.md`) define how each is written. HTML needs no network and no script; every value is escaped.
Equal data gives equal bytes.
"""

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from headframe.pages import templates

_LONG = 12  # letters; six columns of shorter words fit the narrowest table that is not stacked
_CODE = re.compile(r"(`[^`]+`)")


def html(template: str, **data: Any) -> str:
    """Return a page as one HTML file that needs no other file.

    Args:
        template: name of a template, without suffix.
        data: `kind` of page, `title`, and what this template shows.
    """
    return _environment("html").get_template(f"{template}.jinja").render(data)


def markdown(template: str, **data: Any) -> str:
    """Return a page as Markdown; arguments as for `html`."""
    text = _environment("md").get_template(f"{template}.jinja").render(data)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def render_page(template: str, suffix: str, **data: Any) -> str:
    """Return a page as HTML where `suffix` is `.html`, else as Markdown; arguments as for `html`."""
    return (html if suffix == ".html" else markdown)(template, **data)


@cache
def _environment(suffix: str) -> Environment:
    environment = Environment(
        loader=PackageLoader(templates.__name__, ""),
        autoescape=suffix == "html",  # noqa: S701 - Markdown is escaped by its own filter
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline"] = _html_inline if suffix == "html" else _markdown_inline
    environment.tests["long"] = lambda text: any(len(word) > _LONG for word in str(text).split())
    environment.globals["layout"] = f"layout.{suffix}"
    environment.globals["b"] = environment.get_template(f"blocks.{suffix}").module
    return environment


def _html_inline(text: str) -> Markup:
    """Escape a text and turn what stands in backticks into code."""
    parts = _CODE.split(str(text))
    return Markup().join(
        Markup("<code>{}</code>").format(part[1:-1]) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def _markdown_inline(text: str) -> str:
    """Escape HTML outside of code, and keep the text on one line."""
    parts = _CODE.split(" ".join(str(text).split()))
    return "".join(part if place % 2 else part.replace("<", "&lt;") for place, part in enumerate(parts))
