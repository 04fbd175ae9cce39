//! The messages and methods, as `tonic-prost-build` would make them from this description:
//!
//! ```proto
//! package shop;
//! service Stock {
//!     rpc Take (TakeRequest) returns (TakeReply);
//!     rpc Count (CountRequest) returns (CountReply);
//! }
//! ```
//!
//! Written by hand here, so that building the example needs no `protoc`.

pub(crate) const SERVICE: &str = "shop.Stock";
pub(crate) const TAKE: &str = "/shop.Stock/Take";
pub(crate) const COUNT: &str = "/shop.Stock/Count";

/// The header that names the article, for the lock to be had before the message is read.
pub(crate) const ARTICLE: &str = "x-article";

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct TakeRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) pieces: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct TakeReply {
    /// How many were taken so far.
    #[prost(uint32, tag = "1")]
    pub(crate) taken: u32,
    /// The fencing token they were taken under.
    #[prost(uint64, tag = "2")]
    pub(crate) token: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CountRequest {}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CountReply {
    /// How many were taken of all articles.
    #[prost(uint32, tag = "1")]
    pub(crate) taken: u32,
}
