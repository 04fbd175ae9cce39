//! Reads the source of dlock's crates and checks how it is built: layers, circles of files, pure files, names of types,
//! and the English of comments and documents.
//!
//! A file *uses* another file if it names an item that the other file defines. Re-exports are looked through, so the
//! path by which an item is named does not matter. Tests inside the files do not count.

mod check;
mod circles;
mod layers;
mod links;
mod names;
mod purity;
mod references;
mod source;
mod uses;
mod words;

pub use check::complaints;
pub use circles::circles;
pub use links::broken_links;
pub use names::{SharedNames, shared_names};
pub use source::Crate;
pub use uses::{Use, uses};
pub use words::{WordCount, complaints_about_words, count_by_part};
