//! The gate's proxies at the address where programs expect them: the loopback. A machine has its own loopback, so
//! connections are forwarded to the gate's listeners. QEMU's user-mode network shows those at its router's address;
//! behind a link they have an address of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::channel::Channel;
use super::network::ROUTER;

/// HTTP and SOCKS, the same ports as everywhere (native/keeper/src/gate/addresses.rs).
pub const PORTS: [u16; 2] = [3128, 1080];
const MAX_CONNECTIONS: usize = 256;
/// An address of the sandbox's network namespace (native/keeper/src/gate/addresses.rs).
const BEHIND_LINK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// Returns only if it cannot listen; programs then find no proxy, and nothing leaves that way.
pub async fn serve(port: u16) {
    let Ok(listener) = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await else { return };
    let open = Rc::new(());
    loop {
        match listener.accept().await {
            Ok((inner, _)) if Rc::strong_count(&open) <= MAX_CONNECTIONS => {
                let counted = open.clone();
                tokio::task::spawn_local(async move {
                    carry(inner, port).await;
                    drop(counted);
                });
            }
            Ok(_) => {}
            // Out of descriptors or memory, until some connection ends.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

async fn carry(mut inner: TcpStream, port: u16) {
    let gate = if super::channel() == Channel::Port { ROUTER } else { BEHIND_LINK };
    let Ok(mut outer) = TcpStream::connect(SocketAddr::from((gate, port))).await else { return };
    // If either end is gone, both end.
    let _ = copy_bidirectional(&mut inner, &mut outer).await;
}
