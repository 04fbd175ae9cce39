//! What has gone wrong with distributed locks in Redis before, and which test shows that it does not here.
//!
//! The numbers are those that the doc comments of the tests begin with. Each line says what must hold, which
//! tests show it, and for what no two holders may ever be at stake, by which control they are known to be able to
//! fail: a broken variant that is noticed, or the same scenario without the protection.

use dlock_tests::scenarios::{Scenario, Table, not, shown};

const TABLE: Table = Table {
    folder: "redis",
    groups: &[
        ("B01", "B13"),
        ("B20", "B35"),
        ("B40", "B50"),
        ("B60", "B64"),
        ("B70", "B76"),
        ("B80", "B84"),
        ("B90", "B94"),
        ("S1", "S21"),
    ],
    numbered: &['B'],
    safety: &[
        "B04", "B06", "B09", "B10", "B13", "B20", "B21", "B32", "B42", "B46", "B47", "B48", "B64", "B70",
        "B74", "B80", "B81", "B82", "B83", "B84",
    ],
    parts: &[ACQUIRE, QUEUE, RENEWAL, RELEASE, OTHER_KINDS, FENCING, REPLICATION, SERVERS],
};

/// Each number has its line, and only one.
#[test]
fn no_number_is_missing_or_doubled() {
    assert_eq!(TABLE.numbers(), NOTHING);
}

/// Each line names tests, or says why it does not; where safety is at stake, a control too.
#[test]
fn every_scenario_is_shown_or_says_why_not() {
    assert_eq!(TABLE.gaps(), NOTHING);
}

/// Each named test is there and is run, and those in this folder begin with the numbers that name them.
#[test]
fn every_named_test_is_there() {
    assert_eq!(TABLE.missing_tests(), NOTHING);
}

/// The other way round: a test here that begins with a number is named in its line.
#[test]
fn every_number_that_a_test_gives_itself_is_in_the_table() {
    assert_eq!(TABLE.unlisted_tests(), NOTHING);
}

const NOTHING: Vec<String> = Vec::new();

const NO_SHARED_LOCKS: &str = "there are no locks for readers and writers";
const NO_SEMAPHORES: &str = "there are no semaphores";
const NO_LOCKS_OF_SEVERAL_KEYS: &str = "there are no locks of several keys";

