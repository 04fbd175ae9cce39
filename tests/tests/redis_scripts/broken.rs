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
    is_noticed(FAIR, "is_of(redis.call('GET', lock), me)", "redis.call('GET', lock)");
}

#[test]
fn a_release_by_any_owner_without_a_waiter() {
    is_noticed(FAIR, "if holder and string.find(holder, ARGV[1], 1, true) == 1 then", "if holder then");
}

#[test]
fn a_release_that_forgets_the_waiters() {
    is_noticed(FAIR, "if not head and not waiters.err then return", "if true then return");
}

#[test]
fn a_release_that_forgets_what_is_under_way() {
    is_noticed(FAIR, "is_usual = (ARGV[2] or '0') == '0' and", "is_usual =");
}

#[test]
fn a_renewal_by_anybody() {
    is_noticed(FAIR, "if not holder or string.find(holder, ARGV[1], 1, true) ~= 1 then return 0 end\n", "");
}

#[test]
fn a_renewal_that_makes_the_lock_again() {
    is_noticed(
        FAIR,
        "if not holder or string.find(holder, ARGV[1], 1, true) ~= 1 then return 0 end\n",
        "if not holder then redis.call('SET', KEYS[1], ARGV[1] .. '1', 'PX', ARGV[2]) return 1 end\nif string.find(holder, ARGV[1], 1, true) ~= 1 then return 0 end\n",
    );
}

#[test]
fn a_token_written_inexactly() {
    is_noticed(FAIR, "now = string.format('%.0f', number + 1)", "now = tostring(number + 1)");
}

#[test]
fn a_counter_ahead_of_the_clock_that_goes_back() {
    is_noticed(
        FAIR,
        "if not last or #last == #now and last < now then return now end\n  if last.err",
        "if type(last) ~= 'table' then return now end\n  if last.err",
    );
}

#[test]
fn a_counter_of_another_length_that_is_compared_as_text() {
    is_noticed(
        FAIR,
        "if not last or #last == #now and last < now then return now end\n  if last.err",
        "if not last or last < now then return now end\n  if last.err",
    );
}

#[test]
fn a_counter_that_holds_no_number_and_is_believed() {
    is_noticed(FAIR, "string.find(text, '^%d+$') and tonumber(text)\n", "tonumber(text)\n");
    is_noticed(FAIR, "number and number < 4503599627370495 and number or nil", "number or nil");
}

#[test]
fn a_counter_of_another_type_that_stops_all_locks() {
    is_noticed(FAIR, "local is_lost = string.find(last.err, 'WRONGTYPE', 1, true)", "local is_lost = false");
    is_noticed_in_batches(
        "redis.pcall('SET', counter, now, 'GET')",
        "redis.call('SET', counter, now, 'GET')",
    );
}

/// What a waiter is told as the last number. It is what old pushes are known by.
#[test]
fn an_answer_that_knows_the_counter_alone() {
    is_noticed(
        FAIR,
        "and last < now then return now end\n  local number",
        "and last < now then return last end\n  local number",
    );
    is_noticed(FAIR, "number > tonumber(now) and last or now", "number > tonumber(now) and last or '0'");
}

#[test]
fn an_answer_that_knows_the_clock_alone() {
    is_noticed(FAIR, "number > tonumber(now) and last or now", "number > tonumber(now) and now or now");
}

#[test]
fn a_batch_that_releases_for_anybody() {
    is_noticed_in_batches(
        "holders[i] = holder and string.find(holder, ARGV[argument + i], 1, true) == 1",
        "holders[i] = holder",
    );
}

#[test]
fn a_batch_that_forgets_the_waiters() {
    is_noticed_in_batches(
        "local is_freed = mine[i] and (nobody_waits or none_of(queues + i, queues + i))",
        "local is_freed = mine[i]",
    );
}

#[test]
fn a_batch_that_renews_for_anybody() {
    is_noticed_in_batches("mine[i] and redis.call('PEXPIRE'", "redis.call('PEXPIRE'");
}

#[test]
fn a_number_that_is_only_the_time() {
    is_noticed(FAIR, "  elseif number >= tonumber(now) then\n", "  elseif false then\n");
}

#[test]
fn a_number_that_is_only_a_count() {
    is_noticed(
        FAIR,
        "  if not last or #last == #now and last < now then return now end\n  if last.err",
        "  if not last then return now end\n  if number_in(last) then now = '0' end\n  if last.err",
    );
}

#[test]
fn a_hand_off_that_is_not_heard() {
    is_noticed(
        FAIR,
        "head .. number .. '|' .. lock) > 0 then return 'other' end",
        "head .. number .. '|' .. lock) >= 0 then return 'other' end",
    );
}

#[test]
fn a_hand_off_that_leaves_the_waiter_in_the_queue() {
    is_noticed(FAIR, "      redis.call('ZREM', queue, head)\n      if tell(", "      if tell(");
}

