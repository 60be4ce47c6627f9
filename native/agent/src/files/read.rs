//! ReadFile: one chunk at a time, each when there is credit for it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use caisson_wire::data::Channel;
use caisson_wire::{MAX_DATA_BYTES, opened};

use super::{entry, open_regular};
use crate::identity::Identity;
use crate::refusal::{OrRefuse, Outcome};
use crate::stream::Stream;
use crate::users::Names;

/// `length` 0: to the end.
pub async fn run(stream: &Stream, identity: &Identity, path: String, offset: u64, length: u64) -> Outcome<()> {
    let opening = move || {
        let path = Path::new(&path);
        let (file, facts) = open_regular(path, OpenOptions::new().read(true))?;
        Ok((Arc::new(file), entry::of(path, &facts, &Names::load())))
    };
    let (file, entry) = identity.run(opening).await?;
    stream.opened(opened::Result::Entry(entry)).await?;

    let mut at = offset;
    let mut left = if length == 0 { u64::MAX } else { length };
    while left > 0 {
        let most = stream.credit().await.min(MAX_DATA_BYTES).min(usize::try_from(left).unwrap_or(usize::MAX));
        let from = file.clone();
        // It was opened as the user; further reads need no permission check.
        let payload = identity.run(move || read(&from, at, most)).await?;
        if payload.is_empty() {
            break;
        }
        at += payload.len() as u64;
        left -= payload.len() as u64;
        stream.place().await?.put_data(Channel::File, payload, false);
    }
    stream.place().await?.put_data(Channel::File, Vec::new(), true);
    Ok(())
}

fn read(file: &std::fs::File, at: u64, most: usize) -> Outcome<Vec<u8>> {
    let mut payload = vec![0; most];
    loop {
        match file.read_at(&mut payload, at) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => {
                payload.truncate(result.or_refuse(|| "read")?);
                return Ok(payload);
            }
        }
    }
}
