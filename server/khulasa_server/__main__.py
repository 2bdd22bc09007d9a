"""`python -m khulasa_server` is the `khulasa-server` command."""

from khulasa_server.cli import main

if __name__ == "__main__":
    main()
