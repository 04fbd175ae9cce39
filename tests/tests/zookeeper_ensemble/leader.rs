//! The leader dies.

use super::*;

/// Z2: its followers elect another leader, and it comes back as a follower.
#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_killed_and_comes_back() {
    let mut ensemble = ZooKeeperEnsemble::start();
    let clients = clients(&ensemble).await;
    let contention = Contention::start(&clients, &KEYS);
    contention.more_turns(50).await;
    let first = ensemble.leader();
    ensemble.kill(first);
    assert_ne!(ensemble.leader(), first);
    contention.more_turns(50).await;
    ensemble.restart(first);
    let back =
        soon("its own client is served again", clients[first].lock("probe").wait(LIMIT).acquire()).await;
    back.unwrap().release().await.unwrap();
    contention.more_turns(50).await;
    end(contention, &ensemble, &clients).await;
}

/// Z2: a leader that stands still is replaced, and learns of it when it goes on. What it answers then is old.
#[tokio::test(flavor = "multi_thread")]
async fn the_leader_stands_still_and_is_deposed() {
    let mut ensemble = ZooKeeperEnsemble::start();
    let clients = clients(&ensemble).await;
    let first = ensemble.leader();
    let mut contention = Contention::start(&clients, &KEYS);
    contention.keep("held", clients[first].lock("held").await.unwrap());
    for locks in &clients {
        contention.add(locks, "held");
    }
    contention.more_turns(50).await;
    ensemble.pause(first);
    assert_ne!(ensemble.leader(), first);
    until("the lock of its client is granted again", async || contention.turns_on("held") > 5).await;
    ensemble.resume(first);
    contention.more_turns(50).await;
    end(contention, &ensemble, &clients).await;
}
