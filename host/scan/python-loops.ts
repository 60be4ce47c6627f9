import type { Node } from '@vscode/tree-sitter-wasm'
import type { PythonValues } from './python-values.ts'
import { field, named } from './walking.ts'

const FORKS = /\bfork\s*\(\s*\)|Popen\s*\(.*(__file__|sys\.argv|sys\.executable)|Process\s*\(\s*target/s
const ENDLESS = /^(True|1|not False|itertools\.count\(\))$|\bfork\s*\(\s*\)/
/** Walks that start at the root of everything, or of all of somebody's files. */
const EVERYTHING = /^(\/|~|\/(home|root|etc|usr|var|mnt|media|srv|opt)|\/home\/\w+)(\/?\*{0,2})?(\/\*(\.\*)?)?\/?$/
const WALKS = /(^|\.)(glob|iglob|rglob|walk|scandir|listdir|iterdir|fwalk)$/
const DESTROYS =
  /\b(rmtree|os\.(remove|unlink|truncate|rmdir)|unlink\s*\(|os\.kill\s*\()|\.write_(bytes|text)\s*\(|\bencrypt\w*\s*\([\s\S]*\bopen\s*\(|\bopen\s*\([^)]*["'][wr]?b?\+?["'][\s\S]*\bencrypt|\bopen\s*\(.*["'](r\+b?|rb\+|wb?|ab?)["']/
const SENDS = /\.(storbinary|storlines|post|put|patch|sendall|sendto|sendmail|sendfile|upload\w*)\s*\(/
const READS = /\bopen\s*\(|\.read_(text|bytes)\s*\(|\.add\s*\(/
const KILLS = /\bkill(pg)?\s*\(|\.terminate\s*\(/
const TRIES = /\b(connect_ex|create_connection|open_connection)\s*\(|\.connect\s*\(\s*\(/g
/** Iterates over addresses or ports, rather than over listed names. */
const MANY = /\brange\s*\(|\bproduct\s*\(|ip_network|ip_address/

/** What a loop does, as shapes. */
export function loopShapes(node: Node, values: PythonValues): string[] {
  const shapes: string[] = []
  const body = field(node, 'body')?.text.slice(0, 4000) ?? ''
  const over = field(node, node.type === 'while_statement' ? 'condition' : 'right')
  const said = over?.text.slice(0, 400) ?? ''
  if (ENDLESS.test(said) && FORKS.test(`${said} ${body}`)) shapes.push('fork-bomb')
  if (node.type !== 'for_statement') return shapes
  const from = walkedFrom(over, values)
  if (from !== null && EVERYTHING.test(from)) {
    if (DESTROYS.test(body)) shapes.push('destroys-everything')
    if (SENDS.test(body)) shapes.push('takes-everything')
    else if (READS.test(body)) shapes.push('reads-everything')
  }
  if (from !== null && /^\/proc\/?$/.test(from) && KILLS.test(body)) shapes.push('destroys-everything')
  if (MANY.test(said) && isTried(field(node, 'left'), body)) shapes.push('port-scan')
  return shapes
}

/** A function that starts itself through others, or forks and calls itself, without waiting in between. */
export function isBomb(name: string, body: string): boolean {
  if (!/^\w{1,64}$/.test(name) || /\b(sleep|wait|join|Timer|recv|accept|get)\s*\(/.test(body)) return false
  const begun = new RegExp(`\\b(target\\s*=\\s*|(i?map\\w*|submit|apply_async|start_new_thread)\\s*\\(\\s*)${name}\\b`).test(body)
  return begun || (/\bos\.fork\s*\(\s*\)/.test(body) && new RegExp(`\\b${name}\\s*\\(`).test(body))
}

/** The same for a function of the code's own that walks from `from`. */
export function walkShapes(from: string, body: string): string[] {
  if (!EVERYTHING.test(from) || !/\b(listdir|scandir|iterdir|walk|r?glob)\s*\(/.test(body)) return []
  return [...(DESTROYS.test(body) ? ['destroys-everything'] : []), ...(SENDS.test(body) ? ['takes-everything'] : [])]
}

/** Retrying the same place until it answers is not a scan. */
function isTried(left: Node | null, body: string): boolean {
  const names = (left?.text.match(/\w+/g) ?? []).filter((name) => !name.startsWith('_')).slice(0, 8)
  return [...body.matchAll(TRIES)].some(({ index }) => {
    const said = body.slice(index, index + 120).split('\n')[0] ?? ''
    return names.some((name) => new RegExp(`\\b${name}\\b`).test(said))
  })
}

/** The root of a directory walk; null: not a walk, or unknown. */
function walkedFrom(over: Node | null, values: PythonValues): string | null {
  if (over?.type !== 'call') return null
  const callee = field(over, 'function')
  const [first = null] = named(field(over, 'arguments'))
  if (/^(sorted|list|reversed|tuple|set|enumerate)$/.test(callee?.text ?? '')) return walkedFrom(first, values)
  if (!WALKS.test(values.name(callee))) return null
  const of = callee?.type === 'attribute' ? values.text(field(callee, 'object')) : null
  return of ?? values.text(first)
}
