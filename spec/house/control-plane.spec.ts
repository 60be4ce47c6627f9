import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import * as caisson from '../../host/api/caisson/shelf.ts'
import type { Route } from '../../host/api/call.ts'
import * as control from '../../host/api/control/shelf.ts'
import * as unserved from '../../host/api/control/unserved.ts'

const page = readFileSync(resolve(import.meta.dirname, '../../docs/reference/control-plane.md'), 'utf8')
const named = ({ method, path }: Route) => `${method} ${path}`
const routes: Route[] = [...Object.values(control), ...Object.values(caisson)]

function told(text: string): string[] {
  return [...text.matchAll(/^\| `((?:GET|POST|PUT|PATCH|DELETE) [^`]+)` \|/gm)].map(([, route = '']) => route)
}

test('docs/reference/control-plane.md has every route of the shelves once, and no other', () => {
  expect(told(page).sort()).toEqual(routes.map(named).sort())
})

test('what is not supported is said not to be', () => {
  expect(told(page.split('## Not supported')[1] ?? '').sort()).toEqual(Object.values(unserved).map(named).sort())
})
