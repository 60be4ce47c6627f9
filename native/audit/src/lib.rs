//! The audit log: one chain of records per installation, to which hosts and keepers append.
//!
//! A record is one line of JSON. It begins with its number and the hash of the previous line, so the next record
//! reveals it if one is changed, removed or moved. Writers hold a kernel lock, so there is a single order whatever the
//! clocks say; the kernel releases the lock when its holder ends, however that happens. Both languages append through
//! this library, so that there is only one implementation of the chain.

mod chain;
mod head;
mod lock;
mod moment;
mod redaction;
mod tail;

pub use chain::{Chain, Place};
pub use moment::{now_ms, timestamp};
pub use redaction::{Redaction, is_secret};
