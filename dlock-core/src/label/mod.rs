//! What a holder calls itself.

mod text;
mod validation;

pub use text::Label;
