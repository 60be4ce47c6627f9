import { z } from 'zod'
import { endsInNumber, normaliseName } from '../names.ts'
import { kind } from './kind.ts'

/** A name as written in a rule; the result is normalised. */
export const Name = z.string().transform((text, context) => {
  const read = normaliseName(text)
  if ('name' in read) return read.name
  context.addIssue(read.refused)
  return z.NEVER
})

/** One exact name, without its subdomains. */
export const name = kind({
  name: 'name',
  claims: (host) => !/[*/:]/.test(host) && !endsInNumber(host),
  schema: Name,
  text: (wanted) => wanted,
  decide: (wanted, endpoint) => endpoint.name === wanted,
  corners: (wanted) => [{ name: wanted, address: null, port: null }],
  examples: {
    rule: 'example.com',
    match: ['example.com', 'EXAMPLE.com.', 'example.com:443'],
    not: ['www.example.com', 'evil-example.com', 'example.com.evil.test', '93.184.215.14'],
  },
})
