//! What carries one connection of a host: a socket, or in a machine a line of its only stream (vm/lines.rs).

use std::io;

use crate::port::{Port, receive, send_all};
use crate::vm::Line;

pub enum Link {
    Socket(Port),
    Line(Line),
}

impl Link {
    /// Waits until something has come, or the other end is closed.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Link::Socket(socket) => socket.readable().await.map(drop),
            Link::Line(line) => {
                line.readable().await;
                Ok(())
            }
        }
    }

    /// Appends what has come to the buffer, up to its capacity. 0: the other end is closed.
    pub async fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Link::Socket(socket) => receive(socket, buffer).await,
            Link::Line(line) => Ok(line.receive(buffer).await),
        }
    }

    pub async fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Link::Socket(socket) => send_all(socket, bytes).await,
            Link::Line(line) => line.send_all(bytes).await,
        }
    }
}
