// The frames of wire/agent.proto, which says what they mean; made from it by `npm run generate`, and compared with it by every run of the tests.
// Longer than files are here as a rule: nobody reads it from end to end.

use std::collections::HashMap;

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Frame {
    #[prost(uint32, tag = "1")]
    pub stream: u32,
    #[prost(oneof = "frame::Body", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub body: Option<frame::Body>,
}
pub mod frame {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Body {
        #[prost(message, tag = "2")]
        Open(super::Open),
        #[prost(message, tag = "3")]
        Opened(super::Opened),
        #[prost(message, tag = "4")]
        Data(super::Data),
        #[prost(message, tag = "5")]
        Window(super::Window),
        #[prost(message, tag = "6")]
        Event(super::Event),
        #[prost(message, tag = "7")]
        Control(super::Control),
        #[prost(message, tag = "8")]
        Close(super::Close),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Open {
    #[prost(oneof = "open::Operation", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15")]
    pub operation: Option<open::Operation>,
}
pub mod open {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Operation {
        #[prost(message, tag = "1")]
        Hello(super::Hello),
        #[prost(message, tag = "2")]
        Start(super::Start),
        #[prost(message, tag = "3")]
        Attach(super::Attach),
        #[prost(message, tag = "4")]
        Processes(super::Processes),
        #[prost(message, tag = "5")]
        Stat(super::Stat),
        #[prost(message, tag = "6")]
        ListDir(super::ListDir),
        #[prost(message, tag = "7")]
        MakeDir(super::MakeDir),
        #[prost(message, tag = "8")]
        Move(super::Move),
        #[prost(message, tag = "9")]
        Remove(super::Remove),
        #[prost(message, tag = "10")]
        ReadFile(super::ReadFile),
        #[prost(message, tag = "11")]
        WriteFile(super::WriteFile),
        #[prost(message, tag = "12")]
        Watch(super::Watch),
        #[prost(message, tag = "13")]
        SetAttributes(super::SetAttributes),
        #[prost(message, tag = "14")]
        Dial(super::Dial),
        #[prost(message, tag = "15")]
        Metrics(super::Metrics),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Hello {
    #[prost(uint32, tag = "1")]
    pub generation: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Start {
    #[prost(string, tag = "1")]
    pub command: String,
    #[prost(string, repeated, tag = "2")]
    pub args: Vec<String>,
    #[prost(map = "string, string", tag = "3")]
    pub env: HashMap<String, String>,
    #[prost(string, tag = "4")]
    pub cwd: String,
    #[prost(string, tag = "5")]
    pub user: String,
    #[prost(bool, tag = "6")]
    pub stdin: bool,
    #[prost(message, optional, tag = "7")]
    pub pty: Option<PtySize>,
    #[prost(bool, tag = "8")]
    pub control_channel: bool,
    #[prost(string, tag = "9")]
    pub tag: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PtySize {
    #[prost(uint32, tag = "1")]
    pub columns: u32,
    #[prost(uint32, tag = "2")]
    pub rows: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Attach {
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Processes {}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Stat {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub user: String,
    #[prost(bool, tag = "3")]
    pub follow: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListDir {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(uint32, tag = "2")]
    pub depth: u32,
    #[prost(string, tag = "3")]
    pub user: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MakeDir {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub user: String,
    #[prost(bool, tag = "3")]
    pub lift: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Move {
    #[prost(string, tag = "1")]
    pub from: String,
    #[prost(string, tag = "2")]
    pub to: String,
    #[prost(string, tag = "3")]
    pub user: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Remove {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub user: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ReadFile {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub user: String,
    #[prost(uint64, tag = "3")]
    pub offset: u64,
    #[prost(uint64, tag = "4")]
    pub length: u64,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WriteFile {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub user: String,
    #[prost(uint32, tag = "3")]
    pub mode: u32,
    #[prost(bool, tag = "4")]
    pub append: bool,
    #[prost(map = "string, string", tag = "5")]
    pub attributes: HashMap<String, String>,
    #[prost(bool, tag = "6")]
    pub own: bool,
    #[prost(bool, tag = "7")]
    pub lift: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Watch {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(bool, tag = "2")]
    pub recursive: bool,
    #[prost(string, tag = "3")]
    pub user: String,
    #[prost(bool, tag = "4")]
    pub include_entry: bool,
    #[prost(bool, tag = "5")]
    pub local_only: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SetAttributes {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub user: String,
    #[prost(map = "string, string", tag = "3")]
    pub attributes: HashMap<String, String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Dial {
    #[prost(uint32, tag = "1")]
    pub port: u32,
    #[prost(string, tag = "2")]
    pub host: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Metrics {}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Control {
    #[prost(oneof = "control::Action", tags = "1, 2, 3")]
    pub action: Option<control::Action>,
}
pub mod control {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Action {
        #[prost(uint32, tag = "1")]
        Signal(u32),
        #[prost(message, tag = "2")]
        Resize(super::PtySize),
        #[prost(bool, tag = "3")]
        CloseStdin(bool),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Data {
    #[prost(enumeration = "data::Channel", tag = "1")]
    pub channel: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub at_us: u64,
    #[prost(bool, tag = "4")]
    pub end: bool,
}
pub mod data {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ::prost::Enumeration)]
    #[repr(i32)]
    pub enum Channel {
        Unset = 0,
        Stdin = 1,
        Stdout = 2,
        Stderr = 3,
        Pty = 4,
        Control = 5,
        File = 6,
        Tcp = 7,
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Window {
    #[prost(uint32, tag = "1")]
    pub bytes: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Close {
    #[prost(string, tag = "1")]
    pub code: String,
    #[prost(string, tag = "2")]
    pub message: String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Opened {
    #[prost(oneof = "opened::Result", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub result: Option<opened::Result>,
}
pub mod opened {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Result {
        #[prost(message, tag = "1")]
        Hello(super::HelloReply),
        #[prost(message, tag = "2")]
        Started(super::Started),
        #[prost(message, tag = "3")]
        Processes(super::ProcessList),
        #[prost(message, tag = "4")]
        Entry(super::Entry),
        #[prost(message, tag = "5")]
        Entries(super::Entries),
        #[prost(message, tag = "6")]
        Metrics(super::MetricsReply),
        #[prost(message, tag = "7")]
        Done(super::Done),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct HelloReply {
    #[prost(uint32, tag = "1")]
    pub generation: u32,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(bool, tag = "3")]
    pub single_user: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Started {
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Done {}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessInfo {
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    #[prost(string, tag = "2")]
    pub command: String,
    #[prost(string, repeated, tag = "3")]
    pub args: Vec<String>,
    #[prost(string, tag = "4")]
    pub cwd: String,
    #[prost(string, tag = "5")]
    pub tag: String,
    #[prost(string, tag = "6")]
    pub user: String,
    #[prost(bool, tag = "7")]
    pub pty: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessList {
    #[prost(message, repeated, tag = "1")]
    pub processes: Vec<ProcessInfo>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Entry {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(enumeration = "entry::Kind", tag = "2")]
    pub kind: i32,
    #[prost(uint64, tag = "3")]
    pub size: u64,
    #[prost(uint32, tag = "4")]
    pub mode: u32,
    #[prost(string, tag = "5")]
    pub owner: String,
    #[prost(string, tag = "6")]
    pub group: String,
    #[prost(uint64, tag = "7")]
    pub modified_us: u64,
    #[prost(string, tag = "8")]
    pub symlink_target: String,
    #[prost(map = "string, string", tag = "9")]
    pub attributes: HashMap<String, String>,
    #[prost(string, tag = "10")]
    pub leads_to: String,
    #[prost(enumeration = "entry::Kind", tag = "11")]
    pub leads_to_kind: i32,
    #[prost(uint32, tag = "12")]
    pub leads_to_mode: u32,
}
pub mod entry {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ::prost::Enumeration)]
    #[repr(i32)]
    pub enum Kind {
        Unset = 0,
        File = 1,
        Directory = 2,
        Symlink = 3,
        Other = 4,
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Entries {
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MetricsReply {
    #[prost(uint64, tag = "1")]
    pub memory_used_bytes: u64,
    #[prost(uint64, tag = "2")]
    pub memory_total_bytes: u64,
    #[prost(uint64, tag = "3")]
    pub disk_used_bytes: u64,
    #[prost(uint64, tag = "4")]
    pub disk_total_bytes: u64,
    #[prost(uint64, tag = "5")]
    pub disk_free_inodes: u64,
    #[prost(uint64, tag = "6")]
    pub cpu_used_us: u64,
    #[prost(uint32, tag = "7")]
    pub processes: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Event {
    #[prost(oneof = "event::What", tags = "1, 2, 3")]
    pub what: Option<event::What>,
}
pub mod event {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum What {
        #[prost(message, tag = "1")]
        Exit(super::Exit),
        #[prost(message, tag = "2")]
        File(super::FileEvent),
        #[prost(message, tag = "3")]
        Entries(super::Entries),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Exit {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(uint32, tag = "2")]
    pub signal: u32,
    #[prost(bool, tag = "3")]
    pub disk_full: bool,
    #[prost(bool, tag = "4")]
    pub unknown: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FileEvent {
    #[prost(enumeration = "file_event::Kind", tag = "1")]
    pub kind: i32,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, optional, tag = "3")]
    pub entry: Option<Entry>,
}
pub mod file_event {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ::prost::Enumeration)]
    #[repr(i32)]
    pub enum Kind {
        Unset = 0,
        Create = 1,
        Write = 2,
        Remove = 3,
        Rename = 4,
        Chmod = 5,
        Overflow = 6,
    }
}
