import { z } from 'zod'

/**
 * The protocol between a keeper's gate (the proxy beside the sandbox) and the host's airlock (the policy decision point): JSON lines over a unix socket that
 * the host listens on (`network.airlock` in the plan). The gate connects, sends Hello, then asks; the host answers. A program inside reaches the host only as a
 * question, never through a connection of its own. A gate that cannot ask answers no. Tunnels end within a second of losing this connection.
 */

/** A name as it was asked for, in lower case and without the trailing dot. Only letters, digits, hyphens and dots reach the host. */
const Name = z
  .string()
  .regex(/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/)
  .max(253)
const Port = z.int().min(1).max(65_535)
/** An IPv4 or IPv6 address as text. An IPv4 address embedded in an IPv6 address is given as IPv4. */
const Address = z.string().max(45)

export const GateRequest = z.discriminatedUnion('ask', [
  /** The first message on every connection. */
  z.strictObject({ ask: z.literal('hello'), sandbox: z.string(), generation: z.literal(1) }),
  /** A program inside wants to resolve a name. */
  z.strictObject({ ask: z.literal('name'), seq: z.int(), name: Name, type: z.enum(['A', 'AAAA', 'other']) }),
  /** A program inside opens a TCP connection. `name`: the name its address was given out for, or the one a proxy client named; null: a bare address. */
  z.strictObject({
    ask: z.literal('connect'),
    seq: z.int(),
    /** Unique within this sandbox; never reused. */
    connection: z.int(),
    name: Name.nullable(),
    address: Address.nullable(),
    port: Port,
    /**
     * How the connection arrived: intercepted on its way out, or through the gate's own proxies inside (127.0.0.1:3128 for HTTP, 127.0.0.1:1080 for SOCKS5).
     * `http-proxy`: requests for http:// URLs. The first of them caused this question; later ones may go to other servers. Such a connection is therefore
     * inspected, refused or denied, and the gate treats `tunnel` as `deny`.
     */
    way: z.enum(['direct', 'http-proxy', 'connect', 'socks5']),
  }),
  /**
   * An allowed connection (`tunnel` or `inspect`) has ended, or the program gave up on one still being asked for; the gate then ignores the answer. A host that
   * was disconnected is told when it is back.
   */
  z.strictObject({
    ask: z.literal('closed'),
    connection: z.int(),
    bytesOut: z.int(),
    bytesIn: z.int(),
    why: z.enum(['done', 'idle', 'failed', 'host', 'budget']),
  }),
  /** Bytes that a long-lived connection has carried so far. Sent about once a minute while the counts grow. */
  z.strictObject({ ask: z.literal('moved'), connection: z.int(), bytesOut: z.int(), bytesIn: z.int() }),
  /** A tunnel has more to send than `most` permits (from the verdict or the last answer to this). It sends nothing until it is answered. */
  z.strictObject({ ask: z.literal('more'), seq: z.int(), connection: z.int() }),
  /** Refused by the gate itself, and counted: other protocols, malformed questions, too many connections at once. */
  z.strictObject({
    ask: z.literal('refused'),
    what: z.enum(['udp', 'icmp', 'dns', 'too-many', 'proxy']),
    count: z.int(),
    detail: z.string().max(300),
  }),
])
export type GateRequest = z.infer<typeof GateRequest>

export const GateAnswer = z.discriminatedUnion('answer', [
  /** Allowed: the gate gives out an address from its own pool. Not allowed: the name does not exist (NXDOMAIN). */
  z.strictObject({ answer: z.literal('name'), seq: z.int(), allowed: z.boolean() }),
  z.strictObject({
    answer: z.literal('connect'),
    seq: z.int(),
    /**
     * `tunnel`: the gate dials the addresses of `dial` in order and joins the two connections. `inspect`: it dials the host's own socket `network.inspect`,
     * sends {sandbox, connection} there as one JSON line, then the bytes. `refuse`: the same, for a refusal that the program can read. With `connect`, what the
     * host sends is the answer to the CONNECT, which the host does not see. With `direct`, it is sent only if the first bytes are an HTTP/1 request or the
     * HTTP/2 preface; otherwise, and after half a second of silence, the connection is reset. With `socks5`, nothing is dialled, and the reply is 2 (not
     * allowed). `deny`: the gate itself answers 403 with {code, message}, or reply 2, or resets.
     */
    verdict: z.enum(['tunnel', 'inspect', 'refuse', 'deny']),
    /** The checked addresses: the gate dials these and no others. */
    dial: z.array(Address).max(16),
    /**
     * `tunnel` only: a SOCKS5 proxy. The gate dials the first of its checked addresses that answers and asks it for an address of `dial`. Absent: the gate
     * dials the addresses of `dial` directly.
     */
    proxy: z
      .strictObject({
        dial: z.array(Address).min(1).max(16),
        port: Port,
        credentials: z.strictObject({ username: z.string().max(255), password: z.string().max(255) }).nullable(),
      })
      .optional(),
    /** `tunnel` only: bytes that may go out before the gate asks for more; absent: unlimited. */
    most: z.int().min(0).optional(),
  }),
  /** The answer to `more`: how many more bytes may go out. 0: the tunnel ends. */
  z.strictObject({ answer: z.literal('more'), seq: z.int(), most: z.int().min(0) }),
  /** The host revokes its permission: these connections end now; null: all of them. */
  z.strictObject({ answer: z.literal('end'), connections: z.array(z.int()).nullable() }),
])
export type GateAnswer = z.infer<typeof GateAnswer>

/** The part of the traffic in which something was found. */
export type DlpPlace = 'name' | 'url' | 'header' | 'body' | 'message'

/** What the audit log records: each verdict, before it takes effect; the bytes and the end of each allowed connection; what the gate refused by itself. */
export type NetworkRecord =
  | {
      kind: 'network'
      sandbox: string
      /** Null: a name query. */
      connection: number | null
      name: string | null
      address: string | null
      port: number | null
      way: 'dns' | Extract<GateRequest, { ask: 'connect' }>['way']
      verdict: 'allow' | Extract<GateAnswer, { answer: 'connect' }>['verdict']
      rule: string
      reason: string
      /** The smallest rule that would allow it. Null: no rule would, or it was allowed. */
      wouldAllow: string | null
    }
  | {
      /** Data that must not leave was found. The data itself is recorded nowhere. */
      kind: 'network-dlp'
      sandbox: string
      name: string | null
      address: string | null
      port: number | null
      /** `github-token`, `canary:NAME`, `fingerprint:NAME`, `unscannable`, or the name of an operator's pattern. */
      detector: string
      place: DlpPlace
      /** The encodings around it, outermost first. */
      through: string[]
      verdict: 'block' | 'redact' | 'alert'
    }
  /** A request on an inspected connection. */
  | {
      kind: 'network-request'
      sandbox: string
      connection: number
      name: string | null
      address: string | null
      port: number
      scheme: 'http' | 'https'
      method: string
      /** Without the query. */
      path: string
      verdict: 'allow' | 'deny'
      rule: string
      reason: string
      wouldAllow: string | null
      /** Names of the secrets that were added to the request. */
      secrets: string[]
    }
  | ({ kind: 'network-end'; sandbox: string } & Omit<Extract<GateRequest, { ask: 'closed' }>, 'ask'>)
  | ({ kind: 'network-moved'; sandbox: string } & Omit<Extract<GateRequest, { ask: 'moved' }>, 'ask'>)
  | ({ kind: 'network-refused'; sandbox: string } & Omit<Extract<GateRequest, { ask: 'refused' }>, 'ask'>)
