import { z } from 'zod'

const Verdict = z.enum(['block', 'redact', 'alert'])
const Name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'names are of lower-case letters, digits and hyphens')
const Rule = z.string().min(1).max(300)
const Examples = z.array(z.string().min(1).max(4096)).max(100)
const Bytes = z.int().min(0)
const Hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`), `${bytes} bytes in hex are expected`)

/** `'block'`, or an object with the hosts that such a value may be sent to. `off`: not searched for. */
const Setting = z.union([
  z.enum(['block', 'redact', 'alert', 'off']),
  z.strictObject({ verdict: Verdict, except: z.array(Rule).min(1).max(100) }),
])

/** The `dlp` section of a network policy. */
export const DlpFile = z.strictObject({
  /** Keyed by the name of a detector or family; `all`: those not listed. */
  detectors: z.record(z.string(), Setting).default({ all: 'block' }),
  /** The operator's own patterns. */
  patterns: z
    .array(
      z.strictObject({
        name: Name,
        pattern: z.string().min(1),
        /** Require a word boundary on both sides. */
        edges: z.boolean().default(false),
        verdict: Verdict.default('block'),
        match: Examples.min(1),
        not: Examples.default([]),
      }),
    )
    .max(100)
    .default([]),
  /** Values that the file does not contain, only their fingerprints; `caisson fingerprint` creates the entries. */
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
  /** Decoys planted in each sandbox, with values unique to it: in an environment variable, or in a file of the user's home. */
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
  /** Bytes that a sandbox may send to each host in its lifetime; `default`: to hosts without a rule of their own. */
  budgets: z.record(z.string(), Bytes).default({}),
  /** Bytes carried out in new names below one domain, within ten minutes. */
  dnsBytes: Bytes.default(2048),
  /** What to do with unreadable data: encrypted, in an unknown format, nested too deeply, or too large. */
  unscannable: z.enum(['block', 'alert']).default('block'),
  /** Connections to these are allowed without inspection, because they are not HTTP. */
  tunnel: z.array(Rule).max(100).default([]),
})
export type DlpFile = z.infer<typeof DlpFile>
