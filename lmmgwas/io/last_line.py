"""A text file whose last line has no end may have been cut, in the middle of a value even."""

from lmmgwas.io.text import TextFile


def unfinished(file: TextFile, read: str) -> str | None:
    """Return the warning of a file that does not end in a line end, None for one that does.

    `read` says what was read from the last line, such as "'1.2' for sample F1 I1": `1.234` cut
    to `1.2` is a number, too, so only the reader can tell.
    """
    if file.body.endswith(b"\n"):
        return None
    if not file.body:
        return f"{file.path}: the file is empty, without even a line end: was it cut short?"
    line = file.body.count(b"\n") + 1
    return (
        f"{file.path}:{line}: the last line has no line end, as if the file had been cut short; "
        f"read from it: {read}. Compare this with the source, then end the file with a line end"
    )
