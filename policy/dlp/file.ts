import { z } from 'zod'

const Verdict = z.enum(['block', 'redact', 'alert'])
const Name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'names are of lower-case letters, digits and hyphens')
const Rule = z.string().min(1).max(300)
const Examples = z.array(z.string().min(1).max(4096)).max(100)
const Bytes = z.int().min(0)
const Hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`), `${bytes} bytes in hex are expected`)

/** `'block'`, or with hosts that such a value may be sent to. `off`: it is not looked for. */
const Setting = z.union([
  z.enum(['block', 'redact', 'alert', 'off']),
  z.strictObject({ verdict: Verdict, except: z.array(Rule).min(1).max(100) }),
])

/** What `dlp` of a network policy says. */
export const DlpFile = z.strictObject({
  /** By the name of a detector or of a family; `all`: those that are not named. */
  detectors: z.record(z.string(), Setting).default({ all: 'block' }),
  /** The operator's own. */
  patterns: z
    .array(
      z.strictObject({
        name: Name,
        pattern: z.string().min(1),
        /** No letter, digit or underscore beside it. */
        edges: z.boolean().default(false),
        verdict: Verdict.default('block'),
        match: Examples.min(1),
        not: Examples.default([]),
      }),
    )
    .max(100)
    .default([]),
  /** Values that are not written here; `caisson fingerprint` makes the entries. */
  fingerprints: z
    .strictObject({
      salt: Hex(16),
      verdict: z.enum(['block', 'alert']).default('block'),
      values: z
        .array(
          z.strictObject({ name: Name, lengthBytes: z.int().min(8).max(512), piece: z.int().min(0).max(0xffff_ffff), digest: Hex(32) }),
        )
        .max(1000),
    })
    .optional(),
  /** Planted in each sandbox, with a value of its own: in its environment, under this name, or in a file of its user's home. */
  canaries: z
    .array(
      z.union([
        z.strictObject({
          name: Name,
          env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'a name of an environment variable is expected'),
        }),
        z.strictObject({
          name: Name,
          file: z
            .string()
            .max(200)
            .regex(/^~(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/, 'a file of the home is expected, like ~/.aws/credentials'),
          text: z
            .string()
            .max(4096)
            .refine((text) => text.split('{canary}').length === 2, '{canary} is expected in it, once')
            .default('{canary}\n'),
        }),
      ]),
    )
    .max(8)
    .default([]),
  /** Bytes that a sandbox may send to each host in its life; `default`: to those that no rule here covers. */
  budgets: z.record(z.string(), Bytes).default({}),
  /** Of new names below one domain: what they carry out, in bytes, within ten minutes. */
  dnsBytes: Bytes.default(2048),
  /** What is said of data that cannot be looked into: encrypted, packed in a way that is not known here, packed too deep or too much. */
  unscannable: z.enum(['block', 'alert']).default('block'),
  /** Connections to these are let through and not looked into, since they are not HTTP. */
  tunnel: z.array(Rule).max(100).default([]),
})
export type DlpFile = z.infer<typeof DlpFile>
