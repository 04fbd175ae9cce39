//! Reports: streamed page by page, one at a time. The lock is held until the last page is sent.

use crate::routes::{App, think};
use crate::shop::Order;
use axum::body::Body;
use axum::extract::State;
use dlock_core::LockManager;
use dlock_tower::{Key, LockLayer, OnUnavailable};
use futures_util::stream;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PAGE: u32 = 10;

/// A report only costs much. So it is made without a lock rather than not at all, and a client that reads slowly
/// keeps others waiting for half a minute at most.
pub(crate) fn one_report(locks: &LockManager) -> LockLayer {
    LockLayer::new(locks.clone(), Key::new("report").path_param("name"))
        .wait(Duration::from_secs(5))
        .max_hold(Duration::from_secs(30))
        .on_unavailable(OnUnavailable::Proceed)
}

/// How many reports this process is sending.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reports(Arc<AtomicUsize>);

/// A line for each order, and one that says how many reports were sent at once.
pub(crate) async fn report(State(app): State<App>) -> Body {
    let report = Report { _under_way: UnderWay::begin(&app.reports), app, after: 0, is_done: false };
    Body::from_stream(stream::try_unfold(report, Report::next_page))
}

struct Report {
    app: App,
    after: u32,
    is_done: bool,
    _under_way: UnderWay,
}

impl Report {
    async fn next_page(mut self) -> anyhow::Result<Option<(String, Self)>> {
        if self.is_done {
            return Ok(None);
        }
        think().await;
        let orders = self.app.shop.orders_after(self.after, PAGE).await?;
        match orders.last() {
            Some(last) => self.after = last.id,
            None => self.is_done = true,
        }
        let page = if self.is_done { self.last_line() } else { lines(&orders)? };
        Ok(Some((page, self)))
    }

    fn last_line(&self) -> String {
        format!("reports at once: {}\n", self.app.reports.0.load(Ordering::SeqCst))
    }
}

fn lines(orders: &[Order]) -> anyhow::Result<String> {
    let mut text = String::new();
    for Order { id, address, parcels, paid_cents } in orders {
        writeln!(text, "{id};{address};{parcels};{paid_cents}")?;
    }
    Ok(text)
}

/// Counts a report for as long as it is sent.
struct UnderWay(Reports);

impl UnderWay {
    fn begin(reports: &Reports) -> Self {
        reports.0.fetch_add(1, Ordering::SeqCst);
        Self(reports.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
