//! The conformance suite on the embedded backend, and on backends that are broken on purpose.

mod embedded {
    use dlock_core::EmbeddedBackend;
    use dlock_core::testing::Fixture;

    fn fixture() -> Fixture {
        let store = EmbeddedBackend::new();
        Fixture::new(move || std::future::ready(store.clone()))
    }

    dlock_core::conformance_suite!(fixture());
}

mod embedded_in_a_namespace {
    use dlock_core::EmbeddedBackend;
    use dlock_core::testing::Fixture;

    fn fixture() -> Fixture {
        let store = EmbeddedBackend::new();
        Fixture::new(move || std::future::ready(store.clone())).in_namespace("shop:")
    }

    dlock_core::conformance_suite!(fixture());
}

/// Each flaw is caught by the case that stands for the promise it breaks.
mod flaws_are_caught {
    use dlock_core::testing::flawed::{Flaw, FlawedBackend};
    use dlock_core::testing::{Fixture, conformance};
    use std::time::Duration;

    fn fixture(flaw: Flaw) -> Fixture {
        let store = FlawedBackend::new(flaw);
        Fixture::new(move || std::future::ready(store.clone())).patience(Duration::from_secs(3))
    }

    macro_rules! catches {
        ($($test:ident: $flaw:ident by $case:ident;)+) => {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let outcome = tokio::spawn(async { conformance::$case(&fixture(Flaw::$flaw)).await }).await;
                assert!(outcome.is_err_and(|error| error.is_panic()), "the flaw was not noticed");
            }
        )+};
    }

    catches! {
        exclusion: GrantsEverybody by a_held_lock_is_refused_to_everybody;
        exclusion_under_contention: GrantsEverybody by holders_never_overlap_under_contention;
        exclusion_at_once: GrantsEverybody by what_is_answered_at_once_is_an_answer;
        token_order: RepeatsTokens by tokens_rise_from_holder_to_holder;
        token_order_past_a_death: RepeatsTokens by tokens_rise_past_a_dead_holder;
        owner_only_release: ReleasesForAnybody by only_the_owner_releases;
        owner_only_renewal: RenewsForAnybody by only_the_owner_renews;
        renewal_of_nothing: RenewsForAnybody by a_released_lock_is_not_renewed_into_being;
        loss: RenewsForAnybody by a_lock_taken_away_is_lost;
        idempotence: ForgetsOwners by an_owner_that_asks_again_gets_the_same_grant;
        order: ServesTheLastFirst by waiters_are_served_in_order_of_arrival;
        order_between_processes: ServesTheLastFirst by waiters_of_several_processes_are_served_in_order_of_arrival;
        order_after_a_departure: ServesTheLastFirst by a_waiter_that_leaves_keeps_the_others_in_order;
        turn_after_a_departure: MistakesDepartures by a_waiter_that_leaves_keeps_the_others_in_order;
        no_barging: LetsTriesPass by a_try_does_not_pass_the_queue;
        drop_releases: NeverReleases by a_dropped_guard_frees_the_lock;
        drop_outside_a_runtime_releases: NeverReleases by a_guard_dropped_outside_a_runtime_frees_the_lock;
        shutdown: NeverReleases by shutdown_flushes_releases_and_releases_what_is_held;
        cancellation: KeepsWaiters by an_acquire_dropped_while_waiting_leaves_nothing;
        cancellation_anywhere: NeverReleases by an_acquire_dropped_at_any_await_leaves_nothing;
        ended_wait: KeepsWaiters by a_wait_that_ends_is_busy_and_leaves_nothing;
        expiry: NeverExpires by a_dead_holder_costs_no_more_than_its_lease;
        held_too_long: OutlivesLeases by a_guard_that_is_held_too_long_is_lost_and_its_lock_goes_on;
        held_too_long_for_ever: NeverExpires by a_guard_that_is_held_too_long_is_lost_and_its_lock_goes_on;
        trust: DoubtsForEver by a_guard_whose_renewal_fails_is_suspect_until_one_succeeds;
        blocks_of_tokens: PromisesTokens by a_block_of_tokens_is_promised_where_grants_have_one;
        promise_of_a_queue: DeniesItsQueue by a_queue_that_is_kept_is_promised;
        keys: MixesKeysUp by odd_keys_are_locks_of_their_own;
        namespaces: ForgetsNamespaces by a_key_of_two_namespaces_is_two_locks;
        inspection: HidesHolders by an_inspection_names_the_holder;
        inspection_of_waiters: NamesTheLastFirst by an_inspection_names_the_waiters_in_order;
        busy: HidesHolders by a_wait_that_ends_says_who_held_it;
        list: ListsEverything by a_list_names_the_locks_that_are_held;
        list_of_what_is_free: NeverReleases by a_list_names_the_locks_that_are_held;
        taking_away: OpensTooSoon by a_lock_taken_away_stays_closed_until_its_guard_is_over;
        taking_away_at_all: TakesNothing by a_lock_taken_away_now_is_the_next_waiter_s;
        taking_away_by_token: TakesFromAnybody by a_lock_is_taken_away_from_the_holder_of_the_token_alone;
    }
}
