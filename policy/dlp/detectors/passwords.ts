import { family } from './family.ts'
import { sample } from './samples.ts'

const NAMES =
  '(password|passwd|passphrase|pwd|secret|secret[_-]?key|api[_-]?key|apikey|auth[_-]?token|access[_-]?token|client[_-]?secret|private[_-]?key)'
/** Text in a secret's place that is not one: references, placeholders, code. */
const NO_SECRET =
  /^(\$|%|\{|<|\*|#|@|process\.|os\.|env\.|ENV|config\.|self\.|this\.|null|none|true|false|undefined|your|my|example|change|dummy|placeholder|redacted|xxx|\.\.\.|todo|test|secret|password|string|required|str|sha\d+|md5|file|vault|arn)/i
const CODE = /[(){}[\]<>\\]|\.\.|::|=>|^\/|\//
/** Shannon entropy in bits per character. Words of a language have less than random text of the same length. */
const LEAST_BITS = 3.2
const LEAST_LENGTH = 10

/** Values that are labelled as secret and look like it. */
export const passwords = family(
  {
    name: 'password',
    finds: 'a password or key that is named so, with a value that is no word',
    patterns: [`(?i)${NAMES}["']?[ \\t+]{0,3}(=|:|:=|=>)[ \\t+]{0,3}["']?[^\\s"'\`,;&|]{8,128}`],
    joins: false,
    check: (value) => isSecret(/^[^=:]*?["']?[ \t+]*(?::=|=>|=|:)[ \t+]*["']?(.*)$/s.exec(value)?.[1] ?? ''),
    examples: {
      match: [`password = "${sample('word', 16)}!"`, `API_KEY=${sample('word', 32)}`, `{"client_secret":"${sample('word', 24)}"}`],
      not: [
        'password = os.environ["DB_PASSWORD"]',
        `password: ${'$'}{DB_PASSWORD}`,
        'password: correcthorse',
        'api_key: <your-api-key>',
        `secret = derive(${sample('word', 12)})`,
      ],
    },
  },
  {
    name: 'url-password',
    finds: 'a password within a URL',
    patterns: [
      '(?i)(postgres(ql)?|mysql|mariadb|mongodb(\\+srv)?|rediss?|amqps?|mssql|ftps?|sftp|ssh|https?|ldaps?)://[^\\s:/@"\']{0,64}:[^\\s/@"\':]{6,128}@[A-Za-z0-9.-]',
    ],
    joins: false,
    check: (value) => isPassword(/:\/\/[^:]*:([^@]*)@/.exec(value)?.[1] ?? ''),
    examples: {
      match: [`postgres://app:${sample('word', 14)}@db.internal/prod`, `https://deploy:${sample('word', 20)}@git.example/a.git`],
      not: [
        'postgres://user:password@localhost/db',
        'http://example.com:8080/@scope',
        'redis://:$REDIS_PASSWORD@cache',
        'https://user:***@host',
      ],
    },
  },
  {
    name: 'basic-authorization',
    finds: 'a user and password in a header of HTTP',
    patterns: ['(?i)authorization["\']?:[ +]?["\']?basic[ +][A-Za-z0-9+/]{12,}={0,2}'],
    joins: false,
    examples: {
      match: [`Authorization: Basic ${sample('word', 24)}`],
      not: ['Authorization: Basic <credentials>', 'WWW-Authenticate: Basic realm'],
    },
  },
)

function isSecret(value: string): boolean {
  return isPassword(value) && value.length >= LEAST_LENGTH && /\d/.test(value) && /[A-Za-z]/.test(value) && bitsOf(value) >= LEAST_BITS
}

function isPassword(value: string): boolean {
  return !NO_SECRET.test(value) && !CODE.test(value) && new Set(value).size >= 5
}

function bitsOf(value: string): number {
  const counts = new Map<string, number>()
  for (const character of value) counts.set(character, (counts.get(character) ?? 0) + 1)
  let bits = 0
  for (const count of counts.values()) bits -= (count / value.length) * Math.log2(count / value.length)
  return bits
}
