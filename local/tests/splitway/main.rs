//! What the binary `splitway` does beside the contract that all shells share: its command line, its
//! files, its connections and its end.

#![allow(clippy::indexing_slicing, reason = "this program is tests: a panic is how they fail")]

mod access;
mod admin;
mod api;
mod copies;
mod crash;
mod disk;
mod hostile;
mod http2;
mod keys;
mod limits;
mod metrics;
mod prometheus;
mod tables;
mod traces;
mod writers;
mod demo;
mod end;
mod failures;
mod file;
mod health;
mod import;
mod process;
mod secure;
mod requests;
mod rest;
mod takeover;
mod tls;
mod unread;
mod validate;