/// Acquiring, dropping, losing an answer.
const ACQUIRE: &[Scenario] = &[
    shown(
        "B01",
        "A dropped acquire whose request has left gives its grant back at once, not at the end of the lease.",
        &[
            "acquire::a_grant_whose_future_was_dropped_is_given_back",
            "acquire::a_request_whose_future_was_dropped_before_it_arrived_is_undone",
            "conformance::an_acquire_dropped_while_waiting_leaves_nothing",
            "conformance::an_acquire_dropped_at_any_await_leaves_nothing",
        ],
    ),
    shown(
        "B02",
        "A grant whose answer was lost is the same hold with the same token when it is asked for again.",
        &[
            "acquire::a_grant_whose_answer_was_lost_is_the_same_when_it_is_asked_for_again",
            "conformance::an_owner_that_asks_again_gets_the_same_grant",
        ],
    ),
    shown(
        "B03",
        "A request carried out after its owner gave up takes nothing, or one lease that nobody believes in.",
        &[
            "late_requests::a_request_that_comes_after_its_release_takes_no_lock",
            "late_requests::a_request_that_was_repeated_takes_no_lock_when_it_comes_at_last",
            "late_requests::a_refused_try_that_was_repeated_takes_no_lock_when_it_comes_at_last",
            "late_requests::a_request_that_comes_after_its_future_was_dropped_takes_no_lock",
            "late_requests::a_late_request_of_a_forgotten_owner_costs_one_lease",
            "queue::a_grant_for_an_unknown_waiter_is_given_back"],
    ),
    shown(
        "B04",
        "An acquire that fails releases at every server that it asked.",
        &[
            "redlock::a_partial_failure_is_undone_at_every_server",
            "redlock::an_error_of_a_majority_is_reported_and_the_rest_undone",
            "redlock::a_silent_server_is_released_when_it_answers_again",
            "redlock::a_server_that_is_away_for_the_release_is_released_when_it_is_back",
            "redlock::a_request_that_comes_late_takes_no_server",
        ],
    )
    .control(&["core/backend/redis/redlock/model::a_twin_that_lacks_a_rule_is_noticed"]),
    shown(
        "B05",
        "Contenders that split the servers give their parts back, and one wins in bounded time.",
        &[
            "redlock::split_votes_settle",
        ],
    ),
    shown(
        "B06",
        "A majority that came too late is no grant: no guard is over from the beginning.",
        &[
            "acquire::a_grant_whose_answer_came_after_its_lease_is_asked_for_again",
            "redlock::a_majority_that_comes_after_the_lease_is_no_grant",
            "core/backend/redis/redlock/votes::a_majority_that_took_longer_than_the_lease_leaves_nothing_to_believe",
        ],
    )
    .control(&["core/backend/redis/redlock/model::a_twin_that_lacks_a_rule_is_noticed"]),
    shown(
        "B07",
        "A server that swallows everything costs its own timeout, not the lease.",
        &[
            "redlock::a_black_hole_is_not_waited_for",
            "redlock::a_black_hole_that_is_needed_costs_no_more_than_its_time_for_an_answer",
        ],
    ),
    shown(
        "B08",
        "A server that refuses connections leaves a majority.",
        &[
            "redlock::a_server_that_refuses_connections_is_done_without",
        ],
    ),
    shown(
        "B09",
        "Tasks that share a manager are owners of their own: a stale guard touches nothing of the next one.",
        &[
            "acquire::a_stale_guard_does_not_touch_the_next_one_of_its_own_process",
            "conformance::only_the_owner_releases",
            "conformance::only_the_owner_renews",
        ],
    )
    .control(&[
        "acquire::a_stale_guard_does_not_touch_the_next_one_of_its_own_process",
        "flaws::owner_only_release",
        "flaws::owner_only_renewal",
    ]),
    shown(
        "B10",
        "Owners are compared as a whole: one that begins with another is not that one.",
        &["acquire::an_owner_is_compared_as_a_whole"],
    )
    .control(&["acquire::an_owner_is_compared_as_a_whole"]),
    shown(
        "B11",
        "A wait waits, and its end says that the lock was another's; a wait of zero is a try.",
        &[
            "acquire::a_wait_waits_and_a_wait_of_zero_tries",
            "conformance::a_wait_that_ends_is_busy_and_leaves_nothing",
        ],
    ),
    shown(
        "B12",
        "A server that does not know the scripts, by command or after a failover, is taught them unnoticed.",
        &[
            "outages::a_server_that_forgot_the_scripts_is_taught_them_again",
            "sentinel::a_failover_under_contention_keeps_the_token_order",
        ],
    ),
    shown(
        "B13",
        "No answer goes to another request, whatever the server sends unasked.",
        &[
            "acquire::answers_go_to_their_own_requests_among_pushes",
            "cluster::a_slot_moves_under_contention",
            "cluster::a_waiter_is_handed_the_lock_where_the_slot_has_moved_to",
        ],
    )
    .control(&["acquire::answers_go_to_their_own_requests_among_pushes"]),
];

