"""What was measured, kept as one line of JSON per conversion, so that a run that was stopped goes on and two runs can be
compared."""

import json


class Results:
    """The rows of one table, in `FOLDER/TABLE.jsonl`."""

    def __init__(self, folder, table):
        self.path, self.table = folder / f"{table}.jsonl", table
        folder.mkdir(parents=True, exist_ok=True)
        self.rows = load(self.path)
        if self.path.exists():  # without the half line that a stopped run leaves
            self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        self.done = {key(row) for row in self.rows}

    def has(self, mode, clip, voice):
        return (self.table, mode, clip, voice) in self.done

    def add(self, mode, clip, voice, **measured):
        row = {"table": self.table, "mode": mode, "clip": clip, "voice": voice} | measured
        self.rows.append(row)
        self.done.add(key(row))
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def key(row):
    return row["table"], row["mode"], row["clip"], row["voice"]


def load(path):
    """The rows of a file; a last line that was cut off is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def folder(path):
    """All rows of a folder of results: of the tables, and of the main one, which is kept in `report.json`."""
    rows = [row for file in sorted(path.glob("*.jsonl")) for row in load(file) if "table" in row]
    if (path / "report.json").exists():
        rows += [{"table": "speech"} | row for row in json.loads((path / "report.json").read_text())]
    return rows
