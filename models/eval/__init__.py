"""The judge of converted speech. Run `python -m eval --help` in `models/`."""
