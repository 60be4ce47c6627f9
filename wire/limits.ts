/** Every bound of the wires, in one place. The Rust side repeats those marked [rust] in native/wire/src/lib.rs; spec/wire compares them. */

/** Largest frame on the agent wire, length prefix excluded. [rust] */
export const MAX_FRAME_BYTES = 256 * 1024
/** Largest payload a sender puts into one Data. [rust] */
export const MAX_DATA_BYTES = 128 * 1024
/** Credit a stream starts with, each way. [rust] */
export const INITIAL_WINDOW_BYTES = 1024 * 1024
/** Streams open at once on one connection. [rust] */
export const MAX_STREAMS = 1024
/** The generation of agent.proto spoken here. [rust] */
export const AGENT_GENERATION = 1

/** One line from the keeper. It is our own process, but what a guest did may be quoted in it. */
export const MAX_KEEPER_LINE_BYTES = 256 * 1024
/** A plan, as JSON. */
export const MAX_PLAN_BYTES = 1024 * 1024
/** One message of a runtime on its control channel; it comes from inside the wall. */
export const MAX_RUNTIME_MESSAGE_BYTES = 32 * 1024 * 1024
/** Rich results kept for one run, all together. */
export const MAX_RESULTS_BYTES = 64 * 1024 * 1024

/** The version of E2B's daemon inside that ours behaves as. */
export const ENVD_VERSION = '0.6.13'

/** The head of a request, and of an answer from inside. */
export const MAX_HEAD_BYTES = 64 * 1024
/** Connections to the daemon at once. */
export const MAX_CONNECTIONS = 8192
/** Requests and tunnels of owners under way at once; fewer than there are connections, so that whoever has yet to say who he is finds one. */
export const MAX_REQUESTS = 6144
/** Requests and tunnels under way for one sandbox at once; fewer than its agent takes streams, so that its commands find room too. */
export const MAX_SANDBOX_REQUESTS = 800
/** Silence for this long ends a connection. */
export const IDLE_CONNECTION_MS = 620_000
