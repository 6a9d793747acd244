"""`python -m server.cli`, the same as `muster`."""

from server.cli.app import main

if __name__ == "__main__":
    main()
