//! A relayed TCP connection to a port inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use caisson_wire::data::Channel;
use caisson_wire::{Dial, Done, opened};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::inbound::Lane;
use crate::refusal::{OrRefuse, Outcome, Refusal};
use crate::stream::Stream;

const CHUNK: usize = 64 * 1024;

pub async fn run(stream: &Stream, request: Dial) -> Outcome<()> {
    let address = address(&request)?;
    let socket = TcpStream::connect(address).await.or_refuse(|| format!("connect to {address}"))?;
    // The peer on the host's side decides itself when to send.
    socket.set_nodelay(true).or_refuse(|| "connection")?;
    stream.opened(opened::Result::Done(Done {})).await?;
    let (reader, writer) = socket.into_split();
    tokio::try_join!(outward(stream, reader), inward(stream, writer))?;
    Ok(())
}

fn address(request: &Dial) -> Outcome<SocketAddr> {
    let ip: IpAddr = match request.host.as_str() {
        "" | "localhost" | "127.0.0.1" => Ipv4Addr::LOCALHOST.into(),
        "::1" => Ipv6Addr::LOCALHOST.into(),
        _ => return Err(Refusal::invalid("a port inside is dialled at 127.0.0.1 or ::1")),
    };
    let port = u16::try_from(request.port).ok().filter(|port| *port != 0);
    Ok(SocketAddr::new(ip, port.ok_or_else(|| Refusal::invalid("a port is 1 to 65535"))?))
}

async fn outward(stream: &Stream, mut socket: OwnedReadHalf) -> Outcome<()> {
    let mut buffer = Vec::new();
    loop {
        socket.readable().await.or_refuse(|| "read")?;
        let credit = stream.credit().await;
        let place = stream.place().await?;
        buffer.reserve(CHUNK);
        let count = (&mut socket).take(credit.min(CHUNK) as u64).read_buf(&mut buffer).await.or_refuse(|| "read")?;
        place.put_data(Channel::Tcp, std::mem::take(&mut buffer), count == 0);
        if count == 0 {
            return Ok(());
        }
    }
}

async fn inward(stream: &Stream, mut socket: OwnedWriteHalf) -> Outcome<()> {
    while stream.wait(Lane::Main).await {
        for chunk in stream.take(Lane::Main) {
            socket.write_all(&chunk).await.or_refuse(|| "write")?;
        }
        stream.return_credit().await?;
    }
    socket.shutdown().await.or_refuse(|| "shutdown")
}
