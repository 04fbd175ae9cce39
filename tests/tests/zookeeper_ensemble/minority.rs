//! Two of three are down.

use super::*;
use tokio::task::JoinSet;

/// S18, Z2, Z13, I10: nothing is granted, every client is told so in time, and all goes on when one server is back.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_granted() {
    let mut ensemble = ZooKeeperEnsemble::start();
    let clients = clients(&ensemble).await;
    let contention = Contention::start(&clients, &KEYS);
    contention.more_turns(30).await;
    let survivor = ensemble.leader();
    let others = [(survivor + 1) % 3, (survivor + 2) % 3];
    others.iter().for_each(|other| ensemble.kill(*other));
    until("the one that is left serves nobody", async || ensemble.server(survivor).mode().is_none()).await;
    all_are_refused_in_time(&clients).await;
    let dark = Moment::now();
    all_are_refused_in_time(&clients).await;
    let light = Moment::now();
    ensemble.restart(others[0]);
    contention.more_turns(30).await;
    ensemble.restart(others[1]);
    contention.more_turns(30).await;
    let history = contention.stop().await;
    history.check().unwrap();
    let begun = history.0.iter().filter_map(|section| section.valid).map(|(from, _)| from);
    assert_eq!(begun.filter(|from| (dark..light).contains(from)).count(), 0, "granted without a majority");
    end(Contention::default(), &ensemble, &clients).await;
}

/// All at once, with a key each, so that no other client is in the way.
async fn all_are_refused_in_time(clients: &[LockManager]) {
    let mut asking = JoinSet::new();
    for (number, locks) in clients.iter().enumerate() {
        asking.spawn(is_refused_in_time(locks.clone(), format!("dark:{number}")));
    }
    while let Some(refused) = asking.join_next().await {
        refused.unwrap();
    }
}

async fn is_refused_in_time(locks: LockManager, key: String) {
    const WAIT: Duration = Duration::from_secs(1);
    let asked = Moment::now();
    for refused in [
        soon("a try is answered", locks.lock(&key).try_acquire()).await.map(|_| ()),
        soon("a wait ends", locks.lock(&key).wait(WAIT).acquire()).await.map(|_| ()),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    // The try has the request timeout, which is as long.
    let took = Moment::now().since(asked);
    assert!(took < WAIT * 2 + Duration::from_secs(5), "{took:?}");
}
