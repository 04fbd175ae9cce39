//! What is checked once, when a backend is built: the kind of server, its settings, and the account's rights.

use super::failure::classify;
use super::keys::Naming;
use super::script_error::told_to_a_script;
use super::scripts;
use super::servers::{CallError, Route, Servers};
use super::wire::Inbox;
use crate::error::{ErrorKind, LockError};
use redis::Cmd;
use std::time::Duration;

/// Who looks.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) naming: Naming,
    pub(super) inbox: Inbox,
}

/// What a backend needs of its servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    /// Scripts that keep a queue, and publish.
    pub(super) queue: bool,
    /// `INFO` in scripts.
    pub(super) info: bool,
    /// How long one answer may take.
    pub(super) limit: Duration,
    /// Whether what servers say of themselves is no reason to refuse them.
    pub(super) trusts_url: bool,
}

/// Refuses servers and accounts that cannot keep the backend's promises, and warns of settings that may break
/// them. Both questions travel together.
pub(super) async fn check(servers: &Servers, asker: &Asker, needs: Needs) -> Result<(), LockError> {
    let info = redis::cmd("INFO");
    let (answers, rights) =
        tokio::join!(servers.call_each::<String>(&info), check_rights(servers, asker, needs));
    match answers {
        Ok(answers) => {
            let in_cluster = matches!(servers, Servers::Cluster(_));
            answers
                .iter()
                .try_for_each(|info| judge(info, in_cluster).or_else(|wrong| needs.forgive(wrong)))?;
        }
        // It is a right that can be spared, and a command that proxies do not know.
        Err(error) if matches!(error.kind(), ErrorKind::Auth | ErrorKind::Unsupported) => {
            tracing::warn!(
                backend = "redis",
                %error,
                "the server does not say what it is (INFO); dlock believes the URL, and the server may evict locks"
            );
        }
        Err(error) => return Err(error),
    }
    rights
}

impl Needs {
    fn forgive(self, wrong: LockError) -> Result<(), LockError> {
        if !self.trusts_url {
            return Err(wrong);
        }
        tracing::warn!(
            backend = "redis",
            error = %wrong,
            "the server says that it is not what the URL says; dlock believes the URL, as trust_url asks for"
        );
        Ok(())
    }
}

/// What one server calls itself for as long as it runs, if it tells: the same under every address.
pub(super) async fn run_id(servers: &Servers) -> Option<String> {
    let answers = servers.call_each::<String>(redis::cmd("INFO").arg("server")).await.ok()?;
    answers.first().and_then(|info| field(info, "run_id")).map(str::to_owned)
}

/// What the server refused: commands that are needed, and those that the scripts can do without.
type Refusals = (Vec<String>, Vec<String>);

/// Runs every command of the scripts on keys of this process alone.
async fn check_rights(servers: &Servers, asker: &Asker, needs: Needs) -> Result<(), LockError> {
    if !needs.queue {
        return Ok(());
    }
    let Asker { naming, inbox } = asker;
    let own = naming.own_key(*inbox);
    let prefix = servers.channel_prefix(own.as_bytes());
    let channel =
        prefix.as_ref().map_or_else(|| naming.channel(*inbox), |prefix| prefix.clone() + &inbox.name());
    let publish = if prefix.is_some() { "SPUBLISH" } else { "PUBLISH" };
    let arguments = |command: &mut Cmd| _ = command.arg(&channel).arg(publish).arg(u8::from(needs.info));
    let queue = [own.as_bytes(), b":q"].concat();
    let run = async || {
        let counter = naming.counter(own.as_bytes(), prefix.is_some());
        let keys = [own.as_bytes(), &queue, &counter];
        servers.run::<Refusals>(&Route::Keeper, needs.limit, &scripts::CHECK, &keys, arguments).await
    };
    let checked = match run().await {
        Err(error) if is_cross_slot(&error) => {
            naming.set_by_slot();
            run().await?
        }
        checked => checked?,
    };
    let (refused, spared) = checked.value;
    if !spared.is_empty() {
        tracing::warn!(
            backend = "redis",
            "the account may not ask for subscribers; while a client subscribes by pattern, such as a monitor, a \
             waiter that died costs one lease; grant +pubsub|numpat and +pubsub|numsub"
        );
    }
    if refused.is_empty() { Ok(()) } else { Err(verdict(&refused)) }
}

