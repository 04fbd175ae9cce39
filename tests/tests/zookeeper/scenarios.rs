//! What has gone wrong with distributed locks in ZooKeeper before, and which test shows that it does not here.
//!
//! The numbers are those that the doc comments of the tests begin with. Each line says what must hold, which
//! tests show it, and for what no two holders may ever be at stake, by which control they are known to be able to
//! fail: a broken variant that is noticed, or the same scenario without the protection. That is mostly the recipe
//! as it is often written, on the client library alone, in the same place: see `textbook_recipe.rs`.

use dlock_tests::scenarios::{Scenario, Table, not, shown};

const TABLE: Table = Table {
    folder: "zookeeper",
    groups: &[("S1", "S44"), ("Z1", "Z15")],
    numbered: &['S'],
    safety: &[
        "S4", "S5", "S7", "S10", "S12", "S13", "S14", "S16", "S17", "S21", "S24", "S31", "S32", "S38", "S39",
        "Z1", "Z8", "Z9",
    ],
    parts: &[NODES, SESSIONS, ORDER, OTHER_KINDS, OTHER_CLIENTS, RUNTIME, HAND_OVER, COST, FAULTS],
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

/// Nodes that are lost, doubled or left.
const NODES: &[Scenario] = &[
    shown(
        "S1",
        "A node whose making was not confirmed, since the connection ended, is found and held, or removed.",
        LOST_ANSWERS,
    ),
    shown("S2", "So it is when the connection was reset.", LOST_ANSWERS),
    shown("S3", "So it is when the server said nothing for longer than a request may take.", LOST_ANSWERS),
    shown(
        "S4",
        "It is found behind a follower that does not know it yet: one node, and nobody waits for himself.",
        &[
            "lagging::a_node_is_found_again_behind_a_follower_that_does_not_know_it_yet",
            "zookeeper_ensemble/follower::a_node_whose_answer_was_lost_is_found_behind_a_follower_that_lags",
            "zookeeper_ensemble/follower::a_follower_that_lags_behind_costs_time_alone",
        ],
    )
    .control(&["lagging::a_client_without_sync_waits_for_its_own_node"]),
    shown(
        "S5",
        "An acquire that is dropped while its request is under way leaves no node, and the next one gets the lock.",
        &[
            "queue::a_request_that_comes_after_its_future_was_dropped_leaves_no_node",
            "queue::an_acquire_dropped_at_any_await_leaves_no_node",
            "simple::an_acquire_dropped_at_any_await_leaves_no_node",
            "conformance::an_acquire_dropped_at_any_await_leaves_nothing",
        ],
    )
    .control(&["queue::a_dropped_create_leaves_its_node", "flaws::cancellation_anywhere"]),
    shown(
        "S6",
        "A waiter that leaves the middle of the queue changes nobody's place, and nobody is granted early.",
        &[
            "queue::a_waiter_that_leaves_the_middle_changes_nobody_s_turn",
            "queue::a_waiter_waits_on_when_the_one_ahead_of_it_leaves",
            "conformance::a_waiter_that_leaves_keeps_the_others_in_order",
        ],
    )
    .control(&["flaws::turn_after_a_departure", "flaws::order_after_a_departure"]),
    shown(
        "S7",
        "A try that failed without a connection leaves no node when there is one again.",
        &[
            "lost_answers::a_try_that_failed_leaves_no_node_when_the_connection_is_back",
            "lost_answers::a_try_that_failed_is_undone",
            "simple::a_try_that_failed_is_undone",
        ],
    )
    .control(&["queue::a_dropped_create_leaves_its_node"]),
    shown(
        "S8",
        "A waiter that loses its connection between its node and its look at the queue keeps its place.",
        &["lost_answers::a_waiter_that_does_not_see_the_queue_keeps_its_place"],
    ),
    shown(
        "S9",
        "A release without connection is made up for, and does not block an acquire of the same process.",
        &[
            "lost_answers::a_release_without_connection_does_not_block_the_own_process",
            "lost_answers::a_release_is_repeated",
            "simple::a_repeated_release_touches_no_other_owner",
        ],
    ),
    shown(
        "S10",
        "A node with the owner's name that another session made is never taken for the owner's own.",
        &["lost_answers::a_node_of_another_session_is_not_adopted"],
    )
    .control(&["lost_answers::a_client_that_adopts_by_name_alone_holds_beside_another"]),
];

const LOST_ANSWERS: &[&str] = &[
    "lost_answers::a_waiter_finds_the_node_that_it_made",
    "lost_answers::a_try_that_failed_is_undone",
    "simple::a_waiter_finds_the_node_that_it_made",
    "simple::a_try_that_failed_is_undone",
];

/// Sessions that end, lapse, or outlive their connection.
const SESSIONS: &[Scenario] = &[
    shown(
        "S11",
        "While nobody answers a guard is suspect, then lost before its session can be over, and never held again.",
        &[
            "states::a_guard_that_stays_cut_off_is_suspect_then_lost_and_stays_so",
            "sessions::a_guard_is_lost_while_the_server_stands_still_and_stays_lost",
            "core/backend/zookeeper/session/validity::regular_heartbeats_give_the_percentage_of_the_timeout",
        ],
    ),
    shown(
        "S12",
        "A guard behind a follower that is cut off from its leader is lost before the next one is granted.",
        &[
            "lagging::a_guard_behind_a_follower_that_is_cut_off_is_lost_before_the_next_is_granted",
            "sessions::a_guard_behind_a_follower_without_leader_is_lost",
            "zookeeper_ensemble/follower::a_holder_behind_a_follower_that_is_cut_off_is_lost_before_the_next_is_granted",
        ],
    )
    .control(&[
        "lagging::a_guard_behind_a_follower_that_is_cut_off_is_lost_before_the_next_is_granted",
        "zookeeper_ensemble/follower::a_holder_that_trusts_its_session_is_one_of_two",
    ]),
    shown(
        "S13",
        "A process that was stopped for longer than its session finds its guard over first, and its token refused.",
        &["processes::a_process_that_was_stopped_knows_at_once_that_its_lock_is_lost"],
    )
    .control(&["processes::a_process_that_was_stopped_knows_at_once_that_its_lock_is_lost"]),
    shown(
        "S14",
        "A waiter whose session ends waits on in the next one, and is not granted by a node that is gone.",
        &[
            "sessions::a_waiter_outlives_its_session",
            "zookeeper_ensemble/sessions::all_sessions_expire_together",
        ],
    )
    .control(&["flaws::turn_after_a_departure"]),
    shown(
        "S15",
        "A restart of the server costs nobody the lock, and a waiter misses nobody who left meanwhile.",
        &[
            "sessions::a_guard_survives_a_restart_of_the_server",
            "sessions::a_waiter_wakes_after_a_restart_in_which_the_one_ahead_went",
            "sessions::a_waiter_without_connection_misses_no_hand_off",
            "zookeeper_ensemble/restarts::every_member_is_restarted_in_turn",
        ],
    ),
    shown(
        "S16",
        "Who loses its node to an operator is lost or takes a new place; who waits behind looks before it holds.",
        &[
            "sessions::a_lock_whose_node_an_operator_removes_is_lost",
            "sessions::a_waiter_whose_node_an_operator_removes_takes_a_new_place",
            "sessions::the_next_whose_node_is_removed_before_the_one_ahead_is_not_granted_by_it",
            "queue::a_waiter_waits_on_when_the_one_ahead_of_it_leaves",
            "simple::a_lock_whose_node_an_operator_removes_is_lost",
            "conformance::a_lock_taken_away_is_lost",
        ],
    )
    .control(&[
        "sessions::a_lock_whose_node_an_operator_removes_is_lost",
        "flaws::turn_after_a_departure",
        "flaws::loss",
    ])
    .note("until the next heartbeat the holder cannot know; that nobody removes nodes is an assumption"),
    shown(
        "S17",
        "What is lost stays lost when the session recovers, and its node is removed.",
        &[
            "sessions::a_guard_is_lost_while_the_server_stands_still_and_stays_lost",
            "states::a_guard_that_stays_cut_off_is_suspect_then_lost_and_stays_so",
            "simple::a_late_release_after_a_lapse_touches_no_other_owner",
        ],
    )
    .control(&["sessions::a_guard_is_lost_while_the_server_stands_still_and_stays_lost"]),
    shown(
        "S18",
        "Without a server everything ends in its time, and connections are tried for with pauses.",
        &[
            "outages::a_server_that_is_away_is_not_asked_again_and_again",
            "connecting::a_host_that_cannot_be_reached_is_unavailable",
            "zookeeper_ensemble/minority::without_a_majority_nothing_is_granted",
        ],
    ),
    shown(
        "S19",
        "Dropping guards and managers does not wait for a server that stands still.",
        &["outages::what_is_dropped_does_not_wait_for_a_server_that_stands_still"],
    ),
];

/// Whose turn it is.
const ORDER: &[Scenario] = &[
    shown(
        "S20",
        "Children with any other name are passed over: no panic, no error, no wait.",
        &[
            "names::strangers_in_the_directory_are_passed_over",
            "core/backend/zookeeper/recipe/order::strangers_are_passed_over",
            "core/backend/zookeeper/recipe/order::no_name_is_too_odd",
        ],
    ),
    shown(
        "S21",
        "Numbers are followed past their sign change, and near their end nobody is granted the lock.",
        &[
            "core/backend/zookeeper/recipe/order::the_counter_is_followed_past_its_sign_change",
            "core/backend/zookeeper/recipe/order::predecessors_are_a_chain_in_order_of_arrival",
            "core/backend/zookeeper/recipe/sequence::past_the_sign_change_nothing_is_left",
            "sequence::near_the_end_of_the_numbers_the_lock_is_not_granted",
            "sequence::a_node_found_again_is_refused_as_well",
        ],
    )
    .control(&["sequence::at_the_end_of_the_numbers_two_nodes_have_one_and_neither_gets_the_lock"]),
    shown(
        "S22",
        "A directory that goes at any moment is made again, and tokens rise although its numbers start anew.",
        &[
            "names::the_servers_remove_an_empty_directory",
            "names::a_directory_that_is_removed_again_and_again_is_made_again_and_again",
            "names::the_token_is_made_of_the_czxid_and_rises_when_the_directory_is_made_again",
        ],
    ),
    shown(
        "S23",
        "A node that goes between the look at the queue and the watch is not waited for.",
        &["queue::a_node_that_goes_before_it_is_watched_is_not_waited_for"],
    ),
    shown(
        "S24",
        "Two tasks of one session exclude each other.",
        &[
            "queue::two_tasks_of_one_session_exclude_each_other",
            "conformance::holders_never_overlap_under_contention",
        ],
    )
    .control(&["queue::two_tasks_of_one_session_exclude_each_other", "flaws::exclusion_under_contention"]),
];

/// Locks of other kinds.
const OTHER_KINDS: &[Scenario] = &[
    not("S25", "Between two writers a reader has its turn.", NO_SHARED_LOCKS),
    not("S26", "A writer that becomes a reader keeps a waiting writer waiting.", NO_SHARED_LOCKS),
    not("S27", "Readers without end do not starve a writer.", NO_SHARED_LOCKS),
    not("S28", "Whichever holder of a permit leaves, the next one has it.", NO_SEMAPHORES),
    not("S29", "Two limits for one semaphore are an error.", NO_SEMAPHORES),
    not("S30", "Locks of several keys never wait for each other in a circle.", NO_LOCKS_OF_SEVERAL_KEYS),
];

/// Clients in other languages.
const OTHER_CLIENTS: &[Scenario] = &[
    shown(
        "S31",
        "Curator, a kazoo with Curator's names and we exclude and wait for each other, in each order.",
        &[
            "zookeeper_interop/pairs::dlock_then_curator",
            "zookeeper_interop/pairs::curator_then_dlock",
            "zookeeper_interop/pairs::dlock_then_kazoo_named_as_curator",
            "zookeeper_interop/pairs::kazoo_named_as_curator_then_dlock",
            "zookeeper_interop/pairs::curator_then_kazoo_named_as_curator",
            "zookeeper_interop/pairs::kazoo_named_as_curator_then_curator",
            "zookeeper_interop/contention::under_one_lock_with_the_names_of_curator_no_count_is_lost",
            "zookeeper_interop/queue::turns_come_in_order_with_the_names_of_curator",
            "names::contenders_of_other_clients_are_waited_for",
        ],
    )
    .control(&["zookeeper_interop/contention::under_locks_apart_counts_are_lost"]),
    shown(
        "S32",
        "A kazoo that knows Curator's names and we exclude each other, in both orders.",
        &[
            "zookeeper_interop/pairs::dlock_then_kazoo_knowing_curator",
            "zookeeper_interop/pairs::kazoo_knowing_curator_then_dlock",
            "zookeeper_interop/pairs::dlock_as_kazoo_then_kazoo_knowing_curator",
            "zookeeper_interop/pairs::kazoo_knowing_curator_then_dlock_as_kazoo",
            "zookeeper_interop/contention::under_one_lock_with_names_of_their_own_no_count_is_lost",
        ],
    )
    .control(&["zookeeper_interop/contention::under_locks_apart_counts_are_lost"]),
    shown(
        "S33",
        "Curator's readers and writers are passed over, as its own lock passes them over, and are warned of once; \
         kazoo's exclude us.",
        &[
            "zookeeper_interop/names::dlock_waits_for_all_that_curator_or_kazoo_wait_for_in_either_dialect",
            "zookeeper_interop/names::curator_does_not_wait_for_kazoo",
            "zookeeper_interop/pairs::dlock_as_kazoo_then_kazoo_reading",
            "zookeeper_interop/pairs::kazoo_reading_then_dlock_as_kazoo",
            "zookeeper_interop/pairs::dlock_as_kazoo_then_kazoo_writing",
            "zookeeper_interop/pairs::kazoo_writing_then_dlock_as_kazoo",
            "traces::nodes_that_are_no_locks_are_warned_of_once",
        ],
    )
    .note(NO_SHARED_LOCKS),
];

/// Processes and runtimes that end.
const RUNTIME: &[Scenario] = &[
    shown(
        "S34",
        "A guard is dropped on a plain thread, and after its runtime has ended, without a panic.",
        &[
            "outages::a_guard_is_dropped_on_a_plain_thread_with_and_without_its_runtime",
            "runtimes::a_waiter_outlives_the_runtime_that_the_backend_was_built_in",
            "runtimes::a_guard_that_is_dropped_as_its_runtime_ends_frees_the_key_at_once",
            "conformance::a_guard_dropped_outside_a_runtime_frees_the_lock",
        ],
    ),
    shown(
        "S35",
        "The program's own manager works in one runtime after the other.",
        &[
            "outages::an_installed_manager_serves_one_runtime_after_the_other",
            "runtimes::the_session_outlives_every_runtime",
        ],
    ),
    shown(
        "S36",
        "When a process ends after its shutdown, its nodes are gone already.",
        &[
            "processes::a_process_that_ends_after_its_shutdown_leaves_no_node",
            "conformance::shutdown_flushes_releases_and_releases_what_is_held",
        ],
    )
    .control(&["processes::a_process_that_ends_after_its_shutdown_leaves_no_node", "flaws::shutdown"]),
    shown("S37", "A guard cannot be cloned.", &["core-tests/api::a_guard_cannot_be_cloned"]),
];

/// Many that wait in one process.
const HAND_OVER: &[Scenario] = &[
    shown(
        "S38",
        "Those that wait in one process share one place in the queue, and do not keep others from their turns.",
        &[
            "hand_over::a_hundred_waiters_of_one_process_are_one_in_the_queue",
            "hand_over::a_hundred_turns_of_one_process_take_few_places",
            "core/hand_over/tests::another_process_has_its_turn",
        ],
    )
    .control(&["hand_over::a_hundred_waiters_of_one_process_are_one_in_the_queue"]),
    shown(
        "S39",
        "Tokens rise over ten thousand grants, those of the servers and those inside a process.",
        &[
            "hand_over::tokens_rise_over_local_and_remote_grants",
            "core/hand_over/tests::tokens_rise_over_local_and_remote_grants",
            "conformance::tokens_rise_from_holder_to_holder",
        ],
    )
    .control(&["core/hand_over/tests::blocks_that_overlap_are_noticed", "flaws::token_order"]),
    shown(
        "S40",
        "When the first of them leaves with its request under way, the second inherits what comes of it.",
        &[
            "hand_over::the_next_inherits_the_request_of_the_first",
            "core/hand_over/tests::the_next_asks_on_for_who_is_dropped",
        ],
    ),
    shown(
        "S41",
        "The end of the session reaches all that hold by it, and those behind them hold by the next one.",
        &[
            "hand_over::the_end_of_a_session_reaches_all_its_holders",
            "core/hand_over/tests::a_lost_lease_goes_to_the_next_waiter",
        ],
    ),
];

/// What it costs.
const COST: &[Scenario] = &[
    shown(
        "S42",
        "A free lock costs one request, a release one, waking the next none; heartbeats are for all locks.",
        &[
            "cost::each_step_costs_these_requests",
            "cost::the_first_lock_of_a_key_costs_its_directory",
            "cost::a_hundred_locks_cost_the_heartbeats_of_one_session",
            "shared_transactions::many_locks_cost_what_one_does",
            "simple::a_free_lock_costs_one_request_and_a_release_another",
            "zookeeper_ensemble/flights::a_free_lock_takes_one_and_its_release_another",
        ],
    )
    .note("who is not the next one looks at the queue when woken, lest a departure ahead is taken for a turn: S6"),
    shown(
        "S43",
        "One release wakes one of two hundred that wait.",
        &["queue::one_release_wakes_one_of_two_hundred"],
    ),
    shown(
        "S44",
        "After ten thousand acquires that were dropped there are no more nodes, watches and memory than before.",
        &[
            "outages::ten_thousand_dropped_acquires_leave_nothing",
            "queue::cancelled_waiters_leave_neither_nodes_nor_watches",
        ],
    ),
];

/// The same once more by what goes wrong in the servers, the network and the settings.
const FAULTS: &[Scenario] = &[
    shown(
        "Z1",
        "A session that ends, of a holder, a waiter, or one whose request is under way.",
        &[
            "sessions::a_holder_that_is_cut_off_is_lost_before_the_next_is_granted",
            "simple::a_holder_that_is_cut_off_is_lost_before_the_next_is_granted",
            "states::a_guard_that_stays_cut_off_is_suspect_then_lost_and_stays_so",
            "processes::a_process_that_was_stopped_knows_at_once_that_its_lock_is_lost",
            "sessions::a_waiter_outlives_its_session",
            "lost_answers::a_node_of_another_session_is_not_adopted",
            "zookeeper_ensemble/sessions::all_sessions_expire_together",
        ],
    )
    .control(&[
        "zookeeper_ensemble/follower::a_holder_that_trusts_its_session_is_one_of_two",
        "lagging::a_guard_behind_a_follower_that_is_cut_off_is_lost_before_the_next_is_granted",
        "lost_answers::a_client_that_adopts_by_name_alone_holds_beside_another",
    ]),
    shown(
        "Z2",
        "A leader that is killed or stands still, a majority that is gone, and servers that are restarted.",
        &[
            "sessions::a_guard_survives_a_change_of_the_leader",
            "sessions::a_guard_survives_a_restart_of_the_server",
            "zookeeper_ensemble/leader::the_leader_is_killed_and_comes_back",
            "zookeeper_ensemble/leader::the_leader_stands_still_and_is_deposed",
            "zookeeper_ensemble/restarts::every_member_is_restarted_in_turn",
            "zookeeper_ensemble/minority::without_a_majority_nothing_is_granted",
        ],
    ),
    shown(
        "Z3",
        "An answer that is lost.",
        &[
            "lost_answers::a_waiter_finds_the_node_that_it_made",
            "lost_answers::a_try_that_failed_is_undone",
            "simple::a_waiter_finds_the_node_that_it_made",
            "simple::a_try_that_failed_is_undone",
            "zookeeper_ensemble/follower::a_node_whose_answer_was_lost_is_found_behind_a_follower_that_lags",
        ],
    ),
    shown(
        "Z4",
        "An acquire that is given up when the answer was lost.",
        &[
            "queue::a_request_that_comes_after_its_future_was_dropped_leaves_no_node",
            "lost_answers::a_try_that_failed_leaves_no_node_when_the_connection_is_back",
        ],
    ),
    shown(
        "Z5",
        "Watches that are lost with a connection, or come too late.",
        &[
            "queue::a_node_that_goes_before_it_is_watched_is_not_waited_for",
            "queue::a_thousand_waiters_survive_a_reconnect",
            "sessions::a_waiter_without_connection_misses_no_hand_off",
            "zookeeper_ensemble/follower::a_follower_that_lags_behind_costs_time_alone",
        ],
    ),
    shown(
        "Z6",
        "A node of a session that lives, which nobody remembers.",
        &["queue::a_dropped_create_leaves_its_node"],
    )
    .note("a control: what the client library leaves, and the tests of S5 look for"),
    shown(
        "Z7",
        "Somebody ahead who leaves without having been the first.",
        &["queue::a_waiter_waits_on_when_the_one_ahead_of_it_leaves"],
    ),
    shown(
        "Z8",
        "Nodes that an operator removes.",
        &[
            "sessions::a_lock_whose_node_an_operator_removes_is_lost",
            "sessions::a_waiter_whose_node_an_operator_removes_takes_a_new_place",
        ],
    )
    .control(&["sessions::a_lock_whose_node_an_operator_removes_is_lost"]),
    shown(
        "Z9",
        "The end of a directory's numbers.",
        &[
            "sequence::near_the_end_of_the_numbers_the_lock_is_not_granted",
            "sequence::a_node_found_again_is_refused_as_well",
        ],
    )
    .control(&["sequence::at_the_end_of_the_numbers_two_nodes_have_one_and_neither_gets_the_lock"]),
    shown(
        "Z10",
        "A directory that is removed before a node is made in it.",
        &[
            "names::the_servers_remove_an_empty_directory",
            "names::a_directory_that_is_removed_again_and_again_is_made_again_and_again",
        ],
    ),
    shown(
        "Z11",
        "As many watches as one packet cannot carry.",
        &["queue::a_thousand_waiters_survive_a_reconnect"],
    )
    .note("a queue of so many that the servers cannot list it, some 17,000, is not shown"),
    shown("Z12", "An account that lacks rights.", &["accounts::a_missing_right_is_named_and_leaves_nothing", "accounts::another_account_is_refused"])
        .note("quotas are warned of by the servers, and enforced only if those are told to"),
    shown(
        "Z13",
        "A server that is behind, or has no leader.",
        &[
            "lagging::a_guard_behind_a_follower_that_is_cut_off_is_lost_before_the_next_is_granted",
            "lagging::a_node_is_found_again_behind_a_follower_that_does_not_know_it_yet",
            "zookeeper_ensemble/follower::a_holder_behind_a_follower_that_is_cut_off_is_lost_before_the_next_is_granted",
            "zookeeper_ensemble/follower::a_node_whose_answer_was_lost_is_found_behind_a_follower_that_lags",
            "zookeeper_ensemble/follower::a_follower_that_lags_behind_costs_time_alone",
            "zookeeper_ensemble/minority::without_a_majority_nothing_is_granted",
        ],
    )
    .note("sessions that can only read are never asked for"),
    shown(
        "Z14",
        "A password that is shown.",
        &["connecting::secrets_are_not_shown", "zookeeper_tls::there_is_no_falling_back_to_plain_text"],
    )
    .note("without TLS it is sent in clear text, as the documentation says; that is not refused"),
    shown(
        "Z15",
        "A timeout that the servers cut.",
        &["sessions::a_guard_goes_by_the_timeout_that_the_servers_grant"],
    ),
];