#[test]
fn a_lease_that_is_not_the_waiter_s_own() {
    is_noticed(FAIR, "local number = grant(head, ttl_ms)", "local number = grant(head, 600000)");
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
    is_noticed(FAIR, "return string.match(holder, '^%d+', #me + 1)", "return grant(me, ttl_ms)");
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
        "head .. '0|' .. lock) > 0 then return end",
        "head .. '0|' .. lock) >= 0 then return end",
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
fn a_holder_that_is_told_to_wait_for_itself() {
    is_noticed(FAIR, "if longest_ms and not is_of(holder, ARGV[1]) then", "if longest_ms then");
}

#[test]
fn a_held_lock_whose_foreign_holder_is_not_known() {
    is_noticed(
        FAIR,
        "string.match(holder, HOLDER)\n  if longest_ms and",
        "(string.match(holder, HOLDER) or '900000')\n  if longest_ms and",
    );
}

#[test]
fn a_holder_with_a_label_that_passes_for_a_foreign_one() {
    is_noticed(FAIR, "'^dl2|%x+|%x+|(%d+)[^|]*|%d'", "'^dl2|%x+|%x+|(%d+)|%d'");
}

#[test]
fn a_waiter_with_a_label_that_passes_for_another_build_s() {
    is_noticed(FAIR, "'^dl2|(%x+)|%x+|(%d+)[^|]*|$'", "'^dl2|(%x+)|%x+|(%d+)|$'");
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
    is_noticed(FAIR, "if ARGV[3] == '0' then return", "if false then return");
}

#[test]
fn a_waiter_for_a_held_lock_that_loses_its_place_by_asking_again() {
    is_noticed(FAIR, "if came and is_queue then return false end", "if is_queue then return false end");
}

#[test]
fn a_waiter_for_a_held_lock_in_a_place_that_is_not_its_own() {
    is_noticed(
        FAIR,
        "redis.call('ZADD', queue, 'NX', now, me)",
        "redis.call('ZADD', queue, 'NX', string.sub(now, 1, 15), me)",
    );
}

#[test]
fn a_held_lock_s_queue_that_stays_for_ever() {
    is_noticed(
        FAIR,
        "enqueue(ARGV[1], ARGV[2], there % 2 == 0, now)",
        "enqueue(ARGV[1], ARGV[2], true, now)",
    );
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
    is_noticed(FAIR, "if holder and string.find(holder, ARGV[1], 1, true) == 1 then", "if holder then");
}

#[test]
fn a_straight_hand_off_that_forgets_what_is_under_way() {
    is_noticed(FAIR, "is_usual = (ARGV[2] or '0') == '0' and", "is_usual =");
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
        "(ARGV[5] or '0') == '0' and (ARGV[7] or '0') == '0'\nif",
        "(ARGV[5] or '0') == '0'\nif",
    );
}

#[test]
fn a_straight_hand_off_to_junk() {
    is_noticed(
        FAIR,
        "local inbox, ttl_ms = string.match(head, WAITER)\n  -- A full",
        "local inbox, ttl_ms = string.match(head, '^dl2|(%x+)|.*|(%d+)|?1?$')\n  -- A full",
    );
}

#[test]
fn a_straight_hand_off_that_raises() {
    is_noticed(FAIR, "redis.pcall('ZRANGE', queue, '0', '0')", "redis.call('ZRANGE', queue, '0', '0')");
    is_noticed(FAIR, "redis.pcall('SET', counter, now, 'GET')", "redis.call('SET', counter, now, 'GET')");
}

#[test]
fn a_straight_hand_off_with_a_lease_that_is_not_the_waiter_s_own() {
    is_noticed(
        FAIR,
        "redis.pcall('SET', lock, head .. number, 'PX', ttl_ms)",
        "redis.pcall('SET', lock, head, 'PX', 600000)",
    );
}

#[test]
fn a_straight_hand_off_that_leaves_the_waiter_in_the_queue() {
    is_noticed(FAIR, "    redis.call('ZREM', queue, head)\n    local told", "      local told");
}

#[test]
fn a_straight_hand_off_with_another_token() {
    is_noticed(
        FAIR,
        "inbox, head .. number .. '|' .. lock)\n    -- A waiter",
        "inbox, head .. '7|' .. lock)\n    -- A waiter",
    );
}

#[test]
fn a_straight_hand_off_that_is_not_heard() {
    let heard = "if not told or heard > 0 then return 1 end";
    is_noticed(FAIR, heard, "if true then return 1 end");
    breaks("no holder (I7)", FAIR, heard, "if true then return 1 end");
}

#[test]
fn a_straight_hand_off_to_the_dead_that_keep_the_lock() {
    is_noticed(FAIR, "local had_it = passed > 0 or", "local had_it =");
    is_noticed(FAIR, "hand_off(prefix, nil, passed)", "hand_off(prefix, nil, 0)");
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
        "if tell(prefix, inbox, head .. number",
        "if redis.call('PUBLISH', 'dlock:i:' .. inbox, head .. number",
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
    breaks(promise, FAIR, "is_of(redis.call('GET', lock), me)", "redis.call('GET', lock)");
}

#[test]
fn rising_tokens_are_judged_without_the_model() {
    let promise = "numbers rise (I2)";
    breaks(promise, FAIR, "string.format('%.0f', number + 1)", "string.format('%.0f', number)");
    // When it is lost, it starts again at 1.
    breaks(
        promise,
        FAIR,
        "if not last or #last == #now and last < now then return now end\n  if last.err",
        "if not last then redis.call('SET', counter, '1') return '1' end\n  if last.err",
    );
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
        "redis.pcall('ZRANGE', queue, '0', '0')",
        "redis.pcall('ZRANGE', queue, '-1', '-1')",
    );
}

#[test]
fn dead_holders_are_judged_without_the_model() {
    breaks(
        "no holder (I7)",
        FAIR,
        "head .. number .. '|' .. lock) > 0 then",
        "head .. number .. '|' .. lock) >= 0 then",
    );
}

#[test]
fn messages_and_expiries_are_judged_without_the_model() {
    breaks(
        "has the lock",
        FAIR,
        "number .. '|' .. lock) > 0 then return 'other' end",
        "number .. '|' .. lock) > 0 then redis.call('DEL', lock) return 'other' end",
    );
    breaks(
        "a queue expires",
        FAIR,
        "  redis.call('PEXPIRE', queue, tonumber(ttl_ms) > 60000 and ttl_ms or '60000')\n",
        "",
    );
}
