"""Locks with kazoo as it is told. The orders and answers are those of src/foreign/dialogue.rs."""

import os
import queue
import sys
import threading

from kazoo.client import KazooClient
from kazoo.recipe.lock import Lock, ReadLock, WriteLock

CURATORS_NAMES = "lock-"


class LockNamedAsCurators(Lock):
    _NODE_NAME = CURATORS_NAMES
    _EXCLUDE_NAMES = [CURATORS_NAMES]


MANNERS = {
    "standard": Lock,
    "knowing-curator": lambda *place: Lock(*place, extra_lock_patterns=[CURATORS_NAMES]),
    "named-as-curator": LockNamedAsCurators,
    "reading": ReadLock,
    "writing": WriteLock,
}


def say(answer):
    print(answer, flush=True)


def obey_until_the_end_of_input(hosts, session_ms, manner):
    """Runs orders here; the input is read in a thread, so that its end also ends a program that waits."""
    orders = queue.Queue()
    threading.Thread(target=read_orders, args=(orders,), daemon=True).start()
    server = KazooClient(hosts=hosts, timeout=int(session_ms) / 1000)
    server.start()
    client = Client(server, MANNERS[manner])
    say("ready")
    while True:
        name, *arguments = orders.get().split()
        say(ORDERS[name](client, *arguments))


def read_orders(orders):
    for line in sys.stdin:
        orders.put(line)
    os._exit(0)


class Client:
    def __init__(self, server, manner):
        self.server = server
        self.manner = manner
        self.key = None
        self.lock = None

    def prepare(self, key):
        """Keeps the lock object of a key, as programs do."""
        if key != self.key:
            self.key, self.lock = key, self.manner(self.server, "/locks/" + key)

    def try_acquire(self, key, _ttl_ms):
        self.prepare(key)
        return "held" if self.lock.acquire(blocking=False) else "busy"

    def acquire(self, key, ttl_ms):
        if self.try_acquire(key, ttl_ms) == "busy":
            say("waiting")
            self.lock.acquire()
        return "held"

    def release(self):
        """kazoo does not say whether its node was still there."""
        self.lock.release()
        return "released"

    def count(self, key, _ttl_ms, counter, journal, times):
        self.prepare(key)
        for _ in range(int(times)):
            self.lock.acquire()
            with open(counter) as file:
                count = int(file.read() or 0)
            with open(journal, "a") as file:
                file.write("kazoo\n")
            with open(counter, "w") as file:
                file.write(str(count + 1))
            self.release()
        return "counted"


ORDERS = {
    "try": Client.try_acquire,
    "acquire": Client.acquire,
    "release": Client.release,
    "count": Client.count,
}

if __name__ == "__main__":
    obey_until_the_end_of_input(*sys.argv[1:])
