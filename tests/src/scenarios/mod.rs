//! Tables of what has gone wrong with distributed locks before: what must hold here, and which tests show it.
//!
//! A table is checked against the source files, so that it cannot say more than there is: see [`Table`].

mod found;
mod table;

pub use table::{Scenario, Table, not, shown};