/// The queue and the hand-off.
const QUEUE: &[Scenario] = &[
    shown(
        "B20",
        "A waiter that hears of its grant after that lease does not begin.",
        &[
            "queue::a_push_that_comes_after_its_lease_is_not_believed",
            "core/backend/redis/backend::a_push_is_believed_only_if_it_is_newer_than_the_last_answer_and_its_lease_is_long",
        ],
    )
    .control(&["queue::a_push_that_comes_after_its_lease_is_not_believed"]),
    shown(
        "B21",
        "Nor does one that was told to wait after that grant, and hears of it then.",
        &[
            "queue::a_push_that_comes_after_its_lease_is_not_believed",
            "queue::an_old_push_is_not_believed",
            "core/backend/redis/backend::a_push_is_believed_only_if_it_is_newer_than_the_last_answer_and_its_lease_is_long",
        ],
    )
    .control(&["queue::a_push_that_comes_after_its_lease_is_not_believed"]),
    shown(
        "B22",
        "A push that is lost costs a question, not a lease.",
        &[
            "queue::a_push_lost_with_its_connection_costs_a_question",
            "outages::a_killed_connection_is_replaced_for_holders_and_waiters",
        ],
    ),
    shown(
        "B23",
        "A dead waiter is passed over in the release itself, or costs one lease if the network hid its death.",
        &[
            "queue::a_waiter_whose_process_died_is_passed_over",
            "queue::a_dead_waiter_that_a_monitor_hears_for_is_passed_over",
            "queue::an_expired_lock_passes_over_a_dead_waiter_that_a_monitor_hears_for",
            "cluster::a_dead_waiter_beside_a_monitor_is_passed_over",
            "redis_scripts/edges::a_dead_waiter_that_a_monitor_hears_for_is_passed_over",
            "queue::a_waiter_that_is_gone_without_a_word_costs_one_lease",
        ],
    ),
    shown(
        "B24",
        "Ten thousand dead waiters are walked over in bounded steps, and the living one behind them is reached.",
        &[
            "queue::a_crowd_of_dead_waiters_is_walked_over_in_bounded_steps",
            "redis_scripts/edges::after_the_longest_walk_a_free_lock_is_to_be_asked_for_again_at_once",
            "redis_scripts/broken::a_walk_without_an_end",
            "queue::a_free_lock_behind_a_crowd_is_asked_for_again_at_once",
        ],
    ),
    shown(
        "B25",
        "A waiter that leaves while it is granted passes the lock on, and leaves no place behind.",
        &[
            "queue::a_waiter_that_leaves_while_it_is_granted_passes_the_lock_on",
            "conformance::a_waiter_that_leaves_keeps_the_others_in_order",
            "queue::a_grant_for_an_unknown_waiter_is_given_back",
        ],
    ),
    shown(
        "B26",
        "The first waiter gets a dead holder's lock when the lease ends, though nobody else comes.",
        &[
            "queue::the_first_waiter_asks_when_a_dead_holders_lease_ends",
            "conformance::a_dead_holder_costs_no_more_than_its_lease",
        ],
    ),
    shown(
        "B27",
        "A lock that an operator deletes goes to the next waiter.",
        &["queue::a_lock_deleted_by_hand_is_lost_and_goes_to_the_next_waiter"],
    ),
    shown(
        "B28",
        "A waiter that lives keeps its place for as long as it waits.",
        &["queue::a_waiter_that_lives_keeps_its_queue", "redis_scripts/broken::a_queue_that_stays_for_ever"],
    ),
    shown(
        "B29",
        "Waiters are served though the server's clock jumps by an hour, either way.",
        &[
            "clock::waiters_are_served_when_the_servers_clock_jumps",
            "clock::a_lease_made_longer_by_the_servers_clock_is_cut",
            "clock::a_gap_made_longer_by_the_servers_clock_is_cut",
            "clock::a_quarantine_made_longer_by_the_servers_clock_is_cut",
        ],
    ),
    shown(
        "B30",
        "Who comes first is served first, and a try does not pass the queue.",
        &[
            "conformance::waiters_are_served_in_order_of_arrival",
            "conformance::waiters_of_several_processes_are_served_in_order_of_arrival",
            "conformance::a_try_does_not_pass_the_queue",
            "redis_scripts/broken::order_is_judged_without_the_model",
        ],
    ),
    shown(
        "B31",
        "A foreign client's release wakes the waiter; a foreign lock without expiry is waited for, never stolen.",
        &[
            "foreign::a_foreign_lock_on_the_same_key_excludes_us_and_we_exclude_it",
            "foreign::a_foreign_release_wakes_the_first_waiter_and_none_polls",
            "foreign::a_foreign_expiry_wakes_the_first_waiter",
            "foreign::a_foreign_release_is_found_by_an_account_that_may_not_watch",
            "cluster::a_foreign_release_wakes_the_waiter",
            "redis_interop/pairs::a_lock_that_never_expires_is_waited_for",
            "redis_interop/hand_over::of_all_that_wait_each_gets_it",
        ],
    ),
    shown(
        "B32",
        "Foreign clients and we exclude each other, during a hand-off too; a key of another type is an error.",
        &[
            "foreign::a_foreign_lock_on_the_same_key_excludes_us_and_we_exclude_it",
            "foreign::a_gap_lets_a_foreign_client_have_its_turn",
            "foreign::a_gap_is_kept_by_our_own",
            "foreign::keys_of_another_kind_are_refused_and_left_alone",
            "redis_interop/contention::under_one_lock_no_count_is_lost",
        ],
    )
    .control(&[
        "redis_interop/contention::under_locks_apart_counts_are_lost",
        "redis_scripts/broken::exclusion_is_judged_without_the_model",
    ]),
    shown(
        "B33",
        "With a gap, a foreign client has its turn under contention among ourselves.",
        &["foreign::a_gap_lets_a_foreign_client_have_its_turn"],
    ),
    shown(
        "B34",
        "A server without memory still releases, and does not keep the lock until its lease ends.",
        &["outages::a_full_server_still_renews_releases_and_hands_off"],
    ),
    shown(
        "B35",
        "The keys of one lock lie in one slot, whatever its bytes are.",
        &[
            "cluster::keys_of_every_shape_are_locked_and_handed_off",
            "core/backend/redis/keys::side_keys_lie_in_the_slot_of_the_lock",
            "core/backend/redis/keys::different_locks_have_different_side_keys",
            "conformance::odd_keys_are_locks_of_their_own",
        ],
    ),
];

