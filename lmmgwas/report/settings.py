"""A private folder for matplotlib where the user has none that it could write to.

It keeps a list of fonts in its own folder, below the home. Without one, as for users of batch
systems, it complains, and without a usable /tmp either it does not load.
"""

import os
import sys
import tempfile
from pathlib import Path


def load_matplotlib(folder: Path) -> None:
    """Load matplotlib; where it has no folder of its own, it gets one in `folder` until it is."""
    if "matplotlib.font_manager" in sys.modules or _has_folders():
        return
    given = os.environ.get("MPLCONFIGDIR")
    with tempfile.TemporaryDirectory(prefix=".matplotlib.", dir=folder) as private:
        os.environ["MPLCONFIGDIR"] = private
        try:
            import matplotlib.font_manager  # noqa: F401 - reads or makes the list of fonts
        finally:
            if given is None:
                del os.environ["MPLCONFIGDIR"]
            else:
                os.environ["MPLCONFIGDIR"] = given


def _has_folders() -> bool:
    """Whether matplotlib can write where it keeps settings and fonts."""
    given = os.environ.get("MPLCONFIGDIR")
    if given:
        return _is_writable(Path(given))
    try:
        home = Path.home()
    except RuntimeError:
        return False
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    fonts = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return all(_is_writable(base / "matplotlib") for base in (settings, fonts))


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
