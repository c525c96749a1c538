"""Training recipe of Coffre's content encoder. Run `python -m train --help` in `models/`."""
