//! Answers the health check at the port where E2B's templates have their code interpreter. It answers nothing else: the
//! host runs code for callers with a key, and whoever is inside can run programs anyway. The host is not involved.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Served at once; more wait to be accepted.
const MOST: usize = 8;
const HEAD_BYTES: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(5);
const AFTER_FAILURE: Duration = Duration::from_millis(20);

const WELL: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4\r\nconnection: close\r\n\r\n\"OK\"";
const ELSEWHERE: &str = "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 75\r\nconnection: close\r\n\r\n\
    inside a sandbox only GET /health is answered: code is run from outside it\n";

/// Returns only if it cannot listen, because the port is taken.
pub async fn serve(port: u16) {
    // Not on every address: traffic from the sandbox to this port of another machine would arrive here.
    let Ok(listener) = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await else { return };
    let places = Arc::new(Semaphore::new(MOST));
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((visitor, _)) => {
                tokio::task::spawn_local(async move {
                    // Slow clients are dropped.
                    let _ = timeout(PATIENCE, answer(visitor)).await;
                    drop(place);
                });
            }
            Err(_) => sleep(AFTER_FAILURE).await,
        }
    }
}

async fn answer(mut visitor: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(512);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES || visitor.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let mut words = head.split(|byte| byte.is_ascii_whitespace());
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let is_well = method == b"GET" && path == b"/health";
    visitor.write_all(if is_well { WELL } else { ELSEWHERE }.as_bytes()).await?;
    visitor.shutdown().await
}