/// Renewal and loss.
const RENEWAL: &[Scenario] = &[
    shown(
        "B40",
        "After a partition the loss is signalled at the local deadline, not by an answer or the next attempt.",
        &[
            "renewal::a_partition_is_signalled_at_the_local_deadline",
            "outages::a_silent_server_costs_the_lock_at_its_deadline_and_nothing_afterwards",
            "conformance::a_lease_that_cannot_be_renewed_is_lost_at_its_deadline",
        ],
    ),
    shown(
        "B41",
        "One renewal that fails signals nothing; it is tried again, and the lease goes on.",
        &[
            "renewal::a_renewal_that_failed_is_tried_again_and_harms_nothing",
            "core/renewal/schedule::failures_are_retried_before_the_deadline_and_only_finitely_often",
        ],
    ),
    shown(
        "B42",
        "A renewal that fails ends or shortens no lease.",
        &["renewal::a_renewal_that_failed_is_tried_again_and_harms_nothing"],
    )
    .control(&["renewal::a_renewal_that_failed_is_tried_again_and_harms_nothing"]),
    shown(
        "B43",
        "Renewals end with the guard, however that ends; one under way prolongs nobody else's lease.",
        &[
            "renewal::a_renewal_that_comes_after_the_release_prolongs_nothing",
            "renewal::a_lock_that_was_given_back_is_not_renewed",
            "core/renewal/table::a_lease_removed_while_its_renewal_is_under_way_does_not_come_back",
        ],
    ),
    shown(
        "B44",
        "A lock is renewed after an earlier one on its key was lost or failed.",
        &["renewal::a_lock_is_renewed_after_an_earlier_one_on_its_key_was_lost"],
    ),
    shown(
        "B45",
        "Ten thousand locks are renewed over one connection, by requests of one key; one that fails delays none.",
        &[
            "renewal::ten_thousand_locks_are_renewed_over_one_connection",
            "renewal::a_lock_that_was_given_back_is_not_renewed",
            "core/renewal/table::leases_come_due_in_order_and_only_once",
        ],
    ),
    shown(
        "B46",
        "Only the owner's own lease is renewed.",
        &[
            "conformance::only_the_owner_renews",
            "conformance::a_released_lock_is_not_renewed_into_being",
            "redis_scripts/main::the_scripts_do_as_the_model",
        ],
    )
    .control(&["redis_scripts/broken::a_renewal_by_anybody", "flaws::owner_only_renewal"]),
    shown(
        "B47",
        "A renewal counts over all servers, and heals missing ones only with a majority.",
        &[
            "redlock::a_renewal_needs_a_majority_of_all_servers",
            "redlock::a_server_that_forgot_the_lock_is_healed_by_a_renewal",
        ],
    )
    .control(&["core/backend/redis/redlock/votes::counting_over_the_answers_would_let_two_win"]),
    shown(
        "B48",
        "A lock that is gone is not made again by its renewal, nor called held all the time.",
        &[
            "conformance::a_released_lock_is_not_renewed_into_being",
            "redlock::an_owner_that_lost_its_majority_is_not_healed",
        ],
    )
    .control(&["redis_scripts/broken::a_renewal_that_makes_the_lock_again", "flaws::renewal_of_nothing"]),
    shown(
        "B49",
        "A process that was stopped for longer than its lease finds its guard over first, and its token refused.",
        &["stopped_process::a_process_that_was_stopped_knows_at_once_that_its_lock_is_lost"],
    ),
    shown(
        "B50",
        "A runtime that is blocked for longer than a lease keeps its locks.",
        &["renewal::a_blocked_runtime_keeps_its_locks"],
    ),
];

