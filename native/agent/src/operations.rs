//! The host's operations: one line each.

use std::rc::Rc;

use caisson_wire::open::Operation;
use caisson_wire::{Attach, Done, ProcessList, Started, opened};
use prost::Message;

use crate::agent::Agent;
use crate::connection::greeting;
use crate::identity::Identity;
use crate::refusal::{Outcome, Refusal};
use crate::stream::Stream;
use crate::{dial, files, metrics, pump, start};

/// The most bytes of a frame that a list of processes may take.
const LIST_BYTES: usize = 192 * 1024;

/// Everything up to the Close.
pub async fn run(agent: &Rc<Agent>, stream: &Rc<Stream>, operation: Operation) -> Outcome<()> {
    if let Operation::WriteFile(request) = operation {
        // It handles cancellation itself, because a half-written file must be gone before the Close.
        let (identity, path) = who_and_where(agent, &request.user, &request.path)?;
        return files::write::run(stream, &identity, path, request).await;
    }
    let work = async {
        match operation {
            Operation::Hello(hello) if hello.generation == 0 => Err(Refusal::unsupported("generation 0 of the wire")),
            Operation::Hello(hello) => stream.opened(greeting(agent, hello.generation)).await,
            Operation::Start(request) => start::run(agent, stream, request).await,
            Operation::Attach(request) => attach(agent, stream, request).await,
            Operation::Processes(_) => stream.opened(processes(agent)).await,
            Operation::Stat(request) => {
                let (identity, path) = who_and_where(agent, &request.user, &request.path)?;
                let entry = identity.run(move || files::entry::one(&path, request.follow)).await?;
                stream.opened(opened::Result::Entry(entry)).await
            }
            Operation::ListDir(request) => {
                let (identity, path) = who_and_where(agent, &request.user, &request.path)?;
                files::list::run(stream, &identity, path, request.depth).await
            }
            Operation::MakeDir(request) => {
                let (identity, path) = who_and_where(agent, &request.user, &request.path)?;
                files::change::make_dir(&identity, path, request.lift).await?;
                done(stream).await
            }
            Operation::Move(request) => {
                let (identity, from) = who_and_where(agent, &request.user, &request.from)?;
                let to = files::paths::resolve(&request.to, &identity.account.home)?;
                identity.run(move || files::change::rename(&from, &to)).await?;
                done(stream).await
            }
            Operation::Remove(request) => {
                let (identity, path) = who_and_where(agent, &request.user, &request.path)?;
                let given_up = files::remove::GivenUp::default();
                let seen = given_up.seen();
                identity.run(move || files::remove::tree(&path, &seen)).await?;
                drop(given_up);
                done(stream).await
            }
            Operation::ReadFile(request) => {
                let (identity, path) = who_and_where(agent, &request.user, &request.path)?;
                files::read::run(stream, &identity, path, request.offset, request.length).await
            }
            Operation::Watch(request) => {
                let (identity, path) = who_and_where(agent, &request.user, &request.path)?;
                files::watch::run(stream, &identity, path, request).await
            }
            Operation::SetAttributes(request) => {
                let (identity, path) = who_and_where(agent, &request.user, &request.path)?;
                identity.run(move || files::attributes::set(&path, &request.attributes)).await?;
                done(stream).await
            }
            Operation::WriteFile(_) => Ok(()),
            Operation::Dial(request) => dial::run(stream, request).await,
            Operation::Metrics(_) => {
                let (writable, reaped_us) = (agent.config.writable.clone(), metrics::reaped_cpu_us());
                let reply = agent.threads.run(move || Ok(metrics::measure(&writable, reaped_us))).await?;
                stream.opened(opened::Result::Metrics(reply)).await
            }
        }
    };
    tokio::select! {
        biased;
        result = work => result,
        () = stream.cancelled() => Err(Refusal::cancelled()),
    }
}

fn who_and_where(agent: &Agent, user: &str, path: &str) -> Outcome<(Identity, String)> {
    let identity = Identity::of(agent, user)?;
    let path = files::paths::resolve(path, &identity.account.home)?;
    Ok((identity, path))
}

async fn done(stream: &Stream) -> Outcome<()> {
    stream.opened(opened::Result::Done(Done {})).await
}

async fn attach(agent: &Rc<Agent>, stream: &Stream, request: Attach) -> Outcome<()> {
    let found = i32::try_from(request.pid).ok().and_then(|pid| agent.processes.borrow().get(pid));
    let process = found.ok_or_else(|| Refusal::not_found(format_args!("process {}", request.pid)))?;
    stream.opened(opened::Result::Started(Started { pid: request.pid })).await?;
    pump::serve(agent, stream, &process).await
}

fn processes(agent: &Agent) -> opened::Result {
    let mut left = LIST_BYTES;
    let mut processes = agent.processes.borrow().infos();
    processes.retain(|info| {
        let bytes = info.encoded_len() + 8;
        left = left.saturating_sub(bytes);
        left > 0
    });
    opened::Result::Processes(ProcessList { processes })
}
