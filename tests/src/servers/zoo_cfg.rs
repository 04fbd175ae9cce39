//! ZooKeeper's configuration file.

use std::time::Duration;

/// What a server is told.
#[derive(Debug, Clone)]
pub(super) struct ZooCfg {
    /// The unit of the server's clock: sessions expire in steps of it.
    pub(super) tick_time: Duration,
    /// Further lines, which win over the ones before.
    pub(super) lines: Vec<String>,
    pub(super) java_options: Vec<String>,
    /// Names and texts of further files.
    pub(super) files: Vec<(String, String)>,
}

impl Default for ZooCfg {
    fn default() -> Self {
        let (lines, java_options, files) = Default::default();
        Self { tick_time: Duration::from_millis(200), lines, java_options, files }
    }
}

impl ZooCfg {
    /// The file's text, for a server that runs in its own directory and serves clients on `port`.
    pub(super) fn text(&self, port: u16, directory: &str) -> String {
        let tick = self.tick_time.as_millis();
        let own = [
            format!("tickTime={tick}"),
            format!("minSessionTimeout={}", 2 * tick),
            "maxSessionTimeout=60000".to_owned(),
            format!("dataDir={directory}/{DATA_DIRECTORY}"),
            "clientPortAddress=127.0.0.1".to_owned(),
            format!("clientPort={port}"),
            "maxClientCnxns=0".to_owned(),
            "admin.enableServer=false".to_owned(),
            "4lw.commands.whitelist=*".to_owned(),
        ];
        let lines: Vec<&str> = own.iter().chain(&self.lines).map(String::as_str).collect();
        lines.join("\n") + "\n"
    }
}

/// Where a server keeps its data, in its own directory.
pub(super) const DATA_DIRECTORY: &str = "data";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_may_be_as_short_as_two_ticks() {
        let lines = vec!["snapCount=10".to_owned()];
        let cfg = ZooCfg { tick_time: Duration::from_millis(50), lines, ..ZooCfg::default() };
        let text = cfg.text(7001, "/somewhere");
        for line in ["tickTime=50", "minSessionTimeout=100", "clientPort=7001", "dataDir=/somewhere/data"] {
            assert!(text.lines().any(|other| other == line), "{line} is not in:\n{text}");
        }
        assert!(text.ends_with("\nsnapCount=10\n"));
    }
}
