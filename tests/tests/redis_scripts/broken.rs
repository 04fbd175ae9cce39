//! Scripts with one promise broken each. That the comparison notices them is why its silence means something.

use super::model::Conduct;
use super::run::Judge;
use super::script::Scripts;
use super::server::Server;
use super::step::{Step, steps};
use super::{BARGING, FAIR, IN_A_NAMESPACE, MONITORED, WITH_GAPS, WITH_QUARANTINE, run};
use dlock_tests::shared_redis;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

/// Takes a series of runs that is always the same. The last to be noticed of what follows takes 58.
fn series(judge: Judge, conduct: Conduct, scripts: &Scripts) -> Result<(), TestError<Vec<Step>>> {
    let config = Config { cases: 120, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let server = shared_redis();
    runner.run(&steps(conduct), |steps| run::run(server, scripts, judge, conduct, &steps))
}

fn is_noticed(conduct: Conduct, old: &str, new: &str) {
    is_noticed_by(Judge::ModelAndPromises, conduct, old, new);
}

/// Where every request that may goes in a batch first.
fn is_noticed_in_batches(old: &str, new: &str) {
    story_of(&Scripts::with(old, new).in_batches(), Judge::ModelAndPromises, FAIR);
}

fn is_noticed_by(judge: Judge, conduct: Conduct, old: &str, new: &str) -> String {
    story_of(&Scripts::with(old, new), judge, conduct)
}

fn story_of(scripts: &Scripts, judge: Judge, conduct: Conduct) -> String {
    // What is no Lua would be noticed as well.
    let _loads = Server::connect(shared_redis(), scripts);
    match series(judge, conduct, scripts) {
        Err(TestError::Fail(story, _)) => story.to_string(),
        outcome => unreachable!("not noticed: {outcome:?}"),
    }
}

/// Without the model, by what is promised alone.
fn breaks(promise: &str, conduct: Conduct, old: &str, new: &str) {
    let story = is_noticed_by(Judge::Promises, conduct, old, new);
    assert!(story.contains(promise), "noticed was something else than {promise}: {story}");
}

/// So that it is the broken piece that is noticed.
#[test]
fn nothing() {
    for conduct in [FAIR, BARGING, WITH_GAPS, WITH_QUARANTINE, MONITORED] {
        series(Judge::ModelAndPromises, conduct, &Scripts::real()).unwrap();
    }
    series(Judge::ModelAndPromises, FAIR, &Scripts::real().in_batches()).unwrap();
}

#[test]
fn a_release_by_anybody() {
    is_noticed(FAIR, "redis.call('GET', lock) == me", "redis.call('GET', lock) ~= false");
}

#[test]
fn a_release_by_anybody_while_nobody_waits() {
    is_noticed(FAIR, "redis.call('GET', lock) == ARGV[1] then", "redis.call('GET', lock) then");
}

#[test]
fn a_release_that_forgets_the_waiters() {
    is_noticed(FAIR, "if not queued and", "if");
}

#[test]
fn a_release_that_forgets_what_is_under_way() {
    is_noticed(FAIR, "not queued and (ARGV[2] or '0') == '0' and", "not queued and");
}

#[test]
fn a_renewal_by_anybody() {
    is_noticed(
        FAIR,
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\nreturn redis.call('PEXPIRE'",
        "return redis.call('PEXPIRE'",
    );
}

#[test]
fn a_renewal_that_makes_the_lock_again() {
    is_noticed(
        FAIR,
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\nreturn redis.call('PEXPIRE', KEYS[1], ARGV[2])",
        "local now = redis.call('GET', KEYS[1])\nif now and now ~= ARGV[1] then return 0 end\nredis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\nreturn 1",
    );
}

#[test]
fn a_token_written_inexactly() {
    is_noticed(FAIR, "redis.call('SET', fence, newest,", "redis.call('SET', fence, tostring(newest),");
}

#[test]
fn a_free_lock_s_block_of_tokens_that_overlaps() {
    is_noticed(
        FAIR,
        "write_fence(fence, last, now + TOKENS - 1, now)",
        "write_fence(fence, last, now + 1, now)",
    );
}

#[test]
fn a_free_lock_s_fence_ahead_of_the_clock() {
    is_noticed(
        FAIR,
        "if last and last < now and redis.pcall('SET', lock",
        "if last and redis.pcall('SET', lock",
    );
}

#[test]
fn a_free_lock_s_fence_that_is_not_checked() {
    is_noticed(FAIR, "token_in(redis.pcall('GET', fence)), redis.call('TIME')", "0, redis.call('TIME')");
}

#[test]
fn a_fence_counted_up_for_ever() {
    is_noticed(FAIR, "last > 0 and last < now and", "last > 0 and");
}

#[test]
fn a_batch_that_raises() {
    is_noticed_in_batches("redis.pcall('GET', KEYS[fences + i])", "redis.call('GET', KEYS[fences + i])");
}

#[test]
fn a_batch_that_releases_for_anybody() {
    is_noticed_in_batches(
        "local is_freed = holders[i] == ARGV[owners + i] and",
        "local is_freed = holders[i] and",
    );
}

#[test]
fn a_batch_that_forgets_the_waiters() {
    is_noticed_in_batches(
        "local is_freed = holders[i] == ARGV[owners + i] and (nobody_waits or none_of(queues + i, queues + i))",
        "local is_freed = holders[i] == ARGV[owners + i]",
    );
}

#[test]
fn a_batch_that_renews_for_anybody() {
    is_noticed_in_batches("local has_it = holders[i] == ARGV[owners + i]\n", "local has_it = holders[i]\n");
}

#[test]
fn a_token_told_inexactly() {
    is_noticed(FAIR, "head .. '|' .. string.format('%.0f', first)", "head .. '|' .. first");
}

#[test]
fn a_token_that_is_only_the_time() {
    is_noticed(FAIR, "math.max(last + 1, now)", "now");
}

#[test]
fn blocks_of_tokens_that_overlap() {
    is_noticed(FAIR, "first + TOKENS - 1, now)", "first, now)");
}

#[test]
fn a_token_that_is_only_a_count() {
    is_noticed(FAIR, "math.max(last + 1, now)", "last + 1");
}

#[test]
fn a_fence_that_stays_for_ever() {
    is_noticed(FAIR, ", 'PX', 604800000)", ")");
}

#[test]
fn a_fence_that_is_not_checked() {
    is_noticed(
        FAIR,
        "return token and token < 9007199254740991 - (LONGEST_WALK + 1) * TOKENS and token or nil",
        "return token or 0",
    );
}

#[test]
fn a_hand_off_that_nobody_hears() {
    is_noticed(
        FAIR,
        "string.format('%.0f', first) .. '|' .. lock) > 0 then return 'other', last end",
        "string.format('%.0f', first) .. '|' .. lock) >= 0 then return 'other', last end",
    );
}

#[test]
fn a_hand_off_that_leaves_the_waiter_in_the_queue() {
    is_noticed(FAIR, "      redis.call('ZREM', queue, head)\n      if tell(", "      if tell(");
}

#[test]
fn a_lease_that_is_not_the_waiter_s_own() {
    is_noticed(FAIR, "local first = grant(head, ttl_ms, last)", "local first = grant(head, 600000, last)");
}

#[test]
fn a_walk_without_an_end() {
    is_noticed(FAIR, "local LONGEST_WALK = 64", "local LONGEST_WALK = 1000");
}

#[test]
fn a_question_that_passes_the_queue() {
    is_noticed(
        FAIR,
        "redis.call('EXISTS', lock, queue, marks, marks)",
        "redis.call('EXISTS', lock, marks, marks)",
    );
}

#[test]
fn a_waiter_that_loses_its_place_by_asking_again() {
    is_noticed(FAIR, "redis.call('ZADD', queue, 'NX', ", "redis.call('ZADD', queue, ");
}

#[test]
fn a_queue_that_stays_for_ever() {
    is_noticed(FAIR, "  redis.call('PEXPIRE', queue, tonumber(ttl_ms) > 60000 and ttl_ms or '60000')\n", "");
}

#[test]
fn a_late_request_that_takes_the_lock() {
    is_noticed(
        WITH_QUARANTINE,
        "redis.call('ZSCORE', marks, me) then return {2} end",
        "not redis.call('ZCARD', marks) then return {2} end",
    );
}

#[test]
fn a_note_that_is_not_kept_long_enough() {
    is_noticed(
        FAIR,
        "if redis.call('PTTL', marks) < keep_ms then redis.call('PEXPIRE', marks, keep_ms) end",
        "if redis.call('PTTL', marks) < 0 then redis.call('PEXPIRE', marks, keep_ms) end",
    );
}

#[test]
fn a_repeated_request_that_gets_another_token() {
    is_noticed(
        FAIR,
        "if last == 0 then return grant(me, ttl_ms, last) end",
        "if true then return grant(me, ttl_ms, last) end",
    );
}

#[test]
fn a_lost_fence_that_gives_no_token() {
    is_noticed(FAIR, "if last == 0 then return grant(me, ttl_ms, last) end", "");
}

#[test]
fn a_lease_without_an_end() {
    is_noticed(FAIR, "if left_ms >= 0 and left_ms <= tonumber(", "if left_ms <= tonumber(");
}

#[test]
fn a_foreign_holder_that_is_cut_short() {
    is_noticed(FAIR, "or redis.call('PTTL', lock)\n", "or left_of_lease('600000')\n");
}

#[test]
fn barging_that_hands_the_lock_over() {
    is_noticed(BARGING, "if barging or is_gap()", "if is_gap()");
}

#[test]
fn barging_that_leaves_the_winner_in_the_queue() {
    is_noticed(
        BARGING,
        "  redis.call('ZREM', queue, me)\n  return grant",
        "  redis.call('ZCARD', queue)\n  return grant",
    );
}

#[test]
fn a_wake_up_of_the_dead() {
    is_noticed(
        BARGING,
        "head .. '|0|' .. lock) > 0 then return end",
        "head .. '|0|' .. lock) >= 0 then return end",
    );
}

#[test]
fn a_gap_that_waiters_may_use() {
    is_noticed(
        WITH_GAPS,
        "local free = not holder and quarantined == 0 and gap_ms == 0",
        "local free = not holder and quarantined == 0",
    );
}

#[test]
fn gaps_without_an_end() {
    is_noticed(
        WITH_GAPS,
        "if until_next > 0 and until_next <= between_ms + gap_ms then return false end",
        "",
    );
}

#[test]
fn a_quarantine_that_ends_when_it_begins() {
    is_noticed(WITH_QUARANTINE, "    over = now + quarantine_ms\n", "    over = now\n");
}

#[test]
fn a_quarantine_that_a_release_ignores() {
    is_noticed(
        WITH_QUARANTINE,
        " or quarantine_left(quarantine_ms) > 0 then return wake_first",
        " then return wake_first",
    );
}

#[test]
fn a_quarantine_that_a_restart_does_not_begin() {
    is_noticed(
        WITH_QUARANTINE,
        "if known ~= me or tonumber(over) - now > quarantine_ms then",
        "if not known then",
    );
}

#[test]
fn a_late_request_for_a_held_lock() {
    is_noticed(FAIR, "if there > 2 and redis.call('ZSCORE', marks, ARGV[1]) then return {2} end", "");
}

#[test]
fn a_held_lock_s_fence_that_is_not_checked() {
    is_noticed(FAIR, "longest_ms and token_in(redis.pcall('GET', fence))", "longest_ms and 7");
}

#[test]
fn a_holder_that_is_told_to_wait_for_itself() {
    is_noticed(FAIR, "and holder ~= ARGV[1] and string.match(", "and string.match(");
}

#[test]
fn a_held_lock_whose_foreign_holder_is_not_known() {
    is_noticed(
        FAIR,
        "string.match(holder, OWNER_TTL)\n  local last",
        "(string.match(holder, OWNER_TTL) or '900000')\n  local last",
    );
}

#[test]
fn a_held_lock_s_lease_without_an_end() {
    is_noticed(FAIR, "  redis.call('PEXPIRE', lock, longest_ms)\n", "");
}

#[test]
fn a_held_lock_s_lease_that_is_not_cut_short() {
    is_noticed(FAIR, "left_ms >= 0 and left_ms <= tonumber(longest_ms) then", "left_ms >= 0 then");
}

#[test]
fn a_question_about_a_held_lock_that_queues() {
    is_noticed(FAIR, "local waits = ARGV[3] ~= '0'\n    local first", "local waits = true\n    local first");
}

#[test]
fn a_waiter_for_a_held_lock_that_loses_its_place_by_asking_again() {
    is_noticed(FAIR, "if came and is_queue then return false end", "if is_queue then return false end");
}

#[test]
fn a_waiter_for_a_held_lock_in_a_place_that_is_not_its_own() {
    is_noticed(FAIR, "string.sub('00000' .. time[2], -6), me)", "time[2], me)");
}

#[test]
fn a_held_lock_s_queue_that_stays_for_ever() {
    is_noticed(FAIR, "enqueue(ARGV[1], ARGV[2], there % 2 == 0)", "enqueue(ARGV[1], ARGV[2], true)");
}

#[test]
fn a_queue_that_ends_before_the_longest_lease() {
    is_noticed(FAIR, "tonumber(ttl_ms) > 60000 and ttl_ms or '60000'", "'60000'");
}

#[test]
fn a_waiter_for_a_held_lock_that_is_always_the_first() {
    is_noticed(FAIR, "return not is_queue or redis.call('ZRANK', queue, me) == 0", "return true");
}

/// The next ones are about the release that goes straight to the next waiter.
#[test]
fn a_straight_hand_off_by_anybody() {
    is_noticed(
        FAIR,
        "  and redis.call('GET', lock) == ARGV[1] then\n  local head",
        "  and redis.call('GET', lock) then\n  local head",
    );
}

#[test]
fn a_straight_hand_off_that_forgets_what_is_under_way() {
    is_noticed(FAIR, "if queued and (ARGV[2] or '0') == '0' and", "if queued and");
}

#[test]
fn a_straight_hand_off_in_spite_of_barging() {
    is_noticed(BARGING, "(ARGV[2] or '0') == '0' and ARGV[3] ~= '1' and", "(ARGV[2] or '0') == '0' and");
}

#[test]
fn a_straight_hand_off_in_spite_of_a_quarantine() {
    is_noticed(WITH_QUARANTINE, "ARGV[3] ~= '1' and (ARGV[5] or '0') == '0' and", "ARGV[3] ~= '1' and");
}

#[test]
fn a_straight_hand_off_in_spite_of_a_gap() {
    is_noticed(
        WITH_GAPS,
        "(ARGV[5] or '0') == '0' and (ARGV[7] or '0') == '0'\n",
        "(ARGV[5] or '0') == '0'\n",
    );
}

#[test]
fn a_straight_hand_off_to_junk() {
    is_noticed(
        FAIR,
        "local inbox, ttl_ms = string.match(head, OWNER)\n  local last",
        "local inbox, ttl_ms = string.match(head, '^dl1|(%x+)|.*|(%d+)$')\n  local last",
    );
}

#[test]
fn a_straight_hand_off_that_raises() {
    is_noticed(FAIR, "redis.pcall('ZRANGE', queue, '0', '0')", "redis.call('ZRANGE', queue, '0', '0')");
    is_noticed(FAIR, "tonumber(redis.pcall('GET', fence))", "tonumber(redis.call('GET', fence))");
}

#[test]
fn a_straight_hand_off_past_a_fence_ahead_of_the_clock() {
    is_noticed(FAIR, "if step >= TOKENS and step <=", "if step <=");
    breaks("tokens rise (I2)", FAIR, "if step >= TOKENS and step <=", "if step <=");
}

#[test]
fn a_straight_hand_off_whose_block_of_tokens_overlaps() {
    is_noticed(FAIR, "local newest = first + TOKENS - 1", "local newest = first + 1");
}

#[test]
fn a_straight_hand_off_with_a_lease_that_is_not_the_waiter_s_own() {
    is_noticed(
        FAIR,
        "redis.pcall('SET', lock, head, 'PX', ttl_ms)",
        "redis.pcall('SET', lock, head, 'PX', 600000)",
    );
}

#[test]
fn a_straight_hand_off_that_leaves_the_waiter_in_the_queue() {
    is_noticed(FAIR, "      redis.call('ZREM', queue, head)\n      local told", "      local told");
}

#[test]
fn a_straight_hand_off_with_another_token() {
    is_noticed(FAIR, "head .. '|' .. first .. '|' .. lock", "head .. '|' .. newest .. '|' .. lock");
}

#[test]
fn a_straight_hand_off_that_nobody_hears() {
    let heard = "if not told or heard > 0 then return 1 end";
    is_noticed(FAIR, heard, "if true then return 1 end");
    breaks("no holder (I7)", FAIR, heard, "if true then return 1 end");
}

#[test]
fn a_straight_hand_off_to_the_dead_that_keep_the_lock() {
    is_noticed(FAIR, "local had_it = passed > 0 or", "local had_it =");
    is_noticed(FAIR, "hand_off(prefix, nil, last, passed)", "hand_off(prefix, nil, last, 0)");
}

/// The next ones are about a monitor, which PUBLISH counts.
#[test]
fn a_monitor_that_counts_as_a_process() {
    let asks = "redis.pcall('PUBSUB', 'NUMSUB', channel)[2] or heard";
    is_noticed(MONITORED, asks, "heard");
    breaks("no holder (I7)", MONITORED, asks, "heard");
}

#[test]
fn a_monitor_that_counts_as_a_process_if_it_is_the_only_one_to_hear() {
    let (old, new) = ("if heard == 0 or", "if heard < 2 or");
    is_noticed(MONITORED, old, new);
    breaks("no holder (I7)", MONITORED, old, new);
}

#[test]
fn a_channel_outside_of_the_namespace() {
    is_noticed(IN_A_NAMESPACE, "local channel = namespace .. 'dlock:i:'", "local channel = 'dlock:i:'");
}

#[test]
fn a_monitor_that_is_not_looked_for() {
    is_noticed(MONITORED, "redis.pcall('PUBSUB', 'NUMPAT') == 0", "true");
}

#[test]
fn subscribers_to_something_else_that_count() {
    is_noticed(MONITORED, "'NUMSUB', channel)", "'NUMSUB', inbox)");
}

#[test]
fn a_straight_hand_off_to_a_monitor() {
    let (old, new) =
        ("pcall(tell, ARGV[4] or '', inbox, head", "pcall(redis.call, 'PUBLISH', 'dlock:i:' .. inbox, head");
    is_noticed(MONITORED, old, new);
    breaks("no holder (I7)", MONITORED, old, new);
}

#[test]
fn a_hand_off_to_a_monitor() {
    let (old, new) = (
        "if tell(prefix, inbox, head .. '|' .. string",
        "if redis.call('PUBLISH', 'dlock:i:' .. inbox, head .. '|' .. string",
    );
    is_noticed(MONITORED, old, new);
    breaks("no holder (I7)", MONITORED, old, new);
}

#[test]
fn a_wake_up_of_a_monitor() {
    is_noticed(
        Conduct { monitored: true, ..BARGING },
        "if inbox and tell(prefix, inbox, head",
        "if inbox and redis.call('PUBLISH', 'dlock:i:' .. inbox, head",
    );
}

#[test]
fn exclusion_is_judged_without_the_model() {
    let promise = "another holds (I1)";
    breaks(promise, FAIR, "if is_usual and there == 0 then", "if is_usual and there < 2 then");
    let promise = "only the holder";
    breaks(promise, FAIR, "redis.call('GET', lock) == me", "redis.call('GET', lock) ~= false");
}

#[test]
fn rising_tokens_are_judged_without_the_model() {
    let promise = "tokens rise (I2)";
    breaks(promise, FAIR, "math.max(last + 1, now)", "now");
    breaks(promise, FAIR, "math.max(last + 1, now)", "last + 1");
}

#[test]
fn order_is_judged_without_the_model() {
    let promise = "the next (I6)";
    breaks(
        promise,
        FAIR,
        "redis.call('EXISTS', lock, queue, marks, marks)",
        "redis.call('EXISTS', lock, marks, marks)",
    );
    breaks(
        promise,
        FAIR,
        "local head = redis.call('ZRANGE', queue, 0, 0)[1]\n    if not head then return 'nobody'",
        "local head = redis.call('ZRANGE', queue, -1, -1)[1]\n    if not head then return 'nobody'",
    );
    breaks(
        promise,
        FAIR,
        "redis.pcall('ZRANGE', queue, '0', '0')[1]",
        "redis.pcall('ZRANGE', queue, '-1', '-1')[1]",
    );
}

#[test]
fn dead_holders_are_judged_without_the_model() {
    breaks(
        "no holder (I7)",
        FAIR,
        "string.format('%.0f', first) .. '|' .. lock) > 0 then",
        "string.format('%.0f', first) .. '|' .. lock) >= 0 then",
    );
}

#[test]
fn messages_and_expiries_are_judged_without_the_model() {
    breaks(
        "has the lock",
        FAIR,
        "> 0 then return 'other', last end",
        "> 0 then redis.call('DEL', lock) return 'other', last end",
    );
    breaks(
        "a queue expires",
        FAIR,
        "  redis.call('PEXPIRE', queue, tonumber(ttl_ms) > 60000 and ttl_ms or '60000')\n",
        "",
    );
    breaks("a fence expires", FAIR, ", 'PX', 604800000)", ")");
}
