//! How the system notices that the other end of a connection is silently gone.

use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use std::time::Duration;

/// The system probes a connection after this long in which nothing came,
const PROBED_AFTER: Duration = Duration::from_secs(15);
/// then again after each such pause,
#[cfg(any(target_vendor = "apple", target_os = "android", target_os = "linux", target_os = "windows"))]
const PROBED_EVERY: Duration = Duration::from_secs(5);
/// and ends it when this many probes are not answered,
#[cfg(any(target_vendor = "apple", target_os = "android", target_os = "linux", target_os = "windows"))]
const PROBES: u32 = 3;
/// or when what was sent is not acknowledged for this long.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const NOT_TAKEN: Duration = Duration::from_secs(30);

/// Ends a connection whose other end is silently gone.
pub(super) fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(PROBED_AFTER);
    #[cfg(any(target_vendor = "apple", target_os = "android", target_os = "linux", target_os = "windows"))]
    let keepalive = keepalive.with_interval(PROBED_EVERY).with_retries(PROBES);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(NOT_TAKEN);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_probed_and_what_is_sent_has_a_limit() {
        let settings = tcp_settings();
        assert!(settings.nodelay() && settings.keepalive().is_some());
        #[cfg(target_os = "linux")]
        assert_eq!(settings.user_timeout(), Some(NOT_TAKEN));
    }
}
