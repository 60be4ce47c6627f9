/** All size and time limits of the wire protocols. The Rust side repeats those marked [rust] in native/wire/src/lib.rs; spec/wire compares them. */

/** Largest frame on the agent wire, length prefix excluded. [rust] */
export const MAX_FRAME_BYTES = 256 * 1024
/** Largest payload a sender puts into one Data. [rust] */
export const MAX_DATA_BYTES = 128 * 1024
/** Flow-control credit that a stream starts with, in each direction. [rust] */
export const INITIAL_WINDOW_BYTES = 1024 * 1024
/** Streams open at once on one connection. [rust] */
export const MAX_STREAMS = 1024
/** The generation of agent.proto spoken here. [rust] */
export const AGENT_GENERATION = 1

/** One line from the keeper. The keeper is trusted, but it may quote what a guest did. */
export const MAX_KEEPER_LINE_BYTES = 256 * 1024
/** A plan, as JSON. */
export const MAX_PLAN_BYTES = 1024 * 1024
/** One message from a runtime on its control channel; it comes from inside the sandbox and is untrusted. */
export const MAX_RUNTIME_MESSAGE_BYTES = 32 * 1024 * 1024
/** Total size of the rich results kept for one run. */
export const MAX_RESULTS_BYTES = 64 * 1024 * 1024

/** The version of envd (E2B's daemon inside the sandbox) that ours implements. */
export const ENVD_VERSION = '0.6.13'

/** The head of an HTTP request, and of a response from inside. */
export const MAX_HEAD_BYTES = 64 * 1024
/** Concurrent connections to the daemon. */
export const MAX_CONNECTIONS = 8192
/** Concurrent requests and tunnels of owners; fewer than MAX_CONNECTIONS, so that a client that has not authenticated yet still gets a connection. */
export const MAX_REQUESTS = 6144
/** Concurrent requests and tunnels for one sandbox; below its agent's stream limit, so that commands still find room. */
export const MAX_SANDBOX_REQUESTS = 800
/** Idle timeout of a connection. */
export const IDLE_CONNECTION_MS = 620_000
