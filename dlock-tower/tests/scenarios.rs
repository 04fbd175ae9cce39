//! What a layer can meet, and the tests that show what then happens. Each named test must be there.

/// The name of a situation, and of its tests, each with the file it is in.
type Scenario = (&'static str, &'static [&'static str]);

const SCENARIOS: &[Scenario] = &[
    // Clients.
    (
        "the client closes while the handler runs",
        &["axum::a_client_that_leaves_while_the_handler_runs_leaves_nothing"],
    ),
    ("the client closes its half", &["sockets::one_that_closes_its_half_has_its_handler_dropped"]),
    (
        "the client pipelined, then closes",
        &["sockets::one_that_pipelined_a_request_holds_until_the_handler_ends"],
    ),
    (
        "the body is unread, the client closes",
        &["sockets::one_whose_body_is_not_read_holds_until_the_handler_ends"],
    ),
    (
        "the body is being read, the client closes",
        &["sockets::one_whose_body_is_being_read_has_its_handler_dropped"],
    ),
    (
        "a slow upload",
        &[
            "sockets::a_slow_upload_holds_the_lock_against_others",
            "sockets::a_body_read_first_does_not",
            "options::a_slow_upload_does_not_hold_the_lock",
            "options::without_it_a_slow_upload_does",
        ],
    ),
    (
        "a waiter leaves",
        &[
            "axum::a_client_that_leaves_while_it_waits_leaves_the_queue",
            "service::a_future_dropped_while_it_waits_leaves_the_queue",
        ],
    ),
    (
        "the handler panics",
        &[
            "axum::a_handler_that_panics_lets_go",
            "service::a_panic_of_the_inner_service_releases",
            "sockets::a_panic_is_answered_by_the_layer_that_catches_it",
        ],
    ),
    ("a timeout outside", &["sockets::a_timeout_outside_lets_go"]),
    // Bodies.
    (
        "a streamed body",
        &[
            "axum::a_streamed_body_holds_until_its_end",
            "service::a_streamed_body_holds_until_its_end",
            "service::a_layer_can_hold_until_the_head_only",
        ],
    ),
    (
        "a body in one piece",
        &[
            "axum::a_body_in_one_piece_lets_go_however_slowly_the_client_reads",
            "service::a_body_releases_with_its_last_frame_even_if_its_end_is_not_polled",
        ],
    ),
    (
        "a stream that nobody reads",
        &[
            "sockets::an_unread_stream_holds_until_the_client_leaves",
            "sockets::max_hold_ends_an_unread_stream",
        ],
    ),
    (
        "HTTP/2 with a closed window",
        &[
            "sockets::over_http2_a_body_in_one_piece_lets_go_even_if_it_is_not_read",
            "sockets::over_http2_a_stream_holds_until_it_is_reset",
        ],
    ),
    (
        "no body: HEAD, 204",
        &[
            "axum::the_answer_to_head_lets_go",
            "sockets::an_answer_without_a_body_lets_go",
            "service::an_empty_body_does_not_hold",
        ],
    ),
    ("a body fails", &["service::a_body_that_fails_releases_and_passes_its_error"]),
    (
        "a body is dropped",
        &[
            "service::a_body_that_is_dropped_releases",
            "axum::a_client_that_leaves_during_the_body_leaves_nothing",
        ],
    ),
    (
        "a WebSocket",
        &[
            "sockets::a_websocket_lives_on_without_the_lock",
            "sockets::a_websocket_that_keeps_the_guard_keeps_the_lock",
        ],
    ),
    ("server-sent events", &["sockets::server_sent_events_hold_until_the_client_leaves"]),
    (
        "work that outlives the response",
        &[
            "axum::work_that_outlives_the_response_can_keep_the_lock",
            "service::a_view_does_not_keep_the_lock_and_its_guard_does",
            "options::code_that_keeps_the_guard_is_not_bound_by_it",
        ],
    ),
    // Nesting.
    (
        "one lock twice on a request",
        &[
            "axum::the_same_layer_twice_locks_once",
            "service::a_lock_that_the_request_has_is_not_asked_for_again",
            "service::a_lock_that_is_over_does_not_count",
            "options::an_annotated_function_does_not_wait_for_its_own_requests_lock",
            "options::a_body_does_not_wait_for_its_own_requests_lock",
            "options::a_task_that_the_handler_spawns_waits_as_any_other",
        ],
    ),
    (
        "two locks on a request",
        &[
            "sockets::two_layers_of_two_keys_take_both",
            "service::the_same_key_of_another_manager_is_another_lock",
        ],
    ),
    // Readiness.
    (
        "always ready, without the inner service",
        &[
            "contract::it_is_ready_while_the_inner_service_is_not",
            "service::it_is_ready_without_asking_the_inner_service",
        ],
    ),
    (
        "the inner service is readied after the grant, on the instance that is called",
        &[
            "contract::the_inner_service_is_readied_under_the_lock",
            "contract::each_of_many_calls_is_of_an_instance_that_was_readied",
            "service::the_instance_that_is_called_was_readied_each_time",
            "contract::a_twin_that_calls_a_clone_it_did_not_ready_is_noticed",
        ],
    ),
    (
        "the readiness fails",
        &[
            "contract::an_error_of_the_readiness_is_returned_and_the_lock_released",
            "service::an_error_of_the_readiness_passes_and_releases",
        ],
    ),
    ("a waiter beside an inner limit", &["service::a_waiter_takes_no_room_from_requests_for_other_keys"]),
    (
        "clones",
        &[
            "contract::clones_exclude_each_other_and_without_the_layer_they_do_not",
            "service::a_clone_excludes_a_clone",
        ],
    ),
    (
        "dropped early",
        &[
            "contract::dropped_between_ready_and_call_nothing_was_asked",
            "service::a_future_dropped_before_it_is_polled_asks_nothing",
        ],
    ),
    ("the inner service fails", &["service::an_error_of_the_inner_service_passes_and_releases"]),
    (
        "Buffer, ConcurrencyLimit, LoadShed on either side",
        &[
            "contract::a_buffer_outside_passes_requests_on",
            "contract::a_buffer_inside_has_a_slot_reserved_for_the_call",
            "contract::a_limit_outside_counts_waiting_requests",
            "contract::load_shed_outside_sheds_nothing_for_a_busy_lock",
            "contract::load_shed_inside_sheds_and_the_lock_is_released",
        ],
    ),
    ("a handler that is not Send", &["service::a_handler_need_not_be_sendable"]),
    // Losing.
    (
        "lost before the handler begins",
        &[
            "service::a_lock_lost_before_the_inner_service_is_ready_is_answered_as_unavailable",
            "options::a_lock_lost_before_the_call_is_not_seen_by_a_handler_that_goes_on_without",
        ],
    ),
    (
        "lost before the head",
        &[
            "service::a_lock_lost_while_the_handler_runs_drops_it_and_is_answered_as_lost",
            "service::a_handler_that_is_done_after_the_loss_is_not_believed",
            "service::the_inner_future_is_dropped_before_the_lock_is_released",
        ],
    ),
    ("lost at the head", &["options::a_lock_lost_by_the_time_the_handler_returns_is_answered_as_lost"]),
    ("lost after the head", &["service::a_lock_lost_after_the_head_ends_the_body_with_an_error"]),
    (
        "lost, told to finish",
        &[
            "options::a_layer_told_to_finish_sends_the_answer_all_the_same",
            "options::a_body_told_to_finish_is_sent_to_its_end",
        ],
    ),
    (
        "blocked past the lease",
        &[
            "options::a_handler_that_blocks_past_its_lease_is_answered_as_lost",
            "options::a_body_that_blocks_past_its_lease_ends_with_an_error",
        ],
    ),
    ("lost, work elsewhere", &["service::work_that_the_handler_started_elsewhere_can_wait_for_the_loss"]),
    (
        "held too long",
        &[
            "options::a_handler_that_hangs_is_dropped_and_answered_as_lost",
            "options::a_stream_that_does_not_end_is_cut_off",
            "options::a_layer_told_to_finish_gives_the_lock_up_and_says_so_to_the_handler",
            "options::without_a_limit_there_is_none",
        ],
    ),
    // Runtimes.
    (
        "no runtime, or one without timers",
        &[
            "runtimes::a_request_waits_for_its_turn_without_a_runtime",
            "runtimes::a_request_waits_for_its_turn_in_a_runtime_without_timers",
            "runtimes::a_request_does_not_give_up_early_in_a_runtime_whose_time_is_paused",
            "runtimes::a_body_that_waits_is_polled_without_a_runtime",
            "runtimes::max_hold_ends_a_body_without_a_runtime_and_in_one_without_timers",
            "runtimes::max_hold_frees_the_lock_of_a_body_that_is_not_polled",
        ],
    ),
    // The backend and the manager.
    (
        "the backend is out of reach",
        &[
            "axum::a_backend_that_fails_is_unavailable",
            "service::a_backend_that_fails_is_answered_by_whether_trying_again_helps",
            "options::a_layer_told_to_proceed_handles_the_request_without_a_lock",
            "options::every_other_failure_is_refused_all_the_same",
        ],
    ),
    (
        "the server shuts down",
        &[
            "sockets::a_server_that_shuts_down_sends_waiters_away_and_lets_holders_finish",
            "axum::a_closed_manager_is_unavailable_also_to_waiting_requests",
        ],
    ),
    (
        "many on one key",
        &[
            "options::those_beyond_are_answered_at_once_and_not_queued",
            "options::a_waiter_that_leaves_or_is_served_makes_room",
            "options::a_request_that_does_not_wait_is_not_counted",
            "options::waiters_are_served_in_order",
        ],
    ),
    // Keys.
    (
        "path parameters",
        &[
            "axum::a_path_parameter_is_decoded_and_then_escaped",
            "axum::the_parameters_of_nested_routers_are_all_there",
            "sockets::the_path_parameters_are_there_for_a_layer_on_the_router",
        ],
    ),
    (
        "an unknown path",
        &[
            "axum::a_layer_on_routes_leaves_unknown_paths_alone",
            "sockets::a_layer_on_the_router_also_gets_what_no_route_matches",
        ],
    ),
    (
        "odd bytes in a key",
        &[
            "sockets::values_that_are_no_text_or_too_long_are_the_clients_fault",
            "sockets::braces_and_line_ends_cannot_leave_their_part",
            "key::no_value_can_pass_for_another_part",
        ],
    ),
    (
        "one path in two spellings",
        &[
            "axum::two_spellings_of_one_path_exclude_each_other",
            "axum::spellings_of_one_path_are_one_key",
            "path::two_paths_are_one_text_exactly_if_they_are_one_resource",
            "path::a_text_has_one_form_in_every_spelling",
            "path::a_form_is_its_own_form",
        ],
    ),
    (
        "two paths that look alike",
        &[
            "axum::paths_that_a_router_tells_apart_are_different_keys",
            "path::escapes_are_decoded_but_not_those_of_separators_and_percent_signs",
            "path::a_percent_sign_without_two_digits_stands_for_itself",
            "path::empty_segments_do_not_count",
        ],
    ),
    (
        "a path without one meaning",
        &[
            "axum::a_path_that_is_no_text_or_has_dot_segments_is_refused",
            "path::a_path_without_one_meaning_is_refused",
            "path::every_path_of_text_without_dot_segments_has_a_form",
            "key::a_uri_without_a_path_is_refused_or_the_root",
        ],
    ),
    (
        "nested routers, and the path",
        &[
            "axum::the_path_has_the_prefix_that_nest_cuts_off",
            "axum::layers_on_both_sides_of_nest_read_one_key_from_the_path",
            "axum::a_path_that_another_layer_has_rewritten_counts_as_rewritten",
        ],
    ),
    (
        "one value in two spellings",
        &[
            "axum::two_spellings_of_one_number_exclude_each_other",
            "axum::a_parameter_that_cannot_be_parsed_is_the_clients_fault",
            "axum::a_parameter_is_the_text_that_the_handler_gets",
            "key::a_parsed_part_is_one_key_for_one_value",
            "key::head_is_get_and_methods_have_upper_and_lower_case",
            "key::blanks_around_a_headers_value_do_not_count",
            "sockets::blanks_around_a_header_do_not_count_over_http1_and_http2",
        ],
    ),
    (
        "the layer and an annotation on one order",
        &["axum::the_layer_and_an_annotation_exclude_each_other_however_an_order_is_spelled"],
    ),
    (
        "two path parameters of one name",
        &[
            "axum::a_name_of_two_parameters_is_the_programs_fault",
            "axum::the_fault_of_a_route_names_the_parameter",
        ],
    ),
    ("two tenants, authentication outside", &["axum::an_extension_of_an_outer_layer_tells_tenants_apart"]),
    ("a missing header", &["axum::a_header_makes_the_key_and_must_be_there"]),
    ("a missing path parameter", &["axum::a_route_without_the_path_parameter_is_the_programs_fault"]),
    ("GET and POST", &["sockets::a_route_is_locked_for_every_method"]),
    // Answers.
    (
        "answers, and when to try again",
        &[
            "rejection::both_protocols_say_the_same",
            "rejection::retry_after_is_there_exactly_if_the_handler_did_not_run_and_trying_again_helps",
            "rejection::each_kind_has_its_answer",
            "options::a_grpc_request_is_answered_in_its_own_way",
            "options::the_layer_answers_as_it_was_told_whatever_was_asked",
        ],
    ),
    (
        "no key in an answer",
        &[
            "axum::no_answer_repeats_the_key",
            "axum::no_rejection_of_a_handler_repeats_the_key",
            "rejection::the_answer_is_a_problem_without_the_key",
        ],
    ),
    // Other stacks.
    ("tonic: on a server", &["compatibility::a_layer_on_a_server_of_tonic"]),
    ("tonic: on a service", &["compatibility::a_layer_on_one_service_of_tonic"]),
    ("tonic: on a client", &["compatibility::a_layer_on_a_client_of_tonic"]),
    ("hyper without a router", &["compatibility::hyper_without_a_router"]),
    ("the cost", &["allocations::the_layer_asks_for_no_memory_beyond_key_guard_and_view"]),
];

const FILES: &[(&str, &str)] = &[
    ("allocations", include_str!("allocations.rs")),
    ("axum", include_str!("axum.rs")),
    ("compatibility", include_str!("compatibility.rs")),
    ("contract", include_str!("contract.rs")),
    ("key", include_str!("../src/key.rs")),
    ("options", include_str!("options.rs")),
    ("path", include_str!("../src/path.rs")),
    ("rejection", include_str!("../src/rejection.rs")),
    ("runtimes", include_str!("runtimes.rs")),
    ("service", include_str!("service.rs")),
    ("sockets", include_str!("sockets.rs")),
];

/// Whether `test` is a function of its file that is marked as a test.
fn is_there(test: &str) -> bool {
    let Some((file, name)) = test.split_once("::") else { return false };
    let text = FILES.iter().find(|(found, _)| *found == file).map_or("", |(_, text)| *text);
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.windows(2).any(|pair| {
        let [mark, head] = pair else { return false };
        let function = head.strip_prefix("async ").unwrap_or(head).strip_prefix("fn ").unwrap_or_default();
        (*mark == "#[test]" || mark.starts_with("#[tokio::test")) && function.split('(').next() == Some(name)
    })
}

#[test]
fn each_scenario_has_its_tests() {
    let missing: Vec<_> =
        SCENARIOS.iter().flat_map(|(_, tests)| *tests).filter(|test| !is_there(test)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(SCENARIOS.iter().all(|(_, tests)| !tests.is_empty()));
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    for test in ["service::not_there", "nowhere::a_clone_excludes_a_clone", "service::hello", "options::"] {
        assert!(!is_there(test), "{test}");
    }
}
