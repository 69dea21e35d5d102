"""`python -m lmmgwas` is the same program as `lmmgwas`."""

from lmmgwas.cli.main import main

if __name__ == "__main__":
    main()
