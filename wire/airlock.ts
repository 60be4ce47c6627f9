import { z } from 'zod'

/**
 * What a keeper's gate and the host's airlock say to each other: JSON lines over a unix socket that the host listens on (`network.airlock` of the plan).
 * The gate connects, says Hello, and asks; the host answers. What a program inside does reaches the host only as a question, never as a
 * connection of its own. A gate that cannot ask answers no; tunnels end within a second of the loss of the connection.
 */

/** A name as it was asked for, lower case, without the dot at its end; only letters, digits, hyphens and dots reach the host. */
const Name = z
  .string()
  .regex(/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/)
  .max(253)
const Port = z.int().min(1).max(65_535)
/** As text, v4 or v6; a v4 address inside of a v6 one is told as v4. */
const Address = z.string().max(45)

export const GateRequest = z.discriminatedUnion('ask', [
  /** First on every connection. */
  z.strictObject({ ask: z.literal('hello'), sandbox: z.string(), generation: z.literal(1) }),
  /** Somebody inside wants to know the address of a name. */
  z.strictObject({ ask: z.literal('name'), seq: z.int(), name: Name, type: z.enum(['A', 'AAAA', 'other']) }),
  /** Somebody inside opens a TCP connection. `name`: what its address was given out for, or what a proxy client named; null: it used an address. */
  z.strictObject({
    ask: z.literal('connect'),
    seq: z.int(),
    /** Of this sandbox, never used again. */
    connection: z.int(),
    name: Name.nullable(),
    address: Address.nullable(),
    port: Port,
    /**
     * How it came: caught on its way out, or through the gate's own proxies inside (127.0.0.1:3128 for HTTP, 127.0.0.1:1080 for SOCKS5).
     * `http-proxy`: requests for http:// URLs; the first of them led to this question, later ones may be for other servers. So it is looked into,
     * refused or denied; `tunnel` is taken for `deny`.
     */
    way: z.enum(['direct', 'http-proxy', 'connect', 'socks5']),
  }),
  /**
   * One that was let through (`tunnel` or `inspect`) has ended, or one that is still asked for: what is answered then is heard by nobody. A host that was away hears of it
   * when it is back.
   */
  z.strictObject({
    ask: z.literal('closed'),
    connection: z.int(),
    bytesOut: z.int(),
    bytesIn: z.int(),
    why: z.enum(['done', 'idle', 'failed', 'host', 'budget']),
  }),
  /** What one that lasts has carried so far; said about once a minute while that grows. */
  z.strictObject({ ask: z.literal('moved'), connection: z.int(), bytesOut: z.int(), bytesIn: z.int() }),
  /** A tunnel has more to send than `most` of the answer, or of the last answer to this, let it. Until it hears, nothing more goes out. */
  z.strictObject({ ask: z.literal('more'), seq: z.int(), connection: z.int() }),
  /** Refused by the gate itself, and counted: other protocols, malformed questions, too many at once. */
  z.strictObject({
    ask: z.literal('refused'),
    what: z.enum(['udp', 'icmp', 'dns', 'too-many', 'proxy']),
    count: z.int(),
    detail: z.string().max(300),
  }),
])
export type GateRequest = z.infer<typeof GateRequest>

export const GateAnswer = z.discriminatedUnion('answer', [
  /** The name may be asked for: the gate gives out an address of its own pool. False: it does not exist (NXDOMAIN). */
  z.strictObject({ answer: z.literal('name'), seq: z.int(), allowed: z.boolean() }),
  z.strictObject({
    answer: z.literal('connect'),
    seq: z.int(),
    /**
     * `tunnel`: the gate dials one of `dial`, in this order, and joins the two. `inspect`: it dials the host's own socket `network.inspect` and says
     * there, in one JSON line, {sandbox, connection}; then the bytes. `refuse`: the same, for a refusal that the program can read; on the way
     * `connect`, what the host says is the answer to the CONNECT itself, which it does not see; on the way `direct`, only if the first bytes are a
     * request of HTTP/1 or the preface of HTTP/2, else the connection is reset, after half a second of silence too; on the way `socks5`, nothing is
     * dialled, and the reply is 2 (not allowed). `deny`: the gate itself answers 403 with {code, message}, or reply 2, or resets.
     */
    verdict: z.enum(['tunnel', 'inspect', 'refuse', 'deny']),
    /** Checked addresses; these and no others. */
    dial: z.array(Address).max(16),
    /**
     * `tunnel` only: a SOCKS5 proxy, which is dialled at the first of its own checked addresses that answers, and asked for an address of `dial`.
     * Absent: what is in `dial` is dialled.
     */
    proxy: z
      .strictObject({
        dial: z.array(Address).min(1).max(16),
        port: Port,
        credentials: z.strictObject({ username: z.string().max(255), password: z.string().max(255) }).nullable(),
      })
      .optional(),
    /** `tunnel` only: bytes that may go out before the gate asks for more; absent: all. */
    most: z.int().min(0).optional(),
  }),
  /** To a question for more: so many bytes. 0: the tunnel ends. */
  z.strictObject({ answer: z.literal('more'), seq: z.int(), most: z.int().min(0) }),
  /** The host takes its word back: these end now; null: all of them. */
  z.strictObject({ answer: z.literal('end'), connections: z.array(z.int()).nullable() }),
])
export type GateAnswer = z.infer<typeof GateAnswer>

/** Where in what a sandbox sends something was found. */
export type DlpPlace = 'name' | 'url' | 'header' | 'body' | 'message'

/** What the audit log says of it: every verdict, before it holds; the bytes and the end of what was let through; what the gate refused by itself. */
export type NetworkRecord =
  | {
      kind: 'network'
      sandbox: string
      /** Null: a question for a name. */
      connection: number | null
      name: string | null
      address: string | null
      port: number | null
      way: 'dns' | Extract<GateRequest, { ask: 'connect' }>['way']
      verdict: 'allow' | Extract<GateAnswer, { answer: 'connect' }>['verdict']
      rule: string
      reason: string
      /** The smallest rule that would let it through; null: none would, or it was let through. */
      wouldAllow: string | null
    }
  | {
      /** Something that must not leave was found; what it was is not said here or anywhere. */
      kind: 'network-dlp'
      sandbox: string
      name: string | null
      address: string | null
      port: number | null
      /** `github-token`, `canary:NAME`, `fingerprint:NAME`, `unscannable`, or a pattern of the operator's. */
      detector: string
      place: DlpPlace
      /** The encodings that it was under, the outermost first. */
      through: string[]
      verdict: 'block' | 'redact' | 'alert'
    }
  /** A request on a connection that is looked into. */
  | {
      kind: 'network-request'
      sandbox: string
      connection: number
      name: string | null
      address: string | null
      port: number
      scheme: 'http' | 'https'
      method: string
      /** Without its query. */
      path: string
      verdict: 'allow' | 'deny'
      rule: string
      reason: string
      wouldAllow: string | null
      /** Names of those that were put on it. */
      secrets: string[]
    }
  | ({ kind: 'network-end'; sandbox: string } & Omit<Extract<GateRequest, { ask: 'closed' }>, 'ask'>)
  | ({ kind: 'network-moved'; sandbox: string } & Omit<Extract<GateRequest, { ask: 'moved' }>, 'ask'>)
  | ({ kind: 'network-refused'; sandbox: string } & Omit<Extract<GateRequest, { ask: 'refused' }>, 'ask'>)
