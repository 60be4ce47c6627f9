import { z } from 'zod'
import { kind } from './kind.ts'
import { Name } from './name.ts'

const PREFIX = '*.'

/** All subdomains of a name, at any depth, but not the name itself. */
export const wildcard = kind({
  name: 'wildcard',
  claims: (host) => host.includes('*'),
  schema: z
    .string()
    .refine((text) => text.lastIndexOf('*') === 0 && text.startsWith(PREFIX), 'an asterisk stands only at the start, as in *.example.com')
    .transform((text) => text.slice(PREFIX.length))
    .pipe(Name),
  text: (parent) => `${PREFIX}${parent}`,
  // The dot matters: evil-example.com ends in example.com.
  decide: (parent, endpoint) => endpoint.name?.endsWith(`.${parent}`) === true,
  // No real name contains an asterisk, so only a wildcard covers this one.
  corners: (parent) => [{ name: `${PREFIX}${parent}`, address: null, port: null }],
  examples: {
    rule: '*.example.com',
    match: ['www.example.com', 'a.b.example.com', 'WWW.Example.Com.', 'www.example.com:443'],
    not: ['example.com', 'evil-example.com', 'www.example.com.evil.test', '93.184.215.14'],
  },
})
