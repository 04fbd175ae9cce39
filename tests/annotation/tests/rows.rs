//! What an annotated function must do, and which test shows it.
//!
//! A test is named as `file::function`, a program of dlock-messages as `fail/name`. The tests below check that all of
//! them are there, and that each of those programs stands here.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::path::PathBuf;

type Row = (&'static str, &'static [&'static str]);

/// What compiles and runs.
const FORMS: &[Row] = &[
    ("functions, methods, each receiver", &["forms/signatures::every_form_of_function_runs"]),
    (
        "results that borrow; lifetimes, generics, const generics, where clauses",
        &["forms/signatures::every_form_of_function_runs"],
    ),
    ("`Result<impl Trait, E>`, an alias of `Result`", &["forms/signatures::every_form_of_function_runs"]),
    ("an error that is no `From<LockError>`", &["options::map_err_makes_every_error"]),
    ("patterns as parameters", &["forms/signatures::every_form_of_function_runs"]),
    (
        "native async methods and those of async_trait",
        &["forms/signatures::every_form_of_function_runs", "behaviour::a_method_of_async_trait_is_locked"],
    ),
    (
        "`?`, early return, loops, bodies that never end",
        &[
            "forms/signatures::every_form_of_function_runs",
            "behaviour::the_lock_is_held_while_the_body_runs_and_free_when_the_function_returned",
        ],
    ),
    (
        "code that a `macro_rules` macro writes",
        &["forms/from_macro_rules::functions_that_a_macro_writes_run"],
    ),
    (
        "other attributes, on both sides",
        &[
            "forms/signatures::every_form_of_function_runs",
            "handlers::a_handler_is_locked_with_its_debug_attribute_above_and_below",
        ],
    ),
    (
        "dlock-core by another name",
        &["forms/renamed_crate::a_function_that_knows_the_crate_by_another_name_runs", "renamed::they_run"],
    ),
    ("edition 2021, and names that are none in later ones", &["renamed::they_run"]),
    (
        "names that mean something else, and no prelude",
        &[
            "forms/shadowed_names::a_function_among_shadowed_names_runs",
            "forms/no_prelude::a_function_in_a_module_without_prelude_runs",
        ],
    ),
    (
        "no warnings from generated code, and those of the user's own",
        &["lints::they_run", "fail/lints_fire_in_the_body", "fail/parameter_unused", "fail/guard_unused"],
    ),
    (
        "a future that can be sent if the body's can",
        &[
            "forms/signatures::every_form_of_function_runs",
            "options::a_detached_release_lets_the_output_be_of_one_thread",
            "fail/result_not_send",
        ],
    ),
    ("a future of bounded size", &["behaviour::the_future_is_not_much_larger_than_the_plain_one"]),
    (
        "the expansion is the one documented",
        &["expand::the_listing_on_the_reference_page_is_what_the_example_expands_to"],
    ),
];

/// What does not compile, and says why in its place.
const MISUSES: &[Row] = &[
    ("no key", &["fail/missing_key", "fail/guard_without_key"]),
    (
        "no async fn",
        &["fail/not_async", "fail/not_a_function", "fail/method_without_body", "fail/returns_future"],
    ),
    ("the attribute twice", &["fail/twice"]),
    (
        "a return type without an error for it",
        &[
            "fail/returns_no_result",
            "fail/returns_nothing",
            "fail/error_without_from",
            "fail/returns_impl_trait",
            "fail/map_err_returns_no_result",
        ],
    ),
    (
        "a placeholder that is none",
        &[
            "fail/unknown_placeholder",
            "fail/placeholder_without_parameters",
            "fail/placeholder_of_self_in_free_function",
            "fail/placeholder_without_display",
            "fail/placeholder_without_field",
            "fail/placeholder_without_method",
            "fail/placeholder_with_format",
            "fail/placeholder_with_expression",
            "fail/placeholder_with_argument",
            "fail/placeholder_empty",
            "fail/placeholders_not_separated",
            "fail/brace_unclosed",
            "fail/brace_unmatched",
        ],
    ),
    (
        "a key that is none",
        &[
            "fail/key_empty",
            "fail/key_with_space",
            "fail/key_with_control_character",
            "fail/key_too_long",
            "fail/key_is_a_number",
            "fail/key_after_options",
            "fail/key_second",
            "fail/key_given_twice",
            "fail/key_computed_is_a_string",
            "fail/key_computed_of_another_type",
            "fail/key_unknown_name_in_expression",
        ],
    ),
    (
        "a duration that is none",
        &[
            "fail/ttl_without_unit",
            "fail/ttl_with_wrong_unit",
            "fail/ttl_zero",
            "fail/ttl_too_short",
            "fail/ttl_too_long",
            "fail/max_hold_zero",
            "fail/wait_of_another_type",
        ],
    ),
    (
        "an option that is none",
        &[
            "fail/option_unknown_colour",
            "fail/option_unknown_timeout",
            "fail/option_unknown_lease",
            "fail/option_unknown_manager",
            "fail/option_unknown_name",
            "fail/option_twice",
            "fail/option_incomplete",
            "fail/option_without_comma",
            "fail/option_without_value",
            "fail/option_without_value_behind_sign",
        ],
    ),
    (
        "a value that the option does not take",
        &[
            "fail/on_lost_unknown",
            "fail/release_unknown",
            "fail/release_not_a_string",
            "fail/on_busy_of_another_type",
            "fail/map_err_of_another_error",
            "fail/map_err_not_a_function",
            "fail/locks_of_another_type",
            "fail/crate_not_a_path",
            "fail/crate_not_found",
            "fail/guard_not_a_name",
            "fail/guard_hides_a_parameter",
            "fail/guard_is_not_clone",
        ],
    ),
    (
        "a parameter that is used once more than it is there",
        &["fail/key_takes_a_parameter_away", "fail/map_err_uses_a_parameter_of_the_body"],
    ),
    ("what is to come", &["fail/list_of_keys_not_yet", "fail/shared_not_yet"]),
    (
        "several mistakes are all told, and nothing else",
        &[
            "fail/two_mistakes_are_both_told",
            "fail/mistakes_in_key_option_and_function",
            "fail/mistake_leaves_names_used",
        ],
    ),
    (
        "half-typed code gives its own error only",
        &["fail/body_half_typed", "fail/on_busy_and_map_err_half_typed", "fail/body_of_another_type"],
    ),
];

/// What happens at run time.
const BEHAVIOUR: &[Row] = &[
    (
        "the key is of escaped values of each kind",
        &[
            "behaviour::the_key_is_made_of_escaped_values",
            "behaviour::a_placeholder_is_a_parameter_a_field_a_member_or_a_method",
            "options::a_computed_key_is_a_key_or_text_or_a_result",
        ],
    ),
    (
        "different values never give one key",
        &[
            "behaviour::different_values_are_different_keys",
            "template::the_values_can_be_read_back_out_of_a_key",
        ],
    ),
    ("an empty value is refused", &["behaviour::an_empty_value_is_refused"]),
    (
        "a key that comes out too long is refused",
        &["behaviour::a_value_that_makes_the_key_too_long_is_refused"],
    ),
    ("the key is made once", &["behaviour::the_key_is_that_of_the_call"]),
    (
        "`on_busy` is for busy only",
        &[
            "options::on_busy_is_the_output_and_may_use_the_parameters",
            "options::on_busy_is_not_for_other_errors",
            "failing::on_busy_is_not_for_a_backend_that_is_away",
        ],
    ),
    ("`map_err` sees every error", &["options::map_err_makes_every_error"]),
    (
        "without the lock the body does not start",
        &["behaviour::the_body_does_not_run_without_the_lock_and_the_error_is_converted"],
    ),
    (
        "parameters end before the release",
        &[
            "behaviour::parameters_end_before_the_lock_is_released",
            "behaviour::parameters_end_in_the_order_of_the_plain_function",
        ],
    ),
    ("a release that fails replaces nothing", &["failing::a_release_that_fails_does_not_replace_the_output"]),
    ("a panic releases", &["behaviour::a_panic_releases"]),
    (
        "a call that is dropped leaves nothing",
        &[
            "behaviour::a_call_dropped_while_it_waits_leaves_the_queue",
            "behaviour::a_call_dropped_while_its_body_runs_releases",
            "failing::a_call_dropped_while_it_releases_leaves_no_grant",
        ],
    ),
    (
        "a lost lock ends the body, or not",
        &[
            "behaviour::a_lost_lock_drops_the_body_and_is_an_error",
            "behaviour::a_loss_that_is_known_when_the_body_ends_is_the_output",
            "options::a_body_that_blocks_past_its_lease_is_not_believed_unless_it_is_to_finish",
            "options::work_that_is_to_finish_does_and_a_warning_says_so",
        ],
    ),
    (
        "recursion is an error at once",
        &[
            "options::a_call_of_itself_with_its_key_is_an_error_at_once",
            "scope::only_the_same_key_of_the_same_manager_is_reentrant",
        ],
    ),
    ("calls that are joined take turns", &["behaviour::two_calls_joined_run_one_after_the_other"]),
    (
        "what is spawned inside waits",
        &["options::what_the_body_spawns_waits_for_the_lock", "scope::a_spawned_task_is_outside_and_waits"],
    ),
    (
        "which manager is asked",
        &[
            "options::the_manager_named_comes_before_the_one_around_and_that_before_the_installed",
            "installed::annotations_use_the_installed_manager",
        ],
    ),
    ("two keys taken crosswise do not wait for ever", &["options::keys_taken_crosswise_end_as_busy"]),
    (
        "a lock that is held too long is lost",
        &["options::a_body_is_dropped_when_it_has_held_its_lock_for_too_long"],
    ),
    ("durations reach the request", &["behaviour::ttl_and_wait_reach_the_request"]),
    ("an assertion knows the lock", &["options::an_assertion_knows_the_lock_that_is_held"]),
];

/// What a service meets, and what is decided for it: as in the layer where there is no reason for another answer.
const SITUATIONS: &[Row] = &[
    (
        "the caller goes while it waits: the queue is left",
        &["behaviour::a_call_dropped_while_it_waits_leaves_the_queue"],
    ),
    (
        "the caller goes while the body runs: the body is dropped, then the lock released",
        &["behaviour::a_call_dropped_while_its_body_runs_releases"],
    ),
    (
        "the caller goes while the lock is released: the release goes on",
        &["failing::a_call_dropped_while_it_releases_leaves_no_grant"],
    ),
    ("a panic: released, and nothing is poisoned", &["behaviour::a_panic_releases"]),
    (
        "lost: the body is dropped at its next await, and the error comes at once; or it goes on",
        &[
            "behaviour::a_lost_lock_drops_the_body_and_is_an_error",
            "failing::a_loss_is_told_while_the_release_is_stuck",
            "options::work_that_is_to_finish_does_and_a_warning_says_so",
        ],
    ),
    ("the backend is away: the body does not run", &["failing::on_busy_is_not_for_a_backend_that_is_away"]),
    (
        "values that users give: escaped, of bounded length, never empty",
        &[
            "behaviour::the_key_is_made_of_escaped_values",
            "behaviour::different_values_are_different_keys",
            "behaviour::a_value_that_makes_the_key_too_long_is_refused",
            "behaviour::an_empty_value_is_refused",
        ],
    ),
    (
        "the same lock twice: an error at once, also under the layer's lock; siblings take turns",
        &[
            "options::a_call_of_itself_with_its_key_is_an_error_at_once",
            "behaviour::two_calls_joined_run_one_after_the_other",
            "tower::an_annotated_function_does_not_wait_for_its_own_requests_lock",
        ],
    ),
    (
        "shutdown: who waits is told at once, who runs finishes and releases",
        &["behaviour::a_close_ends_waiting_requests_and_lets_running_ones_finish"],
    ),
    (
        "the way out: the release is waited for, or not",
        &[
            "behaviour::the_lock_is_held_while_the_body_runs_and_free_when_the_function_returned",
            "failing::a_call_dropped_while_it_releases_leaves_no_grant",
            "options::a_detached_release_lets_the_output_be_of_one_thread",
        ],
    ),
];

/// Where the tests of a file stand, from this crate.
fn file(name: &str) -> PathBuf {
    let path = match name {
        "template" | "scope" => format!("../../dlock-core/src/{name}.rs"),
        "expand" => "../../dlock-macros/src/expand.rs".to_owned(),
        "tower" => "../../dlock-tower/tests/options.rs".to_owned(),
        "renamed" => "../renamed/src/lib.rs".to_owned(),
        here => format!("tests/{here}.rs"),
    };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Where the programs of dlock-messages stand.
fn messages() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../messages/tests/ui")
}

fn rows() -> impl Iterator<Item = &'static Row> {
    [FORMS, MISUSES, BEHAVIOUR, SITUATIONS].into_iter().flatten()
}

fn exists(test: &str) -> bool {
    match test.split_once("::") {
        None => messages().join(test).with_extension("rs").is_file(),
        Some((name, function)) => {
            let declared = format!("fn {function}(");
            std::fs::read_to_string(file(name)).is_ok_and(|text| text.contains(&declared))
        }
    }
}

#[test]
fn every_test_that_is_named_is_there() {
    let missing = |row: &Row| row.1.iter().filter(|test| !exists(test)).copied().collect::<Vec<_>>();
    let missing: Vec<_> = rows().flat_map(missing).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(rows().all(|(_, shown_by)| !shown_by.is_empty()));
    assert!(!exists("behaviour::no_such_test") && !exists("fail/no_such_file"), "the check can fail");
}

#[test]
fn every_message_stands_in_the_table_and_has_a_text() {
    for entry in std::fs::read_dir(messages().join("fail")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let named = format!("fail/{stem}");
        assert!(rows().any(|(_, shown_by)| shown_by.contains(&named.as_str())), "{named}");
        assert!(path.with_extension("stderr").is_file() && path.with_extension("rs").is_file(), "{named}");
    }
}
