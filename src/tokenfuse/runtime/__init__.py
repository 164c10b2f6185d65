"""Settings, clients, Faust apps, brokers, health and metrics: the thin shell around the pure core."""

from __future__ import annotations

import sys

# structlog imports rich where it finds it, for a console renderer that nothing here uses: seventy modules of a
# thousand. It does without where the import fails, and whoever shows something on a screen still finds rich.
if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment] # how Python writes down that there is none
    try:
        import structlog  # noqa: F401 - here for its effect on sys.modules
    finally:
        del sys.modules["rich"]
