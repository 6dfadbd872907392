"""Problems as a page: one file, images within it, and everything that comes from the data escaped."""

import base64
import html
import io
import json
from typing import Any

from spine_rl.problems import Problem, ProblemSet, PromptStyle, build_prompt, open_image, order_images

_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Problems</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>body{font:16px sans-serif;max-width:50em;margin:2em auto}pre{white-space:pre-wrap;font:inherit}
img{max-width:100%;border:1px solid #ccc}h2{font-size:1em;border-top:1px solid #ccc;padding-top:1em}</style>
"""


def render_page(problem_set: ProblemSet) -> str:
    """Each problem as a model sees it before its chat template, images where they stand, and gold answers if read."""
    return _HEAD + "".join(
        _render(problem, problem_set.gold_answers.get(problem.id)) for problem in problem_set.problems
    )


def _render(problem: Problem, gold: str | None) -> str:
    messages = build_prompt(problem, PromptStyle(), chat=True)
    images = iter(order_images(problem))
    parts = [part for message in messages for part in _parts(message)]
    body = "".join(_image(next(images)) if part.get("type") == "image" else _text(part) for part in parts)
    answer = "" if gold is None else f"<p>gold: {html.escape(gold)}</p>\n"
    title = html.escape(f"{problem.id} · {problem.answer_type or 'auto'}")
    return f"<h2>{title}</h2>\n{body}{answer}"


def _parts(message: Any) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(part: dict[str, Any]) -> str:
    text = part["text"] if isinstance(part.get("text"), str) else json.dumps(part, default=str)
    return f"<pre>{html.escape(text)}</pre>\n"


def _image(image: Any) -> str:
    buffer = io.BytesIO()
    open_image(image).save(buffer, "PNG")
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">\n'
