import type { Node, TreeCursor } from '@vscode/tree-sitter-wasm'
import { TooMuch } from './gathering.ts'

const MAX_DEPTH = 400
const MAX_NODES = 400_000

/** Visits every node of these types in document order. Iterative, because code may be nested deeper than the stack. */
export function walk(root: Node, types: ReadonlySet<string>, visit: (node: Node) => void): void {
  const cursor: TreeCursor = root.walk()
  try {
    let [depth, count] = [0, 0]
    for (;;) {
      count += 1
      if (count > MAX_NODES) throw new TooMuch(`it has more than ${MAX_NODES} parts`)
      if (cursor.nodeIsNamed && types.has(cursor.nodeType)) visit(cursor.currentNode)
      if (cursor.gotoFirstChild()) {
        depth += 1
        if (depth > MAX_DEPTH) throw new TooMuch(`it is nested more than ${MAX_DEPTH} deep`)
        continue
      }
      while (!cursor.gotoNextSibling()) {
        if (!cursor.gotoParent()) return
        depth -= 1
      }
    }
  } finally {
    cursor.delete()
  }
}

const LOOP = /^(for|while|do|for_in)_statement$/

/** Whether the node is inside a loop. */
export function isRepeated(node: Node): boolean {
  let within = node.parent
  for (let depth = 0; within !== null && depth < MAX_DEPTH; depth += 1, within = within.parent) if (LOOP.test(within.type)) return true
  return false
}

export const field = (node: Node, name: string): Node | null => node.childForFieldName(name)

export const named = (node: Node | null): Node[] =>
  (node?.namedChildren ?? []).filter((child): child is Node => child !== null && child.type !== 'comment')
