/**
 * What a sandbox may reach, as given in a profile or a request: `none`, `open`, `allow:` with a list of rules, or an object. policy/network.ts has the strict
 * form and the meaning of each field.
 */
export type Network = string | NetworkFile

/**
 * `example.com`, `*.example.com:443`, `10.0.0.0/8:5432`, `GET https://api.example.com/v1/**`; or the same as an object, with examples that it must and must not
 * cover.
 */
export type NetworkRule =
  | string
  | {
      rule: string
      scheme?: 'http' | 'https'
      methods?: readonly string[]
      /** `/v1/*`, `/v1/**`. */
      paths?: readonly string[]
      match?: readonly string[]
      not?: readonly string[]
    }

/** A secret stored by the operator. The gate adds it to requests for one host, so that it never enters the sandbox. */
export interface NetworkCredential {
  secret: string
  /** With a port; without one, the scheme's default port applies. */
  host: string
  /** Absent: `https`. */
  scheme?: 'http' | 'https'
  /** Absent: `authorization`. */
  header?: string
  /** Absent: `Bearer {secret}`. */
  value?: string
}

/** Header fields that the gate sets on requests to a host, replacing the program's own. They are not secret; for secrets see NetworkCredential. */
export interface NetworkHeaders {
  /** With a port; without one, the scheme's default port applies. */
  host: string
  /** Absent: `https`. */
  scheme?: 'http' | 'https'
  headers: Readonly<Record<string, string>>
}

/** A SOCKS5 proxy for all outgoing connections. */
export interface NetworkProxy {
  /** With its port. */
  address: string
  username?: string
  /** The proxy's password, encrypted so that only this installation can read it. */
  sealed?: string
}

/** In `allow`, `registries` stands for the hosts that this machine's own package clients use. */
export type NetworkFile =
  | { mode: 'none' }
  | {
      mode: 'allow' | 'open'
      /** Which list wins when both cover a connection; absent: `deny`. */
      first?: 'deny' | 'allow'
      allow?: readonly NetworkRule[]
      deny?: readonly NetworkRule[]
      dlp?: NetworkDlp
      /** Inspect every connection and end those that are not HTTP. */
      inspect?: boolean
      /** Caching of answers from the preset's hosts; absent: `off`. */
      cache?: 'off' | 'keep' | 'replay'
      credentials?: readonly NetworkCredential[]
      headers?: readonly NetworkHeaders[]
      proxy?: NetworkProxy
    }

/** Data loss prevention: data that must not leave, in the form that policy/dlp/file.ts defines. It implies that every connection is inspected. */
export interface NetworkDlp {
  /** Keyed by the name of a detector or family, or `all`; absent: everything is blocked. */
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
  /** Values to look for that the policy does not contain, only their fingerprints. */
  fingerprints?: {
    salt: string
    verdict?: 'block' | 'alert'
    values: readonly { name: string; lengthBytes: number; piece: number; digest: string }[]
  }
  /**
   * Decoy values, unique to each sandbox, that no well-meaning program sends. Each is placed in an environment variable, or in a file of the home
   * (`~/.aws/credentials`) where `{canary}` stands in its text.
   */
  canaries?: readonly ({ name: string; env: string } | { name: string; file: string; text?: string })[]
  /** Bytes, keyed by rule or `default`. */
  budgets?: Readonly<Record<string, number>>
  /** Bytes carried out in names below one domain, within ten minutes. */
  dnsBytes?: number
  /** Absent: `block`. */
  unscannable?: 'block' | 'alert'
  /** Rules for connections that are not HTTP and are not inspected. */
  tunnel?: readonly string[]
}
