"""Locks with redis-py as it is told. The orders and answers are those of src/foreign/dialogue.rs."""

import os
import queue
import sys
import threading
import time

import redis
from redis.exceptions import LockError
from redis.lock import Lock

DEFAULT_PAUSE = 0.1
# Between two turns, and between two tries to get one: so that others get theirs.
BRIEF_PAUSE = 0.005


def say(answer):
    print(answer, flush=True)


def obey_until_the_end_of_input(server):
    """Runs orders here; the input is read in a thread, so that its end also ends a program that waits."""
    orders = queue.Queue()
    threading.Thread(target=read_orders, args=(orders,), daemon=True).start()
    client = Client(server)
    say("ready")
    while True:
        name, *arguments = orders.get().split()
        say(ORDERS[name](client, *arguments))


def read_orders(orders):
    for line in sys.stdin:
        orders.put(line)
    os._exit(0)


class Client:
    def __init__(self, server):
        self.server = server
        self.lock = None

    def prepare(self, key, ttl_ms, pause=DEFAULT_PAUSE):
        ttl = int(ttl_ms) / 1000 or None
        self.lock = Lock(self.server, key, timeout=ttl, sleep=pause, thread_local=False)

    def try_acquire(self, key, ttl_ms):
        self.prepare(key, ttl_ms)
        return "held" if self.lock.acquire(blocking=False) else "busy"

    def acquire(self, key, ttl_ms):
        if self.try_acquire(key, ttl_ms) == "busy":
            say("waiting")
            self.lock.acquire()
        return "held"

    def release(self):
        try:
            self.lock.release()
        except LockError:
            return "lost"
        return "released"

    def count(self, key, ttl_ms, counter, journal, times):
        self.prepare(key, ttl_ms, BRIEF_PAUSE)
        for _ in range(int(times)):
            self.lock.acquire()
            count = int(self.server.get(counter) or 0)
            self.server.rpush(journal, "redis-py")
            self.server.set(counter, count + 1)
            if self.release() == "lost":
                return "lost"
            time.sleep(BRIEF_PAUSE)
        return "counted"


ORDERS = {
    "try": Client.try_acquire,
    "acquire": Client.acquire,
    "release": Client.release,
    "count": Client.count,
}

if __name__ == "__main__":
    obey_until_the_end_of_input(redis.Redis.from_url(sys.argv[1]))
