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

/** In `allow`, `registries` stands for the hosts that this machine's own package clients use. */
export type NetworkFile =
  | { mode: 'none' }
  | {
      mode: 'allow' | 'open'
      /** Which list has the last word where both cover a connection; absent: `deny`. */
      first?: 'deny' | 'allow'
      allow?: readonly NetworkRule[]
      deny?: readonly NetworkRule[]
      /** Every connection is looked into, and those that are not HTTP end. */
      inspect?: boolean
      credentials?: readonly NetworkCredential[]
      headers?: readonly NetworkHeaders[]
    }
