//! The gate's proxies, where programs look for them: at the loopback. A machine has a loopback of its own, so what comes there is carried to where the gate
//! listens: QEMU's user-mode network shows it as its router; behind a link it has an address of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::channel::Channel;
use super::network::ROUTER;

/// Of HTTP and of SOCKS, as everywhere (native/keeper/src/gate/addresses.rs).
pub const PORTS: [u16; 2] = [3128, 1080];
const MAX_CONNECTIONS: usize = 256;
/// Of the sandbox's network namespace (native/keeper/src/gate/addresses.rs).
const BEHIND_LINK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// Returns only if it cannot listen: then nobody finds a proxy, and nothing gets out that way.
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
            // Out of descriptors or memory: some connection will end.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

async fn carry(mut inner: TcpStream, port: u16) {
    let gate = if super::channel() == Channel::Port { ROUTER } else { BEHIND_LINK };
    let Ok(mut outer) = TcpStream::connect(SocketAddr::from((gate, port))).await else { return };
    // Either end that is gone is the end of both.
    let _ = copy_bidirectional(&mut inner, &mut outer).await;
}
