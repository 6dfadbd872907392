"""A close look at responses: a page of tokens, and whether forking tokens decide answers."""

from spine_rl.inspect.page import build_page
from spine_rl.inspect.validate import ForkValidation, validate_forks

__all__ = ["ForkValidation", "build_page", "validate_forks"]
