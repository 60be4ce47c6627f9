//! The audit log: one chain of records for an installation, appended to by hosts and keepers alike.
//!
//! A record is one line of JSON. It begins with its number and the hash of the line before, so that none can be changed, taken out or moved without the
//! next one telling. Whoever appends holds a lock of the kernel's, so that there is one order, whatever clocks say; it goes with its holder, however that ends.
//! Both languages append through this library, so that there is one idea of the chain.

mod chain;
mod head;
mod lock;
mod moment;
mod redaction;
mod tail;

pub use chain::{Chain, Place};
pub use moment::{now_ms, timestamp};
pub use redaction::{Redaction, is_secret};
