"""Self-contained HTML pages: nothing is loaded from outside, and what a model wrote is text, never markup."""

from spine_rl.pages.charts import Band, Chart, Line, Mark, save_chart, to_inline_chart
from spine_rl.pages.pictures import to_data_uri
from spine_rl.pages.render import render_page, show_text, write_page

__all__ = [
    "Band",
    "Chart",
    "Line",
    "Mark",
    "render_page",
    "save_chart",
    "show_text",
    "to_data_uri",
    "to_inline_chart",
    "write_page",
]
