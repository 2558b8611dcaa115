"""Opens the door: `python app.py` is `shotwise serve`, with the same options."""

import sys

from assistant.cli import main

if __name__ == "__main__":
    sys.argv = ["shotwise", "serve", *sys.argv[1:]]
    main()
