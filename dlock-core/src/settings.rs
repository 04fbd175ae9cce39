//! The settings of a manager, and their names in a URL.

use crate::backend::url_options::{UrlOption, Wrong, duration, number};
use crate::error::LockError;
use crate::guarantees::Guarantees;
use crate::hand_over::HandOver;
use crate::handles::DEFAULT_PATIENCE;
use crate::label::Label;
use crate::lease::Ttl;
use std::time::Duration;

/// What a manager is built with, beside its backend.
#[derive(Debug, Clone)]
pub(crate) struct ManagerSettings {
    pub(crate) ttl: Duration,
    pub(crate) wait: Duration,
    pub(crate) max_hold: Duration,
    pub(crate) hand_over: HandOver,
    pub(crate) flush_on_drop: Duration,
    pub(crate) token_floor: u64,
    pub(crate) required: Guarantees,
    /// In a URL it is the backend's.
    pub(crate) namespace: Option<String>,
    /// As it was given: a wrong one is told when the manager is built.
    pub(crate) label: Option<Result<Label, LockError>>,
}

/// How long a request waits unless it says otherwise.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);

impl Default for ManagerSettings {
    fn default() -> Self {
        Self {
            ttl: Ttl::default().as_duration(),
            wait: DEFAULT_WAIT,
            max_hold: Duration::MAX,
            hand_over: HandOver::default(),
            flush_on_drop: DEFAULT_PATIENCE,
            token_floor: 0,
            required: Guarantees::empty(),
            namespace: None,
            label: None,
        }
    }
}

/// The manager's options in a URL, whatever the backend. `LockManager::connect` lists them.
pub(crate) const OPTIONS: &[UrlOption<ManagerSettings>] = &[
    UrlOption::new("ttl", |settings, value| {
        settings.ttl = duration(value)?;
        Ok(())
    }),
    UrlOption::new("wait", |settings, value| {
        settings.wait = duration_or_max(value)?;
        Ok(())
    }),
    UrlOption::new("max_hold", |settings, value| {
        settings.max_hold = duration_or_max(value)?;
        Ok(())
    }),
    UrlOption::new("hand_over", |settings, value| {
        settings.hand_over = hand_over(value)?;
        Ok(())
    }),
    UrlOption::new("flush_on_drop", |settings, value| {
        settings.flush_on_drop = duration(value)?;
        Ok(())
    }),
    UrlOption::new("token_floor", |settings, value| {
        settings.token_floor = number(value)?;
        Ok(())
    }),
    UrlOption::new("require", |settings, value| {
        settings.required =
            Guarantees::parse(value).ok_or("write names with commas, such as queue,across_restarts")?;
        Ok(())
    }),
    UrlOption::new("label", |settings, value| {
        settings.label = Some(Label::new(value));
        Ok(())
    }),
];

fn duration_or_max(value: &str) -> Result<Duration, Wrong> {
    if value == "max" { Ok(Duration::MAX) } else { duration(value) }
}

/// `off`, or how many holders and for how long: `16,10ms`.
fn hand_over(value: &str) -> Result<HandOver, Wrong> {
    if value == "off" {
        return Ok(HandOver::OFF);
    }
    let (max, within) = value.split_once(',').ok_or("write off, or holders and a time, such as 16,10ms")?;
    Ok(HandOver::new(number(max)?, duration(within)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_over_is_off_or_holders_and_a_time() {
        assert_eq!(hand_over("off"), Ok(HandOver::OFF));
        assert_eq!(hand_over("16,10ms"), Ok(HandOver::new(16, Duration::from_millis(10))));
        for wrong in ["", "on", "16", "16,", ",10ms", "x,10ms", "16,10"] {
            assert!(hand_over(wrong).is_err(), "{wrong}");
        }
    }
}
