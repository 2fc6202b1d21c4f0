//! Drives the built binary from outside, with a real Node-RED and a real browser.

mod bundles;
mod cli;
mod debian;
mod dev;
mod dev_gate;
mod doctor;
mod guest;
mod host;
mod import;
mod outage;
mod projects;
mod proxy;
mod stack;