/// Releasing.
const RELEASE: &[Scenario] = &[
    shown(
        "B60",
        "The release of a lost lock says so after one request.",
        &[
            "release::releasing_a_lost_lock_takes_one_request",
            "release::releasing_a_lost_lock_does_not_wait_for_a_silent_server",
            "conformance::releasing_a_lost_lock_says_so",
        ],
    ),
    shown(
        "B61",
        "A release that is dropped half-way goes on, and its lease is over.",
        &[
            "release::a_release_dropped_half_way_goes_on",
            "release::a_release_dropped_half_way_does_not_need_its_first_request",
        ],
    ),
    shown(
        "B62",
        "A release whose answer was lost, and that finds itself no owner when repeated, is no failure.",
        &[
            "release::a_release_whose_answer_does_not_come_is_unknown_and_repeated",
            "release::a_release_whose_answer_was_lost_is_not_reported_as_a_lost_lock",
        ],
    ),
    shown(
        "B63",
        "A guard is dropped outside a runtime, and during a shutdown, which waits for its release.",
        &[
            "conformance::a_guard_dropped_outside_a_runtime_frees_the_lock",
            "conformance::shutdown_flushes_releases_and_releases_what_is_held",
        ],
    ),
    shown(
        "B64",
        "A lease is never longer than its ttl, however often it is asked for.",
        &["renewal::a_lease_never_grows", "core/lease/ttl::validity_counts_from_the_send_less_a_margin"],
    )
    .control(&["renewal::a_lease_never_grows", "redis_scripts/broken::a_lease_that_is_not_the_waiter_s_own"]),
];

/// Locks of other kinds.
const OTHER_KINDS: &[Scenario] = &[
    not("B70", "Readers and a writer never hold together.", NO_SHARED_LOCKS),
    not("B71", "Neither readers nor writers starve.", NO_SHARED_LOCKS),
    not("B72", "A dead reader delays a writer by its own lease at most.", NO_SHARED_LOCKS),
    not("B73", "A reader that becomes a writer never blocks itself.", NO_SHARED_LOCKS),
    not("B74", "A semaphore never counts more than it allows.", NO_SEMAPHORES),
    not("B75", "Locks of several keys never wait for each other in a circle.", NO_LOCKS_OF_SEVERAL_KEYS),
    not("B76", "Two limits for one semaphore are an error.", NO_SEMAPHORES),
];

/// Fencing tokens.
const FENCING: &[Scenario] = &[
    shown(
        "B80",
        "Tokens rise over crashes, failovers, lost counters, and a clock that steps back.",
        &[
            "fencing::tokens_rise_over_every_mishap",
            "outages::a_restart_that_forgets_everything_loses_the_lock_and_keeps_the_token_order",
            "outages::a_flushed_server_loses_the_lock_and_keeps_the_token_order",
            "sentinel::a_failover_under_contention_keeps_the_token_order",
            "cluster::a_failover_under_contention_keeps_the_token_order",
            "conformance::tokens_rise_from_holder_to_holder",
            "conformance::tokens_rise_past_a_dead_holder",
        ],
    )
    .control(&[
        "fencing::tokens_rise_over_every_mishap",
        "redis_scripts/broken::rising_tokens_are_judged_without_the_model",
        "redis_scripts/broken::a_number_that_is_only_the_time",
        "redis_scripts/broken::a_number_that_is_only_a_count",
        "flaws::token_order",
    ]),
    shown(
        "B81",
        "A token is that of its grant: a stale holder never learns a newer one.",
        &["fencing::a_stale_holder_has_its_own_token"],
    )
    .control(&["fencing::a_stale_holder_has_its_own_token"]),
    shown(
        "B82",
        "Tokens are exact as numbers of Lua, and refused where those end.",
        &[
            "fencing::tokens_are_exact_up_to_the_last",
            "foreign::a_counter_that_holds_no_number_starts_again",
            "redis_scripts/edges::no_number_is_greater_than_the_largest",
        ],
    )
    .control(&[
        "redis_scripts/broken::a_token_written_inexactly",
        "redis_scripts/broken::a_straight_hand_off_with_another_token",
        "redis_scripts/broken::a_counter_that_holds_no_number_and_is_believed",
    ]),
    shown(
        "B83",
        "A slow owner whose token the others have passed does not get its majority.",
        &[
            "redlock::a_proposal_that_was_slow_to_be_raised_cannot_outrank_the_next_holder",
            "redlock::a_clock_that_is_behind_costs_a_round_and_not_the_order",
        ],
    )
    .control(&["core/backend/redis/redlock/model::a_twin_that_lacks_a_rule_is_noticed"]),
    shown(
        "B84",
        "Tokens set aside for a hand-over in one process are never above a later grant.",
        &[
            "core/hand_over/tests::tokens_rise_over_local_and_remote_grants",
            "redis_scripts/broken::a_number_that_is_only_the_time",
        ],
    )
    .control(&["core/hand_over/tests::blocks_that_overlap_are_noticed"]),
];

