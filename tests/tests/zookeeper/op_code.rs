//! The requests of the protocol by their codes.

pub(super) const CREATE: i32 = 1;
pub(super) const DELETE: i32 = 2;
pub(super) const EXISTS: i32 = 3;
pub(super) const SET_DATA: i32 = 5;
pub(super) const LIST: i32 = 8;
pub(super) const SYNC: i32 = 9;
pub(super) const PING: i32 = 11;
pub(super) const GET_DATA: i32 = 4;
pub(super) const MULTI: i32 = 14;
pub(super) const CREATE_2: i32 = 15;
pub(super) const CREATE_CONTAINER: i32 = 19;
pub(super) const EPHEMERALS: i32 = 103;
pub(super) const REMOVE_WATCHES: i32 = 18;
pub(super) const SET_WATCHES: i32 = 101;
