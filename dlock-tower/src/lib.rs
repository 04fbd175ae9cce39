//! Locks the resource a route is about.
