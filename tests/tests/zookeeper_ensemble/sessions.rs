//! All sessions end at once.

use super::*;

/// S14, Z1: the clients lose their ways to the servers for longer than their sessions last, and get them back together.
#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_expire_together() {
    let ensemble = ZooKeeperEnsemble::start();
    let ways = [0, 1, 2].map(|index| Link::to(ensemble.server(index).address()));
    let hosts = ways.each_ref().map(|way| way.address().to_string()).join(",");
    let (mut clients, mut contention) = (Vec::new(), Contention::default());
    for number in 0..6 {
        let locks = client(&hosts).await;
        let key = format!("held:{number}");
        contention.keep(&key, locks.lock(&key).await.unwrap());
        KEYS.iter().for_each(|key| contention.add(&locks, key));
        clients.push(locks);
    }
    assert!(holds_locks(&ensemble), "lock nodes are seen where there are some");
    // One that is not cut off waits for what the others hold.
    let rival = client(&ensemble.hosts()).await;
    (0..6).for_each(|number| contention.add(&rival, &format!("held:{number}")));
    contention.more_turns(50).await;
    ways.iter().for_each(Link::close);
    until("the rival was granted all that was held", async || {
        (0..6).all(|number| contention.turns_on(&format!("held:{number}")) >= 2)
    })
    .await;
    ways.iter().for_each(Link::open);
    for locks in &clients {
        let again = soon("each works again", locks.lock("probe").wait(LIMIT).acquire()).await;
        again.unwrap().release().await.unwrap();
    }
    contention.more_turns(50).await;
    clients.push(rival);
    end(contention, &ensemble, &clients).await;
}
