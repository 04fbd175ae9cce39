// Locks with redlock as it is told. The orders and answers are those of src/foreign/dialogue.rs.
"use strict";

const readline = require("readline");
const { setTimeout: pause } = require("timers/promises");
const Redis = require("ioredis");
const { default: Redlock, ResourceLockedError, ExecutionError } = require("redlock");

const ONCE = { retryCount: 0 };
const UNTIL_HELD = { retryCount: -1 };
// Between two turns, and between two tries to get one: so that others get theirs.
const BRIEF_PAUSE_MS = 5;
const UNTIL_HELD_BRISKLY = { retryCount: -1, retryDelay: BRIEF_PAUSE_MS, retryJitter: 0 };

const server = new Redis(process.argv[2]);
const redlock = new Redlock([server]);
let lock = null;
let onRefusal = ignore;

const ORDERS = {
  async try(key, ttl) {
    return (await succeeds(acquire(key, ttl, ONCE))) ? "held" : "busy";
  },

  async acquire(key, ttl) {
    onRefusal = () => {
      onRefusal = ignore;
      say("waiting");
    };
    await acquire(key, ttl, UNTIL_HELD);
    onRefusal = ignore;
    return "held";
  },

  release,

  async count(key, ttl, counter, journal, times) {
    for (let i = 0; i < Number(times); i++) {
      await acquire(key, ttl, UNTIL_HELD_BRISKLY);
      const count = Number(await server.get(counter));
      await server.rpush(journal, "redlock");
      await server.set(counter, count + 1);
      if ((await release()) === "lost") return "lost";
      await pause(BRIEF_PAUSE_MS);
    }
    return "counted";
  },
};

async function acquire(key, ttl, settings) {
  lock = await redlock.acquire([key], Number(ttl), settings);
}

async function release() {
  // Redlock would try again and again to release a lock that is another's.
  return (await succeeds(redlock.release(lock, ONCE))) ? "released" : "lost";
}

async function succeeds(execution) {
  try {
    await execution;
    return true;
  } catch (error) {
    if (error instanceof ExecutionError) return false;
    throw error;
  }
}

function ignore() {}

function say(answer) {
  process.stdout.write(answer + "\n");
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

// Redlock tells of each refusal, and of each trouble that it then takes for one.
redlock.on("error", (error) => (error instanceof ResourceLockedError ? onRefusal() : fail(error)));
server.on("error", fail);
process.on("unhandledRejection", fail);

server.once("ready", () => {
  const orders = readline.createInterface({ input: process.stdin });
  orders.on("line", async (line) => {
    const [name, ...args] = line.split(" ");
    say(await ORDERS[name](...args));
  });
  orders.on("close", () => process.exit(0));
  say("ready");
});
