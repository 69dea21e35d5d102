"""Section genotypes of the catalogue."""

from catalogue.rows import Elsewhere, Row

ROWS: tuple[Row | Elsewhere, ...] = ()
