//! Policy, people, edges and composition: everything that decides.
//!
//! Modules in order; each uses only those above it.
#![forbid(unsafe_code)]

pub mod clock;

pub mod ids;

pub mod team;

pub mod removal;

pub mod problem;

pub mod recipient;

pub mod paths;

pub mod shutdown;

pub mod config;

pub mod secret;

pub mod store;

pub mod audit;

pub mod telemetry;

pub mod stacks;

pub mod vetting;

pub mod exceptions;

pub mod gate;

pub mod instances;

pub mod alerts;

pub mod files;

pub mod materials;

pub mod backup;

pub mod acme;

pub mod proxy;

pub mod web;

pub mod dev;

pub mod app;

pub mod cli;
