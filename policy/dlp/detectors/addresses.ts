import { family } from './family.ts'

const NO_DOMAIN = /\.(png|jpe?g|gif|svg|webp|js|ts|css|map|json|html?|local|test|example|invalid)$/i
/** Size of a mailing list; a form has one or two addresses, a commit a handful. */
const LIST = 25
const people = (count: number): string => Array.from({ length: count }, (_, index) => `person${index}@mail${index % 7}.org`).join('\n')

/** Email addresses, many at once. */
export const addresses = family({
  name: 'email-list',
  finds: `${LIST} different e-mail addresses or more`,
  patterns: ['[A-Za-z0-9._%+-]+@[A-Za-z0-9-]{1,63}(\\.[A-Za-z0-9-]{1,63}){0,4}\\.[A-Za-z]{2,12}'],
  joins: false,
  check: (value) => !NO_DOMAIN.test(value),
  atLeast: LIST,
  examples: { match: [people(LIST), `a@b.org\n${people(LIST + 3)}`], not: [people(LIST - 1), 'one@place.org '.repeat(100), 'icon@2x.png'] },
})
