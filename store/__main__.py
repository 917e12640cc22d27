"""`python -m store`: the command `store`."""

from store.api.cli import main

if __name__ == "__main__":
    main()