/// Replication, and servers that do not serve.
const REPLICATION: &[Scenario] = &[
    shown(
        "B90",
        "A failover that forgets the lock is signalled by the next renewal, and the next token is greater.",
        &[
            "sentinel::a_failover_that_forgets_a_lock_is_signalled_to_its_holder",
            "sentinel::a_failover_under_contention_keeps_the_token_order",
            "sentinel::a_failover_with_quarantine_makes_no_two_holders",
            "quarantine::a_restart_that_forgets_makes_no_second_holder",
        ],
    ),
    shown(
        "B91",
        "A grant with fewer replicas than required is undone.",
        &[
            "replicas::a_grant_counts_when_as_many_replicas_as_required_have_it",
            "replicas::a_lock_that_is_handed_off_is_acknowledged_too",
            "replicas::a_waiter_whose_grant_was_undone_is_handed_the_lock_later",
        ],
    ),
    shown(
        "B92",
        "Waiting for replicas holds up nobody else.",
        &["replicas::waiting_for_replicas_holds_up_no_other_request"],
    ),
    shown(
        "B93",
        "Every request outlasts READONLY, MASTERDOWN, LOADING, BUSY, CLUSTERDOWN, TRYAGAIN, MOVED and ASK.",
        &[
            "refusals::every_step_outlasts_readonly",
            "refusals::every_step_outlasts_masterdown",
            "refusals::every_step_outlasts_loading",
            "refusals::every_step_outlasts_busy",
            "refusals::a_server_that_stays_busy_is_unavailable",
            "cluster::every_script_outlasts_what_nodes_answer",
            "cluster::a_lease_that_replicas_acknowledge_is_renewed_while_its_slot_moves",
            "cluster::a_lease_that_replicas_acknowledge_outlives_a_dead_primary",
            "cluster::a_plain_lock_is_kept_while_its_slot_moves",
            "cluster::a_slot_moves_under_contention",
            "cluster::a_failover_under_contention_keeps_the_token_order",
            "sentinel::a_failover_under_contention_keeps_the_token_order",
            "sentinel::a_demoted_primary_is_left",
        ],
    ),
    shown(
        "B94",
        "A server that may evict locks is warned of.",
        &[
            "traces::a_server_that_may_evict_locks_is_warned_of",
            "core/backend/redis/preflight::a_server_evicts_if_it_has_a_limit_and_a_policy",
        ],
    ),
];