/// Whether the server, or a proxy in front of several, takes no keys of different slots in one call.
fn is_cross_slot(error: &CallError) -> bool {
    matches!(error, CallError::Redis(cause) if cause.code() == Some("CROSSSLOT"))
}

/// Why a server refused these commands: it takes no writes for now, or else the account has no right to them. Pure.
fn verdict(refused: &[String]) -> LockError {
    let causes = refused.iter().filter_map(|words| told_to_a_script(words.split_once(": ")?.1));
    let passing = causes.map(classify).find(|error| error.kind() == ErrorKind::Unavailable);
    passing.unwrap_or_else(|| {
        let detail = format!(
            "the server refuses commands of the scripts: {}; grant the rights listed at RedisBackend, or choose \
             Recipe::Plain",
            refused.join(", ")
        );
        LockError::new(ErrorKind::Auth, detail)
    })
}

/// What a server says of itself in `INFO`. Pure.
fn judge(info: &str, in_cluster: bool) -> Result<(), LockError> {
    let refuse = |kind, detail: &'static str| Err(LockError::new(kind, detail));
    match (mode(info), in_cluster) {
        (Some("sentinel"), _) => {
            return refuse(ErrorKind::InvalidOption, "the server is a sentinel; write redis+sentinel://");
        }
        (Some("cluster"), false) => {
            return refuse(
                ErrorKind::InvalidOption,
                "the server is a node of a cluster; use redis+cluster://, or trust_url if it is none",
            );
        }
        (Some("standalone"), true) => {
            let detail = "the server is not part of a cluster; use redis://, or trust_url if it is";
            return refuse(ErrorKind::InvalidOption, detail);
        }
        _ => {}
    }
    let oldest = if in_cluster { (7, 0) } else { (6, 2) };
    if version(info).is_some_and(|version| version < oldest) {
        let detail = "the server is too old; use Redis 6.2 or newer, for a cluster 7.0 or newer";
        return refuse(ErrorKind::Unsupported, detail);
    }
    if field(info, "role") == Some("slave") && !in_cluster {
        let detail = "the server is a replica; name the primary, or the sentinels (redis+sentinel://)";
        return refuse(ErrorKind::Unavailable, detail);
    }
    if spares_scripts(info) {
        tracing::warn!(
            backend = "redis",
            "the server demands replicas of writes, but before Redis 7.0 not of those in scripts: it goes on to grant \
             locks while it is cut off from its replicas; use Redis 7.0 or newer"
        );
    }
    if let Some(policy) = evicting(info) {
        tracing::warn!(
            backend = "redis",
            policy,
            "the server may evict locks when its memory is full, and grant them twice; set maxmemory-policy to \
             noeviction"
        );
    }
    Ok(())
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// What the server runs as. Valkey calls the field by another name.
fn mode(info: &str) -> Option<&str> {
    field(info, "redis_mode").or_else(|| field(info, "server_mode"))
}

fn version(info: &str) -> Option<(u32, u32)> {
    let mut parts = field(info, "redis_version")?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// Whether `min-replicas-to-write` is set at a server that lets scripts write all the same.
fn spares_scripts(info: &str) -> bool {
    let demands = field(info, "min_slaves_good_slaves").is_some();
    demands && version(info).is_some_and(|version| version < (7, 0))
}

/// The policy by which a server evicts keys, if it can come to that. Every lock has an expiry, so the volatile
/// policies hit locks too.
fn evicting(info: &str) -> Option<&str> {
    let policy = field(info, "maxmemory_policy")?;
    (policy != "noeviction" && field(info, "maxmemory") != Some("0")).then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_evicts_if_it_has_a_limit_and_a_policy() {
        let info = |limit, policy| {
            format!("# Memory\r\nmaxmemory:{limit}\r\nmaxmemory_human:x\r\nmaxmemory_policy:{policy}\r\n")
        };
        assert_eq!(evicting(&info("100", "allkeys-lru")), Some("allkeys-lru"));
        assert_eq!(evicting(&info("100", "volatile-ttl")), Some("volatile-ttl"));
        assert_eq!(evicting(&info("100", "noeviction")), None);
        assert_eq!(evicting(&info("0", "allkeys-lru")), None, "no limit");
        assert_eq!(evicting("what else there may be"), None);
    }

    #[test]
    fn a_server_that_takes_no_writes_for_now_is_not_one_that_lacks_a_right() {
        let kind =
            |words: &[&str]| verdict(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).kind();
        let right = "SET: NOPERM this user has no permissions to run the 'set' command";
        assert_eq!(kind(&[right]), ErrorKind::Auth);
        assert_eq!(kind(&["SET: ERR The user executing the script can't run this command"]), ErrorKind::Auth);
        assert_eq!(
            kind(&[right, "DEL: NOREPLICAS Not enough good replicas to write."]),
            ErrorKind::Unavailable
        );
        assert_eq!(kind(&["SET: @user_script: 14: -OOM command not allowed"]), ErrorKind::Unavailable);
        assert_eq!(kind(&["words of another form"]), ErrorKind::Auth);
    }

    #[test]
    fn an_old_server_spares_scripts_if_it_demands_replicas() {
        let info =
            |version| format!("redis_version:{version}\r\nrole:master\r\nmin_slaves_good_slaves:0\r\n");
        assert!(spares_scripts(&info("6.2.5")));
        assert!(!spares_scripts(&info("7.0.15")));
        assert!(!spares_scripts("redis_version:6.2.5\r\nrole:master\r\n"), "it demands none");
        assert!(!spares_scripts("what else there may be"));
    }

    #[test]
    fn servers_of_another_kind_and_old_ones_are_refused() {
        let verdict = |version: &str, mode: &str, role: &str, in_cluster| {
            let info = format!("redis_version:{version}\r\nredis_mode:{mode}\r\nrole:{role}\r\n");
            let verdicts = [info.replace("redis_mode", "server_mode"), info]
                .map(|info| judge(&info, in_cluster).map_err(|error| error.kind()));
            assert_eq!(verdicts[0], verdicts[1], "by either name of the mode");
            verdicts[0]
        };
        assert_eq!(verdict("6.2.14", "standalone", "master", false), Ok(()));
        assert_eq!(verdict("7.0.0", "cluster", "master", true), Ok(()));
        assert_eq!(verdict("6.0.9", "standalone", "master", false), Err(ErrorKind::Unsupported));
        assert_eq!(verdict("6.2.0", "cluster", "master", true), Err(ErrorKind::Unsupported));
        assert_eq!(verdict("7.0.0", "cluster", "master", false), Err(ErrorKind::InvalidOption));
        assert_eq!(verdict("7.0.0", "sentinel", "master", false), Err(ErrorKind::InvalidOption));
        assert_eq!(verdict("7.0.0", "standalone", "master", true), Err(ErrorKind::InvalidOption));
        assert_eq!(verdict("7.0.0", "standalone", "slave", false), Err(ErrorKind::Unavailable));
        assert_eq!(judge("what else there may be", false).map_err(|error| error.kind()), Ok(()));
        let valkey = "server_name:valkey\r\nredis_version:7.2.4\r\nserver_mode:cluster\r\nrole:master\r\n";
        assert_eq!(judge(valkey, false).map_err(|error| error.kind()), Err(ErrorKind::InvalidOption));
        assert_eq!(judge(valkey, true).map_err(|error| error.kind()), Ok(()));
    }
}
