//! What the scenarios stand on.
