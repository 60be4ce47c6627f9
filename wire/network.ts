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
    }