/// What can befall a server, by itself.
const SERVERS: &[Scenario] = &[
    shown(
        "S1",
        "A restart that forgets.",
        &[
            "quarantine::a_restart_that_forgets_makes_no_second_holder",
            "outages::a_restart_that_forgets_everything_loses_the_lock_and_keeps_the_token_order",
        ],
    ),
    shown(
        "S2",
        "A restart that remembers.",
        &["outages::a_lock_survives_a_restart_with_an_append_only_file"],
    ),
    shown(
        "S3",
        "A failover that forgets.",
        &["sentinel::a_failover_that_forgets_a_lock_is_signalled_to_its_holder"],
    ),
    shown(
        "S4",
        "A failover under contention.",
        &[
            "kinds::a_failover_of_redis_6_2_is_followed",
            "kinds::a_failover_of_redis_8_2_is_followed",
            "kinds::a_failover_of_valkey_9_1_is_followed",
            "sentinel::a_failover_under_contention_keeps_the_token_order",
            "cluster::a_failover_under_contention_keeps_the_token_order",
        ],
    ),
    not(
        "S5",
        "An old primary that lives on in a minority.",
        "it is ended by the server's min-replicas-max-lag",
    ),
    shown(
        "S6",
        "A replica in the place of a primary.",
        &[
            "kinds::a_demoted_primary_of_redis_6_2_is_left",
            "sentinel::a_demoted_primary_is_left",
            "core/backend/redis/preflight::servers_of_another_kind_and_old_ones_are_refused",
        ],
    ),
    shown(
        "S7",
        "Slots that move.",
        &["cluster::a_slot_moves_under_contention", "cluster::a_holder_is_renewed_while_its_slot_moves"],
    ),
    shown(
        "S8",
        "Scripts that are forgotten.",
        &["outages::a_server_that_forgot_the_scripts_is_taught_them_again"],
    ),
    shown(
        "S9",
        "Connections that are killed.",
        &["outages::a_killed_connection_is_replaced_for_holders_and_waiters"],
    ),
    shown("S10", "No memory left.", &["outages::a_full_server_still_renews_releases_and_hands_off"]),
    shown(
        "S11",
        "Locks that are evicted.",
        &[
            "traces::a_server_that_may_evict_locks_is_warned_of",
            "queue::a_lock_deleted_by_hand_is_lost_and_goes_to_the_next_waiter",
        ],
    ),
    shown(
        "S12",
        "A primary that became a replica.",
        &["refusals::every_step_outlasts_readonly", "refusals::every_step_outlasts_masterdown"],
    ),
    shown("S13", "A server that loads its data.", &["refusals::every_step_outlasts_loading"]),
    shown(
        "S14",
        "A server that is busy with a script.",
        &["refusals::every_step_outlasts_busy", "refusals::a_server_that_stays_busy_is_unavailable"],
    ),
    shown(
        "S15",
        "A password changed or a right withdrawn, at the beginning and in service.",
        &[
            "access::passwords_are_checked_and_never_shown",
            "access::a_missing_right_is_named",
            "access::a_password_changed_in_service_is_told_and_not_tried_again_and_again",
            "access::a_right_withdrawn_in_service_is_told",
            "access::a_right_of_the_scripts_withdrawn_in_service_is_told",
        ],
    ),
    shown(
        "S16",
        "A primary that lacks replicas, or cannot save.",
        &[
            "refusals::a_primary_without_its_replicas_is_unavailable",
            "refusals::an_old_primary_without_its_replicas_grants_locks_by_scripts",
            "refusals::a_server_that_cannot_save_is_unavailable",
        ],
    ),
    shown(
        "S17",
        "Keys of another type, and garbage in ours.",
        &[
            "foreign::keys_of_another_kind_are_refused_and_left_alone",
            "foreign::side_keys_of_another_kind_are_refused_and_left_alone",
            "foreign::a_counter_that_holds_no_number_starts_again",
        ],
    ),
    shown(
        "S18",
        "A lock deleted, renamed, flushed, or with another expiry.",
        &[
            "queue::a_lock_deleted_by_hand_is_lost_and_goes_to_the_next_waiter",
            "foreign::a_lease_without_its_expiry_gets_one_again",
            "foreign::a_lease_cut_short_and_a_lock_renamed_are_lost",
            "outages::a_flushed_server_loses_the_lock_and_keeps_the_token_order",
        ],
    ),
    shown("S19", "Pushes that are lost.", &["queue::a_push_lost_with_its_connection_costs_a_question"]),
    shown(
        "S20",
        "Another database, and names that are dlock's own.",
        &["access::databases_are_apart", "core/backend/redis/keys::dlocks_own_names_are_refused"],
    ),
    shown(
        "S21",
        "Servers of other versions, and Valkey.",
        &[
            "kinds::every_server_is_the_one_that_its_name_says",
            "kinds::scripts_are_refused_alike_by_every_server",
            "kinds::a_full_server_is_unavailable_from_the_start",
            "kinds::a_failover_of_redis_6_2_is_followed",
            "kinds::a_failover_of_redis_8_2_is_followed",
            "kinds::a_failover_of_valkey_9_1_is_followed",
            "kinds::a_demoted_primary_of_redis_6_2_is_left",
            "kinds::a_cluster_of_redis_6_2_is_refused",
            "kinds::a_node_of_a_cluster_of_valkey_is_refused_by_itself",
            "recipes::plain_compares_by_script_where_it_may",
            "recipes::plain_compares_by_command_where_the_server_has_one",
            "start::connections_call_themselves",
            "urls::a_cluster_has_databases_where_the_server_allows_it",
        ],
    ),
];
