//! What `INFO replication` says, once for all who wait for it.

/// Whether the server that says this takes writes.
pub(super) fn is_primary(info: &str) -> bool {
    field(info, "role") == Some("master")
}

/// Whether the server that says this follows its primary and has got all data of the beginning.
pub(super) fn follows(info: &str) -> bool {
    field(info, "master_link_status") == Some("up")
}

/// Whether the primary that says this has the replica on `port` among those that keep up with it.
pub(super) fn keeps_up(info: &str, port: u16) -> bool {
    let port = format!("port={port}");
    let mut replicas = info.lines().filter(|line| line.starts_with("slave"));
    replicas.any(|line| line.split(',').any(|part| part == port) && line.contains(",state=online,"))
}

/// Whether the primary that says this accepts writes, if it asks for any number of replicas.
pub(super) fn has_good_replicas(info: &str) -> bool {
    field(info, "min_slaves_good_slaves") != Some("0")
}

fn field<'info>(info: &'info str, name: &str) -> Option<&'info str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: &str = "# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
        min_slaves_good_slaves:1\r\n\
        slave0:ip=127.0.0.1,port=7001,state=online,offset=14,lag=0\r\n\
        slave1:ip=127.0.0.1,port=7002,state=wait_bgsave,offset=0,lag=0\r\n";

    #[test]
    fn a_primary_tells_which_replicas_keep_up() {
        assert!(is_primary(PRIMARY));
        assert!(keeps_up(PRIMARY, 7001));
        assert!(!keeps_up(PRIMARY, 7002), "not online");
        assert!(!keeps_up(PRIMARY, 700), "not a whole number");
        assert!(!follows(PRIMARY));
    }

    #[test]
    fn a_primary_without_the_replicas_it_asks_for_is_told_from_one_that_asks_for_none() {
        assert!(has_good_replicas(PRIMARY));
        assert!(has_good_replicas("role:master\r\n"));
        assert!(!has_good_replicas("role:master\r\nmin_slaves_good_slaves:0\r\n"));
    }

    #[test]
    fn a_replica_tells_whether_it_follows() {
        assert!(!is_primary("role:slave\r\nmaster_link_status:up\r\n"));
        assert!(follows("role:slave\r\nmaster_link_status:up\r\n"));
        assert!(!follows("role:slave\r\nmaster_link_status:down\r\n"));
    }
}
