//! The conformance suite on the embedded backend, and on backends that are broken on purpose.

mod embedded {
    use dlock_core::EmbeddedBackend;
    use dlock_core::testing::Fixture;

    fn fixture() -> Fixture {
        let store = EmbeddedBackend::new();
        Fixture::new(move || std::future::ready(store.clone()))
    }

    dlock_core::conformance_suite!(fixture());
    dlock_core::conformance_suite!(fixture(), shares);
}

mod embedded_in_a_namespace {
    use dlock_core::EmbeddedBackend;
    use dlock_core::testing::Fixture;

    fn fixture() -> Fixture {
        let store = EmbeddedBackend::new();
        Fixture::new(move || std::future::ready(store.clone())).in_namespace("shop:")
    }

    dlock_core::conformance_suite!(fixture());
    dlock_core::conformance_suite!(fixture(), shares);
}

/// Each flaw is caught by the case that stands for the promise it breaks.
mod flaws_are_caught {
    use dlock_core::testing::flawed::{Flaw, FlawedBackend};
    use dlock_core::testing::{Fixture, conformance, shares};
    use std::time::Duration;

    fn fixture(flaw: Flaw) -> Fixture {
        let store = FlawedBackend::new(flaw);
        Fixture::new(move || std::future::ready(store.clone())).patience(Duration::from_secs(3))
    }

    macro_rules! catches {
        ($module:ident; $($test:ident: $flaw:ident by $case:ident;)+) => {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let outcome = tokio::spawn(async { $module::$case(&fixture(Flaw::$flaw)).await }).await;
                assert!(outcome.is_err_and(|error| error.is_panic()), "the flaw was not noticed");
            }
        )+};
    }

    catches! {
        conformance;
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

    catches! {
        shares;
        readers: PartsAreAll by readers_hold_together;
        readers_tokens: RepeatsTokens by readers_hold_together;
        locks_beside_parts: PartsStandApart by a_lock_stays_out_while_parts_are_held;
        readers_that_pass_a_writer: LetsSmallOnesPass by a_waiting_writer_stops_later_readers;
        tries_that_pass_a_writer: LetsTriesPass by a_waiting_writer_stops_later_readers;
        groups: PartsAreAll by a_release_admits_those_that_fit_and_no_other;
        groups_that_are_passed: LetsSmallOnesPass by a_release_admits_those_that_fit_and_no_other;
        token_order_of_parts: RepeatsTokens by tokens_rise_over_parts_and_all;
        permits: ForgetsWeights by no_more_permits_are_held_than_there_are;
        permits_under_contention: ForgetsWeights by holders_always_fit_together_under_contention;
        shares_under_contention: GrantsEverybody by holders_always_fit_together_under_contention;
        several_permits: LetsSmallOnesPass by a_waiter_for_several_permits_is_not_passed;
        numbers: MixesNumbers by another_number_of_permits_waits_for_the_former_to_drain;
        death_of_a_part: KeepsDeadParts by a_dead_part_costs_no_more_than_its_own_lease;
        death_of_a_part_for_ever: NeverExpires by a_dead_part_costs_no_more_than_its_own_lease;
        death_of_a_reader: KeepsDeadParts by a_dead_reader_is_not_kept_by_a_live_one;
        renewal_of_parts: NeverRenewsParts by a_part_is_renewed_while_its_guard_lives;
        renewal_of_released_parts: RenewsForAnybody by a_released_part_is_not_renewed_into_being;
        owner_only_release_of_parts: ReleasesForAnybody by only_the_owner_of_a_part_releases_it;
        release_of_one_part: ReleasesAllParts by only_the_owner_of_a_part_releases_it;
        idempotence_of_parts: ForgetsOwners by an_owner_of_a_part_that_asks_again_gets_the_same_grant;
        drop_of_parts: NeverReleases by parts_that_are_dropped_leave_nothing;
        drop_of_waiters_for_parts: KeepsWaiters by parts_that_are_dropped_leave_nothing;
        cancellation_of_parts: NeverReleases by a_part_dropped_at_any_await_leaves_nothing;
        downgrade: DowngradesInTwoSteps by a_downgrade_lets_no_queued_writer_in;
        upgrade: UpgradesAnybody by an_upgrade_is_for_a_reader_that_is_alone;
        repeated_exchange: ForgetsExchanges by an_exchange_that_is_repeated_gives_the_same_grant;
        cancellation_of_an_exchange: NeverReleases by an_exchange_dropped_at_any_await_leaves_nothing;
        inspection_of_shares: HidesShares by an_inspection_tells_the_shares;
        taking_a_part_away: TakesFromAnybody by a_part_is_taken_away_from_its_holder_alone;
        taking_a_part_away_at_all: TakesNothing by a_part_is_taken_away_from_its_holder_alone;
        taking_a_part_away_too_soon: OpensTooSoon by a_part_taken_away_stays_closed_until_its_guard_is_over;
        list_of_parts: PartsStandApart by a_list_names_a_key_that_is_held_in_parts;
        parts_held_too_long: NeverExpires by a_part_that_is_held_too_long_is_lost_alone;
        guards_of_all_kinds: PartsStandApart by guards_of_all_kinds_fit_together;
        promise_of_shares: DeniesItsShares by shares_are_promised_where_they_are_kept;
    }
}
