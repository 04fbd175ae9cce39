#!/usr/bin/env python3
"""Runs `cargo test` with its test programs side by side.

    side_by_side.py cargo test ARGUMENTS...

Most tests wait: for a server, a lease, a session. Cargo would run one program after the other. This script lets cargo
build the programs and name them, and runs twice as many at a time as there are processors, or as many as
DLOCK_TEST_JOBS says. Cargo runs the examples of the documentation meanwhile.

Some programs run once more over other servers: `server_matrix.py` says which.

The output of a program comes in one piece when the program ends. At the end come the failures once more, the programs
that took longest, and the counts.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import count
from queue import PriorityQueue
from threading import Lock, Thread

sys.dont_write_bytecode = True  # The sources stay as they are.
from server_matrix import further_runs, left_out, server_of

# The programs that take longest, which start first. The table at the end says how long that is.
FIRST = [
    "dlock-tests: keeper",
    "dlock-tests: zookeeper",
    "dlock-tests: zookeeper_ensemble",
    "dlock-tests: redis_scripts",
    "dlock-tests: http_load",
    "dlock-messages: ui",
    "dlock-tests: zookeeper_interop",
    "dlock-tests: redis_interop",
    "dlock-tests: redis",
    "dlock-tests: conformance",
]
LONGEST = 15
EXAMPLES = "examples of the documentation"


def main(command):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    report, programs = Report(), PriorityQueue()
    cargo, notes = start_cargo(command)
    threads = [Thread(target=await_examples, args=[cargo, report])]
    threads += [Thread(target=work, args=[programs, report]) for _ in range(jobs())]
    for thread in threads:
        thread.start()
    numbers, servers = count(), set()
    for line in notes:
        report.noted = time.monotonic()
        program = json.loads(line)
        for run in [program, *further_runs(name(program), program)]:
            programs.put((rank(run), next(numbers), run))
            servers.add(server_of(run))
    for _ in range(jobs()):
        programs.put((len(FIRST) + 1, next(numbers), None))
    for thread in threads:
        thread.join()
    report.close()
    print("\n".join(left_out(servers)))
    return cargo.returncode or report.code()


def work(programs, report):
    while program := programs.get()[2]:
        try:
            report.add(run(program))
        except OSError as error:
            report.add(Outcome(title(program), str(error), 1, 0, 0))


def jobs():
    return int(os.environ.get("DLOCK_TEST_JOBS") or 2 * (os.cpu_count() or 1))


def start_cargo(command):
    """Starts cargo with `note_program.py` in place of each test program. Returns it and the notes, one a line."""
    readable, writable = os.pipe()
    note = os.path.join(os.path.dirname(os.path.abspath(__file__)), "note_program.py")
    # Without the packages of this machine Python starts sooner.
    runner = json.dumps([sys.executable, "-I", "-S", note, str(writable)])
    command = [*command[:2], "--config", f"target.'cfg(all())'.runner={runner}", *command[2:]]
    cargo = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[writable], text=True)
    os.close(writable)
    return cargo, os.fdopen(readable)


def run(program):
    started = time.monotonic()
    output = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(**program, **output, text=True, errors="replace")
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    return Outcome(title(program), text, process.returncode, seconds, used.ru_utime + used.ru_stime)


def name(program):
    """The package and the program, without the hash that cargo appends."""
    target = os.path.basename(program["args"][0]).rsplit("-", 1)[0]
    return f"{program['env']['CARGO_PKG_NAME']}: {target}"


def title(program):
    server = server_of(program)
    return f"{name(program)} over {server}" if server else name(program)


def rank(program):
    return FIRST.index(name(program)) if name(program) in FIRST else len(FIRST)


def await_examples(cargo, report):
    """Cargo comes to the examples when it has named the last program, and prints to standard output nothing else."""
    output, _ = cargo.communicate()
    if output:
        report.add(Outcome(EXAMPLES, output, cargo.returncode, time.monotonic() - report.noted, 0))


@dataclass
class Outcome:
    name: str
    output: str
    code: int
    seconds: float
    processor: float

    def show(self):
        result = f"failed ({self.code})" if self.code else "passed"
        print(f"\n== {self.name}: {result} after {self.seconds:.1f} s\n{self.output.strip()}", flush=True)

    def count(self, word):
        """The sum of the counts of `word` in the lines that test programs end with."""
        return sum(map(int, re.findall(rf"^test result: .*?(\d+) {word}", self.output, re.MULTILINE)))


class Report:
    def __init__(self):
        self.outcomes = []
        self.noted = time.monotonic()
        self.lock = Lock()

    def add(self, outcome):
        with self.lock:
            self.outcomes.append(outcome)
            outcome.show()

    def failures(self):
        return [outcome for outcome in self.outcomes if outcome.code]

    def code(self):
        return max((abs(outcome.code) for outcome in self.failures()), default=0)

    def close(self):
        if not self.outcomes:
            return
        for outcome in self.failures():
            outcome.show()
        self.show_longest()
        print("\n" + ", ".join(f"{self.count(word)} {word}" for word in ["passed", "failed", "ignored"]))

    def show_longest(self):
        longest = sorted(self.outcomes, key=lambda outcome: -outcome.seconds)[:LONGEST]
        print("\nseconds  processor  passed  failed  program")
        for outcome in longest:
            print(f"{outcome.seconds:7.1f}  {outcome.processor:9.1f}  {outcome.count('passed'):6}  {outcome.count('failed'):6}  {outcome.name}")

    def count(self, word):
        return sum(outcome.count(word) for outcome in self.outcomes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
