//! All members are restarted, one after the other.

use super::*;

/// S15, Z2: as an upgrade does it.
#[tokio::test(flavor = "multi_thread")]
async fn every_member_is_restarted_in_turn() {
    let mut ensemble = ZooKeeperEnsemble::start();
    let clients = clients(&ensemble).await;
    let contention = Contention::start(&clients, &KEYS);
    for index in 0..3 {
        contention.more_turns(30).await;
        ensemble.kill(index);
        contention.more_turns(30).await;
        ensemble.restart(index);
    }
    contention.more_turns(30).await;
    end(contention, &ensemble, &clients).await;
}
