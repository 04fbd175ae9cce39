//! The documents of the project whose Rust code is run. Each block is a program.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/using.md")]
mod using {}
