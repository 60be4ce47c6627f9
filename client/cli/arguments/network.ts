import { Fault } from '@caisson/wire'

/** `none`, `open`, or `allow:` and a list of names; which of them can be had is the plan's decision. */
export function network(text: string): string {
  if (text === 'none' || text === 'open' || /^allow:[^,\s]+(,[^,\s]+)*$/.test(text)) return text
  throw new Fault('BAD_REQUEST', `--net ${JSON.stringify(text)} is not a network mode`, { hint: 'One of: none, open, allow:HOST,HOST.' })
}
