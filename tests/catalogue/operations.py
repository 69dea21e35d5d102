"""Section operations of the catalogue."""

from catalogue.rows import Elsewhere, Refused, Row
from catalogue.spoil import options

ROWS: tuple[Row | Elsewhere, ...] = (
    Row(
        124,
        "too little memory",
        options("--memory", "20M"),
        Refused(137, "E137", ("needs about", "20 MiB by --memory", "samples would fit")),
    ),
    Elsewhere(
        124,
        "200,000 samples",
        "test_cli_check.py::test_a_study_far_too_large_is_refused_at_once",
    ),
    Elsewhere(
        126,
        "no room, found before the work",
        "test_cli_check.py::test_too_little_room_on_the_disk",
    ),
)
