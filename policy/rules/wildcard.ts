import { z } from 'zod'
import { kind } from './kind.ts'
import { Name } from './name.ts'

const PREFIX = '*.'

/** All names below one, however deep; not that name itself. */
export const wildcard = kind({
  name: 'wildcard',
  claims: (host) => host.includes('*'),
  schema: z
    .string()
    .refine((text) => text.lastIndexOf('*') === 0 && text.startsWith(PREFIX), 'an asterisk stands only at the start, as in *.example.com')
    .transform((text) => text.slice(PREFIX.length))
    .pipe(Name),
  text: (parent) => `${PREFIX}${parent}`,
  // The dot is compared too: evil-example.com ends in example.com.
  decide: (parent, endpoint) => endpoint.name?.endsWith(`.${parent}`) === true,
  // No name has an asterisk in it, so only a wildcard covers this one.
  corners: (parent) => [{ name: `${PREFIX}${parent}`, address: null, port: null }],
  examples: {
    rule: '*.example.com',
    match: ['www.example.com', 'a.b.example.com', 'WWW.Example.Com.', 'www.example.com:443'],
    not: ['example.com', 'evil-example.com', 'www.example.com.evil.test', '93.184.215.14'],
  },
})
