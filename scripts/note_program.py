"""Stands in for a test program that cargo starts: notes how to start it, for `side_by_side.py`.

    note_program.py DESCRIPTOR PROGRAM ARGUMENTS...

Writes one line to the open file DESCRIPTOR. An example of the documentation is not noted but run.
"""

import json
import os
import sys

descriptor, command = int(sys.argv[1]), sys.argv[2:]
if "rustdoctest" in command[0]:
    # rustdoc says this itself where it starts the examples itself: each then has a process of its own.
    os.execve(command[0], command, {**os.environ, "RUSTDOC_DOCTEST_BIN_PATH": command[0]})
with os.fdopen(descriptor, "w") as notes:
    print(json.dumps({"args": command, "cwd": os.getcwd(), "env": dict(os.environ)}), file=notes)
