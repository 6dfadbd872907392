"""Where the tests find files: the checkout, and real benchmark files, which are not part of it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SPINE_TEST_DATA", ROOT.parent / "shared" / "data"))
