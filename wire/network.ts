/**
 * What a sandbox may reach, as a profile or a request says it: `none`, `open`, `allow:` and a list of rules, or an object. policy/network.ts has its
 * strict form, and what each field means.
 */
export type Network = string | NetworkFile

/**
 * `example.com`, `*.example.com:443`, `10.0.0.0/8:5432`, `GET https://api.example.com/v1/**`; or the same as an object, with examples of what it must
 * cover and what it must not.
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

/** A secret that the operator has stored, and that is put on requests to a host at the gate. */
export interface NetworkCredential {
  secret: string
  /** With a port, or else that of the scheme. */
  host: string
  /** Absent: `https`. */
  scheme?: 'http' | 'https'
  /** Absent: `authorization`. */
  header?: string
  /** Absent: `Bearer {secret}`. */
  value?: string
}

/** Fields that are set on requests to a host at the gate, whatever the program inside says of them. They are not kept secret: see NetworkCredential. */
export interface NetworkHeaders {
  /** With a port, or else that of the scheme. */
  host: string
  /** Absent: `https`. */
  scheme?: 'http' | 'https'
  headers: Readonly<Record<string, string>>
}

/** A SOCKS5 proxy that all connections go out through. */
export interface NetworkProxy {
  /** With its port. */
  address: string
  username?: string
  /** Its password, as only this installation can read it. */
  sealed?: string
}

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
      /** Every connection is looked into, and those that are not HTTP end. */
      inspect?: boolean
      /** Of answers of the preset's hosts; absent: `off`. */
      cache?: 'off' | 'keep' | 'replay'
      credentials?: readonly NetworkCredential[]
      headers?: readonly NetworkHeaders[]
      proxy?: NetworkProxy
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
  /**
   * Values that each sandbox has for itself, and that are never sent by a program with good intentions: in a variable of the environment, or in a file of the
   * home (`~/.aws/credentials`), in the place of `{canary}` in its text.
   */
  canaries?: readonly ({ name: string; env: string } | { name: string; file: string; text?: string })[]
  /** Bytes, by rule or `default`. */
  budgets?: Readonly<Record<string, number>>
  /** Of names below one domain, within ten minutes. */
  dnsBytes?: number
  /** Absent: `block`. */
  unscannable?: 'block' | 'alert'
  /** Rules for connections that are not HTTP, and are not looked into. */
  tunnel?: readonly string[]
}
