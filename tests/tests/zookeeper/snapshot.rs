//! What a ZooKeeper server is made to start from: a snapshot with a lock's directory whose counter stands anywhere.

use dlock_tests::ZooKeeperServer;
use std::fs;

/// Restarts `server` with nothing in it but the directory `/locks/k`, whose next node gets the number `next`.
pub(super) fn restart_with_counter(server: &mut ZooKeeperServer, next: i32) {
    server.kill();
    let directory = server.directory().join("data/version-2");
    fs::remove_dir_all(&directory).unwrap();
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join(format!("snapshot.{ZXID:x}")), snapshot(next)).unwrap();
    server.restart();
}

const ZXID: i64 = 0x1000;

/// The format of `FileSnap`: a header, the sessions, the tree, and twice a checksum.
fn snapshot(next: i32) -> Vec<u8> {
    let header = [&b"ZKSN"[..], &2_i32.to_be_bytes(), &(-1_i64).to_be_bytes()].concat();
    let (sessions, access_lists) = (0_i32.to_be_bytes(), 0_i32.to_be_bytes());
    let mut file = [&header[..], &sessions, &access_lists].concat();
    for path in ["", "/zookeeper", "/zookeeper/quota", "/locks"] {
        file.extend(node(path, 0));
    }
    file.extend(node("/locks/k", next));
    file.extend(text("/"));
    let checksum = adler32(&file);
    file.extend(i64::from(checksum).to_be_bytes());
    file.extend(text("/"));
    file
}

fn node(path: &str, cversion: i32) -> Vec<u8> {
    let (no_data, anybody) = (0_i32.to_be_bytes(), (-1_i64).to_be_bytes());
    let czxid_mzxid_ctime_mtime = [1_i64.to_be_bytes(); 4].concat();
    let (version, aversion) = (0_i32.to_be_bytes(), 0_i32.to_be_bytes());
    let (persistent, pzxid) = (0_i64.to_be_bytes(), 1_i64.to_be_bytes());
    [
        &text(path)[..],
        &no_data,
        &anybody,
        &czxid_mzxid_ctime_mtime,
        &version,
        &cversion.to_be_bytes(),
        &aversion,
        &persistent,
        &pzxid,
    ]
    .concat()
}

fn text(value: &str) -> Vec<u8> {
    [&i32::try_from(value.len()).unwrap().to_be_bytes(), value.as_bytes()].concat()
}

fn adler32(bytes: &[u8]) -> u32 {
    let (low, high) = bytes.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}
