"""``python -m fastflow``: the command line."""

from fastflow.cli import main

if __name__ == "__main__":
    main(prog_name="fastflow")
