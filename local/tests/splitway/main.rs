//! What the binary `splitway` does beside the contract that all shells share: its command line, its
//! files, its connections and its end.

mod admin;
mod api;
mod crash;
mod disk;
mod hostile;
mod keys;
mod tables;
mod writers;
mod demo;
mod end;
mod failures;
mod file;
mod import;
mod process;
mod requests;
mod tls;
mod validate;
