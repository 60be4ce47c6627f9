/**
 * What a sandbox may reach, as a profile or a request says it: `none`, `open`, `allow:` and a list of rules, or an object. policy/network.ts has its
 * strict form, and what each field means.
 */
export type Network = string | NetworkFile

/** `example.com`, `*.example.com:443`, `10.0.0.0/8:5432`; or the same with examples of what it must cover and what it must not. */
export type NetworkRule = string | { rule: string; match?: readonly string[]; not?: readonly string[] }

/** In `allow`, `registries` stands for the hosts that this machine's own package clients use. */
export type NetworkFile =
  | { mode: 'none' }
  | {
      mode: 'allow' | 'open'
      /** Which list has the last word where both cover a connection; absent: `deny`. */
      first?: 'deny' | 'allow'
      allow?: readonly NetworkRule[]
      deny?: readonly NetworkRule[]
      dlp?: NetworkDlp
    }

/** What may not leave, as policy/dlp/file.ts has it. With it, every connection is looked into. */
export interface NetworkDlp {
  /** By the name of a detector or of a family, or `all`; absent: all are blocked. */
  detectors?: Readonly<
    Record<string, 'block' | 'redact' | 'alert' | 'off' | { verdict: 'block' | 'redact' | 'alert'; except: readonly string[] }>
  >
  patterns?: readonly {
    name: string
    pattern: string
    edges?: boolean
    verdict?: 'block' | 'redact' | 'alert'
    match: readonly string[]
    not?: readonly string[]
  }[]
  /** Values that are not written here, but what they are known by. */
  fingerprints?: {
    salt: string
    verdict?: 'block' | 'alert'
    values: readonly { name: string; lengthBytes: number; piece: number; digest: string }[]
  }
  /** Variables of the environment with a value that each sandbox has for itself, and that is never sent by a program with good intentions. */
  canaries?: readonly { name: string; env: string }[]
  /** Bytes, by rule or `default`. */
  budgets?: Readonly<Record<string, number>>
  /** Of names below one domain, within ten minutes. */
  dnsBytes?: number
  /** Absent: `block`. */
  unscannable?: 'block' | 'alert'
  /** Rules for connections that are not HTTP, and are not looked into. */
  tunnel?: readonly string[]
}
