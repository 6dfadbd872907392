"""Templates with autoescape on, a content policy that allows no foreign source, and text made visible."""

import base64
import hashlib
import unicodedata
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from spine_rl import __version__
from spine_rl.runs.whole_file import write_whole


def show_text(text: str) -> str:
    """Text with what would not be seen, or would reorder its neighbours, as its code point: `⟨202E⟩`.

    Line ends and tabs stay; control and format characters (bidirectional ones too) and lone surrogates do not.
    """
    return "".join(
        f"⟨{ord(character):04X}⟩"
        if unicodedata.category(character) in ("Cc", "Cf", "Cs") and character not in "\n\t"
        else character
        for character in text
    )


def render_page(template: str, *, package: str = "spine_rl.pages", script: str = "", **values: Any) -> str:
    """Renders a page.

    Args:
        template: Its name, such as `report.html.jinja`.
        package: Whose `templates` has it, beside those of `pages`.
        script: JavaScript of the page; by its hash the only one that the browser runs.
        values: What the template shows, escaped there.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"'sha256-{digest}'" if script else "'none'"
    return (
        _environment(package)
        .get_template(template)
        .render(version=__version__, script=Markup(script), script_policy=Markup(policy), **values)
    )


def write_page(path: Path, page: str) -> None:
    """Writes it as UTF-8, whole or not at all; its folder is made."""
    write_whole(path, page.encode("utf-8", errors="replace").decode("utf-8"))


def _environment(package: str) -> Environment:
    loader = ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, "spine_rl.pages"))])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["show"] = show_text
    return environment
