//! The agent as a host meets it: the real program, over a real socket, outside of any wall.

mod abuse;
mod adopt;
mod agent;
mod chance;
mod client;
mod dial;
mod files;
mod flow;
mod processes;
mod terminal;
mod trees;
mod users;
mod watch;
