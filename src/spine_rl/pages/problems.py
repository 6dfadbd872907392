"""Problems as a page: one file, images within it where a model sees them."""

from collections.abc import Mapping
from typing import Any

from spine_rl.pages import render_page, to_data_uri
from spine_rl.problems import Problem, ProblemSet, build_chat, open_image, order_images
from spine_rl.problems.placeholders import to_parts

_PICTURE_SIDE = 1024  # pixels


def render_problems(problem_set: ProblemSet, title: str) -> str:
    """Each problem as a model sees it before its chat template, and gold answers if read."""
    problems = [
        {
            "id": problem.id,
            "type": problem.answer_type or "auto",
            "messages": _view_messages(problem),
            "gold": problem_set.gold_answers.get(problem.id),
        }
        for problem in problem_set.problems
    ]
    return render_page("problems.html.jinja", title=title, problems=problems)


def _view_messages(problem: Problem) -> list[dict[str, Any]]:
    pictures = (to_data_uri(open_image(image), _PICTURE_SIDE) for image in order_images(problem))
    return [
        {"role": message["role"], "parts": [_view_part(part, pictures) for part in message["content"]]}
        for message in to_parts(build_chat(problem))
    ]


def _view_part(part: Mapping[str, Any], pictures: Any) -> dict[str, Any]:
    """Nothing of the part but its text: whatever else the data says there is no source of a picture."""
    is_image = part["type"] == "image"
    return {"picture": next(pictures) if is_image else None, "text": "" if is_image else part["text"]}
