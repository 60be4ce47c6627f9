import { endpointText, readEndpoint } from '../endpoint.ts'
import type { Fact } from './fact.ts'

/** What code appears to need, and the least profile for it. It is read from the code alone, so values computed at run time are missing. */
export interface Proposal {
  readonly imports: readonly string[]
  /** `example.com:443` */
  readonly hosts: readonly string[]
  readonly paths: readonly string[]
  readonly commands: readonly string[]
  readonly profile: Readonly<Record<string, unknown>>
}

const MAX_LISTED = 100
/** Scheme, host and port; credentials before the host are skipped. */
const URL_IN_TEXT = /\b(https?|wss?):\/\/(?:[^\s/?#@"'<>\\]{1,256}@)?(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]+)(?::(\d{1,5}))?/gi
const HERE = new Set(['localhost', '127.0.0.1', '[::1]'])
const PATH = /^(~|\.{1,2})?\/[\w.@+~ -]+(\/[\w.@+~ -]+)*\/?$/
/** Package clients, which contact their configured hosts. */
const CLIENTS =
  /^(sudo )?(pip3?|python3? -m pip|uv|npm|npx|pnpm|yarn|cargo|go|apt(-get)?|gem)\b.*\b(install|add|ci|get|download|i|update|fetch|build|sync|create)\b/
const DATA = /^(numpy|pandas|matplotlib|scipy|sklearn|seaborn|PIL|plotly|statsmodels|sympy|IPython)(\.|$)/
const STARTS = /^(os\.(system|popen)|subprocess\.|child_process\.|node:child_process\.)/

export function propose(facts: readonly Fact[]): Proposal {
  const imports = sorted(facts.filter(({ kind }) => kind === 'import').map(({ value }) => value))
  const commands = sorted(facts.filter(({ kind }) => kind === 'command').map(({ value }) => value.split(' ')[0] ?? ''))
  const texts = facts.filter(({ kind }) => kind === 'text' || kind === 'command').map(({ value }) => value)
  const hosts = sorted(texts.flatMap(hostsIn))
  const paths = sorted(
    facts.filter(({ kind, value }) => kind === 'text' && value.length < 512 && PATH.test(value)).map(({ value }) => value),
  )
  const isPackaging = facts.some(({ kind, value }) => kind === 'command' && CLIENTS.test(value))
  const allowed = [...(isPackaging ? ['registries'] : []), ...hosts]
  const isPython = facts.some(({ language }) => language === 'python')
  const starts = facts.some(({ kind, value }) => kind === 'command' || (kind === 'call' && STARTS.test(value)))
  return {
    imports,
    hosts,
    paths,
    commands,
    profile: {
      extends: 'default',
      description: 'Proposed from the code alone; look at it before you use it.',
      template: isPython || imports.some((name) => DATA.test(name)) ? 'code-interpreter' : 'base',
      network: allowed.length === 0 ? 'none' : `allow:${allowed.join(',')}`,
      limits: { pids: starts ? 128 : 64 },
    },
  }
}

/** In the form of rules; what no rule can express is not a host. */
function hostsIn(text: string): string[] {
  return [...text.matchAll(URL_IN_TEXT)].flatMap(([, scheme = '', host = '', port]) => {
    const whole = `http://${host.replace(/\.+$/, '')}`
    const hostname = URL.canParse(whole) ? new URL(whole).hostname : ''
    const said = HERE.has(hostname) ? null : readEndpoint(`${hostname}:${port ?? (/s$/i.test(scheme) ? 443 : 80)}`)
    return said === null ? [] : [endpointText(said)]
  })
}

function sorted(values: readonly string[]): string[] {
  return [...new Set(values)]
    .filter((value) => value !== '')
    .sort()
    .slice(0, MAX_LISTED)
}
